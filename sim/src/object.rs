//! One object in one band at one time: a row of the truth catalog, ready to be drawn.

mod light_curve;
mod motion;

use crate::SimError;
use crate::profile::{GaussianMixture, SERSIC_RANGE, StampGalaxy, StampLibrary};
use fathom::catalog::Table;
use fathom::format::truth::{optional_f64, optional_text};
use fathom::geometry::SkyPoint;
use light_curve::LightCurve;
use motion::Motion;
use std::sync::Arc;

/// Classes that a truth catalog may name.
pub(crate) const CLASSES: [&str; 5] = ["star", "galaxy", "variable", "transient", "mover"];

/// What the column `morphology` holds.
pub(crate) const MORPHOLOGIES: &str = "empty text, stamp:<name>, or gaussians:<flux sigma; ...>";
const STAMP: &str = "stamp:";
const GAUSSIANS: &str = "gaussians:";

/// What an extended object looks like: the column `morphology` of [`fathom::format::truth`].
#[derive(Debug, Clone, Default)]
pub enum Morphology {
    /// Sérsic's law with the object's index.
    #[default]
    Sersic,
    /// Concentric Gaussians, whatever the index.
    Gaussians(Arc<GaussianMixture>),
    /// A real galaxy, its half-light radius scaled to the object's: y of its stamp along the position angle, flattened by the axis ratio.
    Stamp(Arc<StampGalaxy>),
}

/// A bulge in a disc: same centre, same position angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bulge {
    /// Share of the object's flux, in 0..=1.
    pub fraction: f64,
    /// Half-light radius along the major axis \[arcsec\].
    pub half_light_radius_arcsec: f64,
    /// Minor / major axis.
    pub axis_ratio: f64,
    /// Sérsic index.
    pub sersic_n: f64,
}

/// One object in one band at one time.
#[derive(Debug, Clone)]
pub struct TruthObject {
    /// Unique number.
    pub id: i64,
    /// Position at that time.
    pub position: SkyPoint,
    /// Total flux at that time \[nJy\].
    pub flux_njy: f64,
    /// Half-light radius along the major axis \[arcsec\]; 0 for a point source.
    pub half_light_radius_arcsec: f64,
    /// Minor / major axis.
    pub axis_ratio: f64,
    /// Of the major axis, east of north \[deg\].
    pub position_angle_deg: f64,
    /// Sérsic index; 0 for a point source.
    pub sersic_n: f64,
    /// Motion towards east and north \[arcsec/day\]: drawn as a trail where it is noticed within the exposure.
    pub motion_arcsec_per_day: [f64; 2],
    /// What else is in it; the other shape columns are then those of the disc.
    pub bulge: Option<Bulge>,
    /// What it looks like.
    pub morphology: Morphology,
}

impl TruthObject {
    /// A point source at rest.
    #[must_use]
    pub fn point(id: i64, position: SkyPoint, flux_njy: f64) -> Self {
        Self {
            id,
            position,
            flux_njy,
            half_light_radius_arcsec: 0.0,
            axis_ratio: 1.0,
            position_angle_deg: 0.0,
            sersic_n: 0.0,
            motion_arcsec_per_day: [0.0; 2],
            bulge: None,
            morphology: Morphology::Sersic,
        }
    }

    /// All objects of a truth catalog with a flux in `band` at time `mjd` \[MJD, TAI\], sorted by id: the order of every sum over objects.
    ///
    /// Positions and fluxes are those of that time: proper motion from `epoch` on a great circle, parallax by the Earth's mean orbit,
    /// light curves as [`fathom::format::truth`] defines them.
    ///
    /// # Errors
    /// [`SimError::Truth`] if a column is missing, [`SimError::Object`] if a value cannot be drawn (stamps cannot: see [`Self::of_table_with`]).
    pub fn of_table(table: &Table, band: &str, mjd: f64) -> Result<Vec<Self>, SimError> {
        Self::of_table_with(table, band, mjd, &StampLibrary::default())
    }

    /// The same, with the real galaxies that `morphology = stamp:<name>` stands for.
    ///
    /// # Errors
    /// As [`Self::of_table`].
    pub fn of_table_with(table: &Table, band: &str, mjd: f64, stamps: &StampLibrary) -> Result<Vec<Self>, SimError> {
        fathom::format::truth::check(table, &[band.to_owned()])?;
        let flux_key = format!("{band}_flux");
        let bulge_key = format!("{band}_bulge_fraction");
        let (ids, ra, dec, class) = (table.i64("id")?, table.f64("ra")?, table.f64("dec")?, table.text("class")?);
        let (flux, radius) = (table.f64(&flux_key)?, table.f64("half_light_radius")?);
        let (ratio, angle, index) = (table.f64("axis_ratio")?, table.f64("position_angle")?, table.f64("sersic_n")?);
        let or = |name: &str, default| optional_f64(table, name, default);
        let (bulge_fraction, bulge_radius) = (or(&bulge_key, 0.0)?, or("bulge_half_light_radius", 0.0)?);
        let (bulge_ratio, bulge_index) = (or("bulge_axis_ratio", 1.0)?, or("bulge_sersic_n", 4.0)?);
        let morphology = optional_text(table, "morphology")?;
        let motions = Motion::of_table(table)?;
        let curves = LightCurve::of_table(table)?;
        let mut objects = Vec::with_capacity(ids.len());
        for i in 0..ids.len() {
            let id = ids[i];
            check(id, CLASSES.contains(&class[i].as_str()), "class", &class[i], "star, galaxy, variable, transient or mover")?;
            check(id, flux[i] >= 0.0 && flux[i].is_finite(), &flux_key, flux[i], "a finite number, not negative")?;
            check(id, ra[i].is_finite(), "ra", ra[i], "degrees")?;
            check(id, dec[i].abs() <= 90.0, "dec", dec[i], "degrees in -90..=90")?;
            motions[i].check(id)?;
            curves[i].check(id)?;
            let flux_njy = flux[i] * curves[i].factor(id, mjd);
            let fraction = bulge_fraction[i];
            check(id, (0.0..=1.0).contains(&fraction), &bulge_key, fraction, "a number in 0..=1")?;
            let object = Self {
                half_light_radius_arcsec: radius[i],
                axis_ratio: ratio[i],
                position_angle_deg: angle[i],
                sersic_n: index[i],
                motion_arcsec_per_day: motions[i].arcsec_per_day(),
                bulge: (fraction > 0.0).then(|| Bulge {
                    fraction,
                    half_light_radius_arcsec: bulge_radius[i],
                    axis_ratio: bulge_ratio[i],
                    sersic_n: bulge_index[i],
                }),
                morphology: morphology_of(id, &morphology[i], stamps)?,
                ..Self::point(id, motions[i].position(SkyPoint::from_degrees(ra[i], dec[i]), mjd), flux_njy)
            };
            // Also what has no light now: a catalog is right or wrong on every night.
            object.check()?;
            check(id, object.is_point() || class[i] == "galaxy", "class", &class[i], "galaxy, for an object that has a size")?;
            if flux_njy > 0.0 {
                objects.push(object);
            }
        }
        objects.sort_by_key(|o| o.id);
        Ok(objects)
    }

    /// True if it has no extent.
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.half_light_radius_arcsec <= 0.0 && self.bulge.is_none_or(|b| b.half_light_radius_arcsec <= 0.0)
    }

    /// # Errors
    /// [`SimError::Object`] naming the column that cannot be drawn.
    pub(crate) fn check(&self) -> Result<(), SimError> {
        const INDEX: &str = "0.3..=6.2 where half_light_radius is above 0, else 0 or that";
        let check = |is_good, key, found: f64, expected| check(self.id, is_good, key, found, expected);
        let is_size = |v: f64| (0.0..1e4).contains(&v);
        check(self.flux_njy.is_finite(), "flux", self.flux_njy, "a finite number")?;
        check(self.position.ra_rad().is_finite(), "ra", self.position.ra_deg(), "degrees")?;
        check(self.position.dec_rad().abs() <= 1.6, "dec", self.position.dec_deg(), "degrees in -90..=90")?;
        check(is_size(self.half_light_radius_arcsec), "half_light_radius", self.half_light_radius_arcsec, "arcsec, not negative")?;
        // Without an index a size says nothing: neither a point source nor a galaxy.
        let needs_index = self.half_light_radius_arcsec > 0.0 && matches!(self.morphology, Morphology::Sersic);
        let may_be_zero = !needs_index && self.sersic_n.abs() <= 0.0;
        check(may_be_zero || SERSIC_RANGE.contains(&self.sersic_n), "sersic_n", self.sersic_n, INDEX)?;
        let is_ratio = |v: f64| v > 0.0 && v <= 1.0;
        check(is_ratio(self.axis_ratio), "axis_ratio", self.axis_ratio, "a number in (0, 1]")?;
        check(self.position_angle_deg.is_finite(), "position_angle", self.position_angle_deg, "a finite number")?;
        if let Some(bulge) = &self.bulge {
            check(
                is_size(bulge.half_light_radius_arcsec),
                "bulge_half_light_radius",
                bulge.half_light_radius_arcsec,
                "arcsec, not negative",
            )?;
            check(is_ratio(bulge.axis_ratio), "bulge_axis_ratio", bulge.axis_ratio, "a number in (0, 1]")?;
            check(SERSIC_RANGE.contains(&bulge.sersic_n), "bulge_sersic_n", bulge.sersic_n, "a number in 0.3..=6.2")?;
        }
        Ok(())
    }
}

/// One cell of the truth catalog.
fn check(id: i64, is_good: bool, key: &str, found: impl ToString, expected: &str) -> Result<(), SimError> {
    if is_good {
        Ok(())
    } else {
        Err(SimError::Object { id, key: key.to_owned(), found: found.to_string(), expected: expected.to_owned() })
    }
}

fn morphology_of(id: i64, text: &str, stamps: &StampLibrary) -> Result<Morphology, SimError> {
    if text.is_empty() {
        return Ok(Morphology::Sersic);
    }
    if let Some(components) = text.strip_prefix(GAUSSIANS) {
        return match GaussianMixture::of_text(components) {
            Ok(mixture) => Ok(Morphology::Gaussians(Arc::new(mixture))),
            Err(_) => check(id, false, "morphology", text, MORPHOLOGIES).map(|()| Morphology::Sersic),
        };
    }
    if let Some(stamp) = text.strip_prefix(STAMP).and_then(|s| stamps.get(s)) {
        return Ok(Morphology::Stamp(stamp.clone()));
    }
    let known: Vec<_> = stamps.names().take(5).collect();
    let expected = format!("{MORPHOLOGIES}; the name is one of the {} stamps given ({}, ...)", stamps.names().count(), known.join(", "));
    check(id, false, "morphology", text, &expected).map(|()| Morphology::Sersic)
}

/// True for what the column `morphology` may hold, whatever stamps there are.
pub(crate) fn is_morphology(text: &str) -> bool {
    let of_prefix = |prefix| text.strip_prefix(prefix);
    text.is_empty()
        || of_prefix(STAMP).is_some_and(|s| !s.is_empty())
        || of_prefix(GAUSSIANS).is_some_and(|g| GaussianMixture::of_text(g).is_ok())
}
