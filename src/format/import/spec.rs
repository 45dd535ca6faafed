//! The layout as it stands in the TOML file; what the keys mean is said on the module's page.

use super::source::Source;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    #[serde(default = "here")]
    pub(super) root: String,
    pub(super) image: ImageSpec,
    pub(super) variance: VarianceSpec,
    pub(super) mask: Option<MaskSpec>,
    pub(super) psf: PsfSpec,
    #[serde(default)]
    pub(super) table: BTreeMap<String, TableSpec>,
    pub(super) exposure: ExposureSpec,
    pub(super) photometry: PhotometrySpec,
    #[serde(default)]
    pub(super) astrometry: AstrometrySpec,
    pub(super) truth: Option<TruthSpec>,
}

fn here() -> String {
    ".".into()
}

/// An HDU by number or name; a name may hold captures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "the number of an HDU (0 is the primary) or its name")]
pub(super) enum HduSpec {
    Number(usize),
    Name(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageSpec {
    pub(super) file: String,
    pub(super) hdu: Option<HduSpec>,
    pub(super) hdus: Option<Vec<HduSpec>>,
    #[serde(default)]
    pub(super) plane: usize,
    pub(super) name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VarianceKind {
    Variance,
    InverseVariance,
    Sigma,
    Constant,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VarianceSpec {
    pub(super) kind: VarianceKind,
    pub(super) value: Option<Source>,
    pub(super) file: Option<String>,
    pub(super) hdu: Option<HduSpec>,
    pub(super) hdu_offset: Option<usize>,
    #[serde(default)]
    pub(super) plane: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MaskKind {
    Bits,
    Codes,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MaskSpec {
    pub(super) kind: MaskKind,
    pub(super) file: Option<String>,
    pub(super) hdu: Option<HduSpec>,
    pub(super) hdu_offset: Option<usize>,
    #[serde(default)]
    pub(super) plane: usize,
    pub(super) planes: BTreeMap<String, String>,
    #[serde(default = "bad")]
    pub(super) unknown: String,
}

fn bad() -> String {
    "BAD".into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PsfKind {
    Stamp,
    Psfex,
    Moffat,
    Gaussian,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PsfSpec {
    pub(super) kind: PsfKind,
    pub(super) file: Option<String>,
    pub(super) hdu: Option<HduSpec>,
    pub(super) hdu_offset: Option<usize>,
    #[serde(default)]
    pub(super) plane: usize,
    #[serde(default)]
    pub(super) normalize: bool,
    pub(super) fwhm_px: Option<Source>,
    pub(super) fwhm_arcsec: Option<Source>,
    pub(super) beta: Option<Source>,
    pub(super) e1: Option<Source>,
    pub(super) e2: Option<Source>,
    pub(super) radius_px: Option<usize>,
    #[serde(default = "yes")]
    pub(super) pixel_integrated: bool,
}

fn yes() -> bool {
    true
}

/// How the row of an exposure is found in a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchSpec {
    pub(super) column: String,
    pub(super) value: String,
    #[serde(default)]
    pub(super) base_name: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableSpec {
    pub(super) file: String,
    pub(super) hdu: Option<HduSpec>,
    #[serde(rename = "match")]
    pub(super) matches: Vec<MatchSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimeScale {
    Utc,
    #[default]
    Tai,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimeOf {
    Start,
    #[default]
    Middle,
    End,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExposureSpec {
    pub(super) band: Source,
    pub(super) mjd: Source,
    #[serde(default)]
    pub(super) mjd_of: TimeOf,
    #[serde(default)]
    pub(super) mjd_scale: TimeScale,
    pub(super) exposure_time: Source,
    pub(super) gain: Source,
    pub(super) read_noise: Option<Source>,
    pub(super) saturation: Option<Source>,
    pub(super) sky_subtracted: bool,
    pub(super) known_sky: Option<Source>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhotometrySpec {
    pub(super) zero_point: Option<Source>,
    #[serde(default)]
    pub(super) per_second: bool,
    pub(super) njy_per_adu: Option<Source>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AstrometrySpec {
    pub(super) ra_offset_arcsec: Option<Source>,
    pub(super) dec_offset_arcsec: Option<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FluxUnit {
    Njy,
    Ujy,
    Nanomaggy,
    MagAb,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TruthSpec {
    pub(super) file: String,
    pub(super) hdu: Option<HduSpec>,
    pub(super) id: String,
    #[serde(default)]
    pub(super) id_offset: i64,
    pub(super) ra: String,
    pub(super) dec: String,
    pub(super) class: ClassSpec,
    #[serde(default = "njy")]
    pub(super) flux_unit: FluxUnit,
    pub(super) flux: BTreeMap<String, String>,
    pub(super) shape: Option<ShapeSpec>,
    #[serde(default)]
    pub(super) snr: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) extra: BTreeMap<String, String>,
}

fn njy() -> FluxUnit {
    FluxUnit::Njy
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassSpec {
    pub(super) column: Option<String>,
    #[serde(default)]
    pub(super) codes: BTreeMap<String, String>,
    pub(super) constant: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RadiusKind {
    MajorAxis,
    Circularised,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ellipticity {
    #[default]
    ReducedShear,
    Distortion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FirstAxis {
    West,
    East,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShapeSpec {
    pub(super) half_light_radius: String,
    pub(super) radius: RadiusKind,
    pub(super) e1: Option<String>,
    pub(super) e2: Option<String>,
    #[serde(default)]
    pub(super) ellipticity: Ellipticity,
    pub(super) first_axis: Option<FirstAxis>,
    pub(super) axis_ratio: Option<String>,
    pub(super) position_angle: Option<String>,
    pub(super) sersic_n: Option<String>,
}
