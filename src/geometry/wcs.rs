//! World coordinates: pixel <-> sky for FITS headers with TAN, TAN-SIP, TPV and SIN projections.

use super::distortion::{Mapped, Sip, Tpv};
use super::projection::{Projection, TangentPoint};
use crate::geometry::{PixelPoint, SkyPoint};
use std::collections::BTreeMap;

/// Value of one FITS header card.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Card {
    /// Integer or real value.
    Number(f64),
    /// Character string.
    Text(String),
}

/// Header cards that make a WCS, by keyword; CRPIX is 1-based here, as in FITS.
pub type Cards = BTreeMap<String, Card>;

/// Why a WCS could not be made or used.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum WcsError {
    /// A needed card is missing.
    #[error("WCS card {key} is missing")]
    Missing {
        /// Keyword.
        key: String,
    },
    /// A card has a value that makes no WCS.
    #[error("WCS card {key} is {found}; expected {expected}")]
    Card {
        /// Keyword.
        key: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The linear part cannot be inverted.
    #[error("singular WCS: determinant of the CD matrix is {determinant}")]
    Singular {
        /// Determinant \[deg²\].
        determinant: f64,
    },
    /// A position outside the projection, or where the distortion has no inverse.
    #[error("no pixel for ra {ra_deg} dec {dec_deg} (deg): {why}")]
    NoPixel {
        /// Right ascension \[deg\].
        ra_deg: f64,
        /// Declination \[deg\].
        dec_deg: f64,
        /// Reason.
        why: String,
    },
}

/// How pixels are distorted, and on which side of the CD matrix.
#[derive(Debug, Clone, PartialEq)]
enum Distortion {
    None,
    Sip(Sip),
    Tpv(Box<Tpv>),
}

/// Pixel <-> sky of one grid. Pixels are 0-based.
#[derive(Debug, Clone, PartialEq)]
pub struct Wcs {
    cards: Cards,
    projection: Projection,
    tangent: TangentPoint,
    /// 0-based.
    crpix: [f64; 2],
    cd_deg: [[f64; 2]; 2],
    cd_inverse: [[f64; 2]; 2],
    distortion: Distortion,
}

impl Wcs {
    /// From FITS header cards (CTYPE1/2, CRVAL, CRPIX, CD or CDELT with PC or CROTA2, PV, A/B; others are ignored).
    ///
    /// # Errors
    /// [`WcsError`] if a card is missing or wrong, or the matrix is singular.
    pub fn from_cards(cards: &Cards) -> Result<Self, WcsError> {
        let (projection, distortion) = kind(cards)?;
        if let Some(found) = optional(cards, "LONPOLE")?
            && (found - 180.0).abs() > 1e-9
        {
            return Err(wrong("LONPOLE", &found.to_string(), "180 (no other is supported)"));
        }
        let crval = [number(cards, "CRVAL1")?, number(cards, "CRVAL2")?];
        if !(-90.0..=90.0).contains(&crval[1]) {
            return Err(wrong("CRVAL2", &crval[1].to_string(), "a declination in -90..=90"));
        }
        let crpix = [number(cards, "CRPIX1")? - 1.0, number(cards, "CRPIX2")? - 1.0];
        let cd_deg = matrix(cards)?;
        let cd_inverse = invert(cd_deg)?;
        let tangent = TangentPoint::new(SkyPoint::from_degrees(crval[0], crval[1]));
        let kept = cards.iter().filter(|(key, _)| is_wcs_card(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { cards: kept, projection, tangent, crpix, cd_deg, cd_inverse, distortion })
    }

    /// Gnomonic projection without distortion. `crpix` is 0-based; `cd_deg[i][j]` = d(ξ, η)_i / d(x, y)_j \[deg\].
    ///
    /// # Errors
    /// [`WcsError::Singular`] if the matrix has no inverse.
    pub fn tan(crval: SkyPoint, crpix: PixelPoint, cd_deg: [[f64; 2]; 2]) -> Result<Self, WcsError> {
        let mut cards = Cards::new();
        let mut put = |key: &str, value: f64| cards.insert(key.to_owned(), Card::Number(value));
        put("CRVAL1", crval.ra_deg());
        put("CRVAL2", crval.dec_deg());
        put("CRPIX1", crpix.x + 1.0);
        put("CRPIX2", crpix.y + 1.0);
        for (i, row) in cd_deg.iter().enumerate() {
            for (j, &value) in row.iter().enumerate() {
                put(&format!("CD{}_{}", i + 1, j + 1), value);
            }
        }
        for (key, value) in [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN")] {
            cards.insert(key.to_owned(), Card::Text(value.to_owned()));
        }
        Self::from_cards(&cards)
    }

    /// The cards that [`Self::from_cards`] makes this WCS from.
    #[must_use]
    pub fn cards(&self) -> &Cards {
        &self.cards
    }

    /// Distorted intermediate coordinates (ξ, η) \[deg\] of a pixel position, with gradient.
    fn to_intermediate(&self, at: PixelPoint) -> Mapped {
        let (u, v) = (at.x - self.crpix[0], at.y - self.crpix[1]);
        match &self.distortion {
            Distortion::None => Mapped { value: apply(self.cd_deg, [u, v]), gradient: self.cd_deg },
            Distortion::Sip(sip) => {
                let m = sip.apply(u, v);
                Mapped { value: apply(self.cd_deg, m.value), gradient: multiply(self.cd_deg, m.gradient) }
            }
            Distortion::Tpv(tpv) => {
                let [x, y] = apply(self.cd_deg, [u, v]);
                let m = tpv.apply(x, y);
                Mapped { value: m.value, gradient: multiply(m.gradient, self.cd_deg) }
            }
        }
    }

    /// Sky position of a pixel position; outside an orthographic projection: NaN.
    #[must_use]
    pub fn pixel_to_sky(&self, at: PixelPoint) -> SkyPoint {
        let [xi, eta] = self.to_intermediate(at).value;
        self.tangent
            .to_sky(self.projection, xi.to_radians(), eta.to_radians())
            .unwrap_or_else(|| SkyPoint::from_radians(f64::NAN, f64::NAN))
    }

    /// Pixel position of a sky position, to 1e-9 pixel.
    ///
    /// # Errors
    /// [`WcsError::NoPixel`] on the far side of the sky, or where Newton's steps do not converge.
    pub fn sky_to_pixel(&self, at: SkyPoint) -> Result<PixelPoint, WcsError> {
        let no_pixel = |why: &str| WcsError::NoPixel { ra_deg: at.ra_deg(), dec_deg: at.dec_deg(), why: why.to_owned() };
        let (xi, eta) = self.tangent.to_plane(self.projection, at).ok_or_else(|| no_pixel("it lies on the far side of the sky"))?;
        let target = [xi.to_degrees(), eta.to_degrees()];
        let [u, v] = apply(self.cd_inverse, target);
        let mut p = PixelPoint::new(self.crpix[0] + u, self.crpix[1] + v);
        if matches!(self.distortion, Distortion::None) {
            return Ok(p);
        }
        for _ in 0..50 {
            let m = self.to_intermediate(p);
            let inverse = invert(m.gradient).map_err(|_| no_pixel("the distortion folds over there"))?;
            let [dx, dy] = apply(inverse, [target[0] - m.value[0], target[1] - m.value[1]]);
            p = PixelPoint::new(p.x + dx, p.y + dy);
            // Newton converges quadratically: a step of 1e-6 pixel leaves an error far below 1e-9.
            if dx.abs().max(dy.abs()) < 1e-6 {
                return Ok(p);
            }
        }
        Err(no_pixel("the inverse of the distortion does not converge there"))
    }

    /// Local matrix d(east, north)/d(x, y) \[arcsec per pixel\] in the tangent plane at `at`: `[[de/dx, de/dy], [dn/dx, dn/dy]]`.
    #[must_use]
    pub fn jacobian_arcsec(&self, at: PixelPoint) -> [[f64; 2]; 2] {
        // Central differences over ±0.5 pixel: the third derivative of any sane WCS is below 1e-9 of the scale.
        let here = self.pixel_to_sky(at);
        let offset = |dx: f64, dy: f64| here.offset_to_arcsec(&self.pixel_to_sky(PixelPoint::new(at.x + dx, at.y + dy)));
        let ((e1, n1), (e0, n0)) = (offset(0.5, 0.0), offset(-0.5, 0.0));
        let ((e3, n3), (e2, n2)) = (offset(0.0, 0.5), offset(0.0, -0.5));
        [[e1 - e0, e3 - e2], [n1 - n0, n3 - n2]]
    }

    /// Solid angle of the pixel at `at` \[arcsec²\].
    #[must_use]
    pub fn pixel_area_arcsec2(&self, at: PixelPoint) -> f64 {
        let [[a, b], [c, d]] = self.jacobian_arcsec(at);
        (a * d - b * c).abs()
    }
}

fn apply(m: [[f64; 2]; 2], v: [f64; 2]) -> [f64; 2] {
    [m[0][0] * v[0] + m[0][1] * v[1], m[1][0] * v[0] + m[1][1] * v[1]]
}

fn multiply(a: [[f64; 2]; 2], b: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    let column = |j: usize| apply(a, [b[0][j], b[1][j]]);
    let (c0, c1) = (column(0), column(1));
    [[c0[0], c1[0]], [c0[1], c1[1]]]
}

fn invert(m: [[f64; 2]; 2]) -> Result<[[f64; 2]; 2], WcsError> {
    let determinant = m[0][0] * m[1][1] - m[0][1] * m[1][0];
    let scale = m.iter().flatten().fold(0.0f64, |s, v| s.max(v.abs()));
    // Columns within 1e-6 of parallel make no usable pixel grid, whatever the scale.
    let is_regular = determinant.abs() > 1e-6 * scale * scale;
    if !is_regular {
        return Err(WcsError::Singular { determinant });
    }
    Ok([[m[1][1] / determinant, -m[0][1] / determinant], [-m[1][0] / determinant, m[0][0] / determinant]])
}

fn wrong(key: &str, found: &str, expected: &str) -> WcsError {
    WcsError::Card { key: key.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
}

fn optional(cards: &Cards, key: &str) -> Result<Option<f64>, WcsError> {
    match cards.get(key) {
        None => Ok(None),
        Some(Card::Number(v)) if v.is_finite() => Ok(Some(*v)),
        Some(Card::Number(v)) => Err(wrong(key, &v.to_string(), "a finite number")),
        Some(Card::Text(t)) => Err(wrong(key, t, "a finite number")),
    }
}

fn number(cards: &Cards, key: &str) -> Result<f64, WcsError> {
    optional(cards, key)?.ok_or_else(|| WcsError::Missing { key: key.to_owned() })
}

fn is_wcs_card(key: &str) -> bool {
    ["CTYPE", "CRVAL", "CRPIX", "CD1_", "CD2_", "PC1_", "PC2_", "CDELT", "PV1_", "PV2_", "A_", "B_", "LONPOLE", "CROTA2"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

/// CD matrix, or PC times CDELT (PC defaults to the unit matrix), or CDELT turned by CROTA2 (Calabretta & Greisen 2002, eq. 189).
fn matrix(cards: &Cards) -> Result<[[f64; 2]; 2], WcsError> {
    let mut m = [[0.0; 2]; 2];
    if cards.keys().any(|k| k.starts_with("CD1_") || k.starts_with("CD2_")) {
        for (i, row) in m.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value = optional(cards, &format!("CD{}_{}", i + 1, j + 1))?.unwrap_or(0.0);
            }
        }
    } else if let Some(angle_deg) = optional(cards, "CROTA2")?.filter(|_| !cards.keys().any(|k| k.starts_with("PC"))) {
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        let (dx, dy) = (number(cards, "CDELT1")?, number(cards, "CDELT2")?);
        m = [[dx * cos, -dy * sin], [dx * sin, dy * cos]];
    } else {
        for (i, row) in m.iter_mut().enumerate() {
            let cdelt = number(cards, &format!("CDELT{}", i + 1))?;
            for (j, value) in row.iter_mut().enumerate() {
                let unit = if i == j { 1.0 } else { 0.0 };
                *value = cdelt * optional(cards, &format!("PC{}_{}", i + 1, j + 1))?.unwrap_or(unit);
            }
        }
    }
    Ok(m)
}

/// Projection and distortion from CTYPE and the cards that come with it.
fn kind(cards: &Cards) -> Result<(Projection, Distortion), WcsError> {
    let text = |key: &str| match cards.get(key) {
        Some(Card::Text(t)) => Ok(t.trim().to_owned()),
        Some(Card::Number(v)) => Err(wrong(key, &v.to_string(), "a text such as RA---TAN")),
        None => Err(WcsError::Missing { key: key.to_owned() }),
    };
    let (ctype1, ctype2) = (text("CTYPE1")?, text("CTYPE2")?);
    let expected = "RA---/DEC-- with TAN, TAN-SIP, TPV or SIN";
    let code = ctype1.strip_prefix("RA---").ok_or_else(|| wrong("CTYPE1", &ctype1, expected))?;
    if ctype2.strip_prefix("DEC--") != Some(code) {
        return Err(wrong("CTYPE2", &ctype2, &format!("DEC--{code}, to go with CTYPE1 = {ctype1}")));
    }
    let has_pv = cards.keys().any(|k| k.starts_with("PV1_") || k.starts_with("PV2_"));
    Ok(match code {
        "TAN-SIP" => (Projection::Tan, Distortion::Sip(Sip { a: sip_terms(cards, "A")?, b: sip_terms(cards, "B")? })),
        "TPV" => (Projection::Tan, Distortion::Tpv(Box::new(tpv(cards)?))),
        // SCAMP's older convention: PV cards on a plain TAN mean TPV.
        "TAN" if has_pv => (Projection::Tan, Distortion::Tpv(Box::new(tpv(cards)?))),
        "TAN" => (Projection::Tan, Distortion::None),
        "SIN" => {
            for key in ["PV2_1", "PV2_2"] {
                if optional(cards, key)?.is_some_and(|v| v != 0.0) {
                    return Err(wrong(key, "not zero", "0 (slant orthographic is not supported)"));
                }
            }
            (Projection::Sin, Distortion::None)
        }
        _ => return Err(wrong("CTYPE1", &ctype1, expected)),
    })
}

fn sip_terms(cards: &Cards, axis: &str) -> Result<Vec<(i32, i32, f64)>, WcsError> {
    let key = format!("{axis}_ORDER");
    let order = number(cards, &key)?;
    if !(0.0..=9.0).contains(&order) || order.fract() != 0.0 {
        return Err(wrong(&key, &order.to_string(), "a whole number in 0..=9"));
    }
    let order = order as i32;
    let mut terms = Vec::new();
    for p in 0..=order {
        for q in 0..=order - p {
            if let Some(c) = optional(cards, &format!("{axis}_{p}_{q}"))?
                && c != 0.0
            {
                terms.push((p, q, c));
            }
        }
    }
    Ok(terms)
}

fn tpv(cards: &Cards) -> Result<Tpv, WcsError> {
    let axis = |i: usize| -> Result<[f64; 40], WcsError> {
        let mut pv = [0.0; 40];
        pv[1] = 1.0; // the convention's default: ξ' = ξ
        for (k, value) in pv.iter_mut().enumerate() {
            if let Some(v) = optional(cards, &format!("PV{i}_{k}"))? {
                *value = v;
            }
        }
        Ok(pv)
    };
    Ok(Tpv { pv1: axis(1)?, pv2: axis(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// astropy's numbers, by tests/data/wcs_golden.py: pixel x, y, ra, dec \[deg\] a row.
    fn golden() -> BTreeMap<String, (Cards, Vec<[f64; 4]>)> {
        #[derive(serde::Deserialize)]
        struct Case {
            cards: Cards,
            rows: Vec<[f64; 4]>,
        }
        let cases: BTreeMap<String, Case> = serde_json::from_str(include_str!("../../tests/data/wcs_golden.json")).unwrap();
        cases.into_iter().map(|(name, case)| (name, (case.cards, case.rows))).collect()
    }

    #[test]
    fn agrees_with_astropy_both_ways() {
        for (name, (cards, rows)) in golden() {
            let wcs = Wcs::from_cards(&cards).unwrap();
            assert_eq!(Wcs::from_cards(wcs.cards()).unwrap(), wcs, "{name}: cards do not make the same WCS again");
            for [x, y, ra, dec] in rows {
                let sky = SkyPoint::from_degrees(ra, dec);
                let found = wcs.sky_to_pixel(sky).unwrap();
                // astropy prints 1e-14 deg, 1e-9 of the pixel; both sides round at 1e-16 of 360 deg.
                assert!((found.x - x).hypot(found.y - y) < 1e-7, "{name}: {found:?} against ({x}, {y})");
                let off_px = wcs.pixel_to_sky(PixelPoint::new(x, y)).separation_arcsec(&sky) / 0.2;
                assert!(off_px < 1e-7, "{name}: sky of ({x}, {y}) is off by {off_px} pixel");
            }
        }
    }

    proptest! {
        #[test]
        fn there_and_back(x in 0.0f64..2048.0, y in 0.0f64..2048.0) {
            for (name, (cards, _)) in golden() {
                let wcs = Wcs::from_cards(&cards).unwrap();
                let back = wcs.sky_to_pixel(wcs.pixel_to_sky(PixelPoint::new(x, y))).unwrap();
                prop_assert!((back.x - x).hypot(back.y - y) < 1e-7, "{name}: {back:?} against ({x}, {y})");
            }
        }
    }

    /// CDELT turned by CROTA2 and the CD matrix that it stands for are one WCS.
    #[test]
    fn a_rotation_is_a_matrix() {
        let (good, _) = golden().remove("tan").unwrap();
        let put = |cards: &mut Cards, list: &[(&str, f64)]| {
            list.iter().for_each(|(key, value)| drop(cards.insert((*key).to_owned(), Card::Number(*value))));
        };
        let (dx, dy, angle_deg) = (-2e-4, 3e-4, 12.0f64);
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        let mut as_matrix = good;
        put(&mut as_matrix, &[("CD1_1", dx * cos), ("CD1_2", -dy * sin), ("CD2_1", dx * sin), ("CD2_2", dy * cos)]);
        let mut as_angle = as_matrix.clone();
        as_angle.retain(|key, _| !key.starts_with("CD"));
        put(&mut as_angle, &[("CDELT1", dx), ("CDELT2", dy), ("CROTA2", angle_deg)]);
        let (a, b) = (Wcs::from_cards(&as_matrix).unwrap(), Wcs::from_cards(&as_angle).unwrap());
        let at = PixelPoint::new(700.0, -30.0);
        assert!(a.pixel_to_sky(at).separation_arcsec(&b.pixel_to_sky(at)) < 1e-9);
    }

    #[test]
    fn bad_cards_are_named() {
        let (good, _) = golden().remove("tan").unwrap();
        let with = |key: &str, card: Option<Card>| {
            let mut cards = good.clone();
            match card {
                Some(card) => cards.insert(key.to_owned(), card),
                None => cards.remove(key),
            };
            Wcs::from_cards(&cards).unwrap_err().to_string()
        };
        assert!(with("CRVAL1", None).contains("CRVAL1 is missing"));
        assert!(with("CRPIX2", Some(Card::Number(f64::NAN))).contains("CRPIX2 is NaN"));
        assert!(with("CTYPE1", Some(Card::Text("RA---ZEA".into()))).contains("RA---ZEA"));
        let mut singular = good.clone();
        for (key, value) in [("CD1_1", 1e-5), ("CD1_2", 1e-5), ("CD2_1", 2e-5), ("CD2_2", 2e-5)] {
            singular.insert(key.into(), Card::Number(value));
        }
        assert!(matches!(Wcs::from_cards(&singular), Err(WcsError::Singular { .. })));
    }
}
