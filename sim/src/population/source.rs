//! One object of a field in all bands, and the truth catalog that many of them make.

use crate::SimError;
use crate::error::check;
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::SkyPoint;
use std::borrow::Cow;

/// Objects of one arm: numbers are below this, so that ids of different arms differ.
const NUMBERS_PER_ARM: u64 = 100_000_000;
/// Ids of injected objects start here.
const FIRST_INJECTED: u64 = 1_000_000_000_000_000;

/// The component inside a galaxy's disc.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bulge {
    /// Share of the galaxy's flux, in the order of the bands.
    pub fraction: Vec<f64>,
    /// Along the major axis \[arcsec\].
    pub half_light_radius_arcsec: f64,
    /// Minor / major axis.
    pub axis_ratio: f64,
    /// Sérsic index.
    pub sersic_n: f64,
}

/// Change of the position with time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Motion {
    /// At which the position holds \[MJD\].
    pub epoch_mjd: f64,
    /// To the east, cos(dec) included \[mas/yr\].
    pub pm_ra_mas_yr: f64,
    /// To the north \[mas/yr\].
    pub pm_dec_mas_yr: f64,
    /// Parallax \[mas\].
    pub parallax_mas: f64,
}

/// Change of the flux with time; the fields as the columns `variability`, `var_*` of [`fathom::format::truth`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Variability {
    /// Empty, `sine`, `walk` or `transient`.
    pub kind: &'static str,
    /// Period, damping time or e-folding time of the fall \[d\].
    pub period_d: f64,
    /// Half of peak to peak, or standard deviation \[mag\].
    pub amplitude_mag: f64,
    /// Of maximum light \[MJD\].
    pub t0_mjd: f64,
}

impl Variability {
    /// None.
    pub const CONSTANT: Self = Self { kind: "", period_d: f64::NAN, amplitude_mag: 0.0, t0_mjd: f64::NAN };
}

/// One object of a field, in all bands.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Number in its field, from 0; the id follows from it and the arm.
    pub number: u64,
    pub position: SkyPoint,
    /// `star`, `galaxy`, `variable`, `transient`, `mover`.
    pub class: &'static str,
    /// In the order of the bands.
    pub flux_njy: Vec<f64>,
    pub half_light_radius_arcsec: f64,
    pub axis_ratio: f64,
    pub position_angle_deg: f64,
    pub sersic_n: f64,
    pub bulge: Option<Bulge>,
    pub motion: Motion,
    pub variability: Variability,
    /// The column `morphology` of [`fathom::format::truth`].
    pub morphology: Cow<'static, str>,
    pub redshift: f64,
    /// Name of the template.
    pub sed: &'static str,
    pub cluster_id: i64,
    /// Number of the galaxy that it lies on.
    pub host: Option<u64>,
    pub is_injected: bool,
    pub snr_target: f64,
    pub regime: Cow<'static, str>,
}

impl Source {
    /// A constant point source at rest.
    pub fn star(number: u64, position: SkyPoint, flux_njy: Vec<f64>) -> Self {
        Self {
            number,
            position,
            class: "star",
            flux_njy,
            half_light_radius_arcsec: 0.0,
            axis_ratio: 1.0,
            position_angle_deg: 0.0,
            sersic_n: 0.0,
            bulge: None,
            motion: Motion::default(),
            variability: Variability::CONSTANT,
            morphology: Cow::Borrowed(""),
            redshift: f64::NAN,
            sed: "",
            cluster_id: 0,
            host: None,
            is_injected: false,
            snr_target: f64::NAN,
            regime: Cow::Borrowed(""),
        }
    }

    /// Unique among all objects of all arms, drawn or injected.
    fn id(&self, arm: u64) -> i64 {
        id_of(self.number, arm, self.is_injected)
    }
}

fn id_of(number: u64, arm: u64, is_injected: bool) -> i64 {
    let kind = if is_injected { FIRST_INJECTED } else { 0 };
    (kind + arm * NUMBERS_PER_ARM + number + 1) as i64
}

/// The truth catalog, with every column of [`fathom::format::truth`]: two arms of a field then have the same columns, whatever was drawn.
/// `seed` keys what is drawn of an object later: its walk.
///
/// # Errors
/// [`SimError::Config`] if a number or the arm is beyond what ids can hold.
pub(crate) fn to_table(sources: &[Source], bands: &[String], seed: u64, arm: u64) -> Result<Table, SimError> {
    let largest = sources.iter().map(|s| s.number).max().unwrap_or(0);
    check("sky", "number of objects", largest < NUMBERS_PER_ARM, largest, "below 1e8 an arm")?;
    check("sky", "arm", arm < FIRST_INJECTED / NUMBERS_PER_ARM, arm, "below 1e7")?;
    let real = |f: &dyn Fn(&Source) -> f64| ColumnData::F64(sources.iter().map(f).collect());
    let text = |f: &dyn Fn(&Source) -> &str| ColumnData::Text(sources.iter().map(|s| f(s).to_owned()).collect());
    let whole = |f: &dyn Fn(&Source) -> i64| ColumnData::I64(sources.iter().map(f).collect());
    let bulge = |default: f64, f: fn(&Bulge) -> f64| real(&|s| s.bulge.as_ref().map_or(default, f));
    let mut table = Table::new();
    let mut push = |name: &str, unit: &str, what: &str, data: ColumnData| table.push(name, unit, what, data);
    push("id", "", "unique number of the object", whole(&|s| s.id(arm)))?;
    push("ra", "deg", "right ascension, ICRS, at the epoch", real(&|s| s.position.ra_deg()))?;
    push("dec", "deg", "declination, ICRS, at the epoch", real(&|s| s.position.dec_deg()))?;
    push("class", "", "star, galaxy, variable, transient or mover", text(&|s| s.class))?;
    for (i, band) in bands.iter().enumerate() {
        push(&format!("{band}_flux"), "nJy", "total flux, mean over the epochs; of a transient at maximum", real(&|s| s.flux_njy[i]))?;
    }
    push("half_light_radius", "arcsec", "along the major axis; 0 for a point source", real(&|s| s.half_light_radius_arcsec))?;
    push("axis_ratio", "", "minor / major axis", real(&|s| s.axis_ratio))?;
    push("position_angle", "deg", "of the major axis, east of north", real(&|s| s.position_angle_deg))?;
    push("sersic_n", "", "Sérsic index; 0 for a point source", real(&|s| s.sersic_n))?;
    push("is_injected", "", "added to real pixels", ColumnData::Bool(sources.iter().map(|s| s.is_injected).collect()))?;
    push("snr_target", "", "signal to noise asked for in every band; NaN if none", real(&|s| s.snr_target))?;
    push("regime", "", "group of the scene", text(&|s| &s.regime))?;
    push("epoch", "d", "MJD at which ra and dec hold", real(&|s| s.motion.epoch_mjd))?;
    push("pm_ra", "mas/yr", "motion to the east, cos(dec) included", real(&|s| s.motion.pm_ra_mas_yr))?;
    push("pm_dec", "mas/yr", "motion to the north", real(&|s| s.motion.pm_dec_mas_yr))?;
    push("parallax", "mas", "parallax", real(&|s| s.motion.parallax_mas))?;
    push("variability", "", "empty, sine, walk or transient", text(&|s| s.variability.kind))?;
    push("var_period", "d", "period; damping time of a walk; e-folding time of a transient's fall", real(&|s| s.variability.period_d))?;
    push("var_amplitude", "mag", "half of peak to peak; standard deviation of a walk", real(&|s| s.variability.amplitude_mag))?;
    push("var_seed", "", "with id, the key of a walk", whole(&|_| seed as i64))?;
    push("var_t0", "d", "MJD of maximum light", real(&|s| s.variability.t0_mjd))?;
    for (i, band) in bands.iter().enumerate() {
        let data = real(&|s| s.bulge.as_ref().map_or(0.0, |b| b.fraction[i]));
        push(&format!("{band}_bulge_fraction"), "", "share of the flux in the bulge", data)?;
    }
    push("bulge_half_light_radius", "arcsec", "of the bulge, along the major axis", bulge(0.0, |b| b.half_light_radius_arcsec))?;
    push("bulge_axis_ratio", "", "of the bulge", bulge(1.0, |b| b.axis_ratio))?;
    push("bulge_sersic_n", "", "of the bulge", bulge(4.0, |b| b.sersic_n))?;
    push("morphology", "", "empty: Sérsic profiles", text(&|s| &s.morphology))?;
    push("redshift", "", "NaN for what has none", real(&|s| s.redshift))?;
    push("sed", "", "name of the template", text(&|s| s.sed))?;
    push("cluster_id", "", "cluster that it belongs to; 0 for none", whole(&|s| s.cluster_id))?;
    let host = |s: &Source| s.host.map_or(0, |number| id_of(number, arm, s.is_injected));
    push("host_id", "", "object that it lies on; 0 for none", whole(&host))?;
    Ok(table)
}
