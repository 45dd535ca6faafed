//! True objects of an arm as the families that look at pixels and peaks need them.

use crate::neighbours::Neighbours;
use crate::scene::{layer_snr, theory_layers};
use crate::tangent_plane::TangentPlane;
use crate::{ArmData, ValidateInput, ValidationError};
use fathom::catalog::{Table, TableError};

/// One true object.
#[derive(Debug, Clone)]
pub(crate) struct TrueObject {
    /// Id.
    pub id: i64,
    /// Tangent plane \[arcsec\].
    pub point: [f64; 2],
    /// Total flux per band \[nJy\].
    pub flux: Vec<f64>,
    /// True S/N per band.
    pub snr: Vec<f64>,
    /// Cramér-Rao bound of a point source's flux per band \[nJy\].
    pub error: Vec<f64>,
    /// Covered, unmasked and clear of control-run parents.
    pub is_usable: bool,
    /// Usable, and above the theoretical 50 % point of a layer.
    pub is_detectable: bool,
}

/// Truth of an arm on a plane.
pub(crate) struct TrueObjects {
    /// In the order of the table.
    pub all: Vec<TrueObject>,
    /// By position.
    pub near: Neighbours,
    /// Where the sky touches the plane.
    pub plane: TangentPlane,
}

/// A missing or mistyped column of one of the tables.
pub(crate) fn wrong(what: &str) -> impl Fn(TableError) -> ValidationError {
    move |source| ValidationError::Table { what: what.to_owned(), source }
}

impl TrueObjects {
    /// Reads the truth of an arm; none without a truth table.
    pub fn new(input: &ValidateInput, arm: &ArmData) -> Result<Option<Self>, ValidationError> {
        if arm.truth.columns().is_empty() {
            return Ok(None);
        }
        Self::read(input, arm).map(Some).map_err(wrong(&format!("truth of {}", arm.name)))
    }

    fn read(input: &ValidateInput, arm: &ArmData) -> Result<Self, TableError> {
        let t: &Table = &arm.truth;
        let of_bands = |name: &str| input.bands.iter().map(|b| t.f64(&format!("{b}_{name}"))).collect::<Result<Vec<_>, _>>();
        let (flux, snr, error) = (of_bands("flux")?, of_bands("snr_true")?, of_bands("flux_err_limit")?);
        let (id, ra, dec, is_usable) = (t.i64("id")?, t.f64("ra")?, t.f64("dec")?, t.bool("is_usable")?);
        let plane = TangentPlane::at_mean(ra.iter().copied().zip(dec.iter().copied()));
        let layers = theory_layers(input, arm);
        let object = |i: usize| {
            let of = |columns: &[&[f64]]| columns.iter().map(|c| c[i]).collect::<Vec<f64>>();
            let snr = of(&snr);
            let is_detectable = is_usable[i] && layers.iter().any(|(layer, limit)| layer_snr(&snr, layer) >= *limit);
            let point = plane.project(ra[i], dec[i]);
            TrueObject { id: id[i], point, flux: of(&flux), snr, error: of(&error), is_usable: is_usable[i], is_detectable }
        };
        let all: Vec<TrueObject> = (0..t.n_rows()).map(object).collect();
        let near = Neighbours::new(all.iter().map(|o| o.point));
        Ok(Self { all, near, plane })
    }

    /// Nearest other detectable object within `radius_arcsec`: index, distance \[arcsec\].
    pub fn neighbour(&self, i: usize, radius_arcsec: f64) -> Option<(usize, f64)> {
        self.near.within(self.all[i].point, radius_arcsec).into_iter().find(|&(j, _)| j != i && self.all[j].is_detectable)
    }
}

/// Pairs (object id, truth id) of an arm that the matching made; `matches` as in [`crate::Validated::matches`].
pub(crate) fn matched_pairs(matches: &Table, arm: &str) -> Result<Vec<(i64, i64)>, ValidationError> {
    let wrong = wrong("matches");
    let (arms, status) = (matches.text("arm").map_err(&wrong)?, matches.text("status").map_err(&wrong)?);
    let (object, truth) = (matches.i64("object_id").map_err(&wrong)?, matches.i64("truth_id").map_err(&wrong)?);
    let is_pair = |i: &usize| arms[*i] == arm && status[*i] == "matched";
    Ok((0..matches.n_rows()).filter(is_pair).map(|i| (object[i], truth[i])).collect())
}

/// One band, one arm `main` of this truth and nothing else.
#[cfg(test)]
pub(crate) fn blank_input(band: &str, truth: Table) -> ValidateInput {
    let layer = crate::LayerPeaks {
        name: band.to_owned(),
        threshold: 5.0,
        peaks: vec![],
        negative_peaks: vec![],
        area_arcmin2: 1.0,
        n_bands: 1,
        l2_per_arcsec2: f64::NAN,
    };
    ValidateInput {
        bands: vec![band.to_owned()],
        fwhm_arcsec: vec![0.9],
        sqrt_l2: vec![1.8],
        skewness: vec![],
        arms: vec![ArmData { name: "main".into(), truth, blend_fisher: Table::new(), catalog: Table::new(), layers: vec![layer] }],
        control: None,
        seed: 1,
        assessed: crate::assess::Assessed::default(),
    }
}
