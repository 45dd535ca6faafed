//! The decision about every footprint of a band, when its pieces in all tiles and patches are joined.

use super::classify::{Surroundings, class_of};
use super::footprint::ArtifactFootprint;
use super::movers::{Detection, on_a_line};
use super::{ArtifactClass, ArtifactsConfig, Candidate, Policy};
use crate::footprint::SpanSet;
use crate::geometry::Box2;

/// An epoch has the same as a footprint if its own footprints cover this share of it.
const SAME_PLACE: f64 = 0.3;

/// A mover's detections are this near to its line \[FWHM of the common PSF\].
const ON_LINE_FWHM: f64 = 0.5;

/// What is done about a footprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its pixels are left out.
    Exclude,
    /// They are flagged.
    Flag,
    /// Nothing.
    Leave,
}

impl Action {
    /// As in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Flag => "flag",
            Self::Leave => "leave",
        }
    }

    fn of(policy: Policy) -> Self {
        match policy {
            Policy::Exclude => Self::Exclude,
            Policy::Mean => Self::Flag,
            Policy::Leave => Self::Leave,
        }
    }
}

/// A band of the tract, to be decided upon.
pub struct DecideInput<'a> {
    /// Candidates of all patches.
    pub candidates: Vec<Candidate>,
    /// When each exposure was taken \[MJD\].
    pub mjds: &'a [f64],
    /// FWHM of the common PSF \[tract pixel\].
    pub target_fwhm_px: f64,
    /// Side of a tract pixel \[arcsec\].
    pub pixel_scale_arcsec: f64,
    /// Pixels of the tract.
    pub tract: Box2,
}

/// A whole footprint, decided upon.
#[derive(Debug, Clone, PartialEq)]
pub struct ClippedFootprint {
    /// Exposure, by its place among the band's in id order.
    pub exposure: usize,
    /// What it is taken for.
    pub class: ArtifactClass,
    /// What is done.
    pub action: Action,
    /// The exposure has more than the static sky.
    pub is_positive: bool,
    /// Most significant pixel on the tract.
    pub x: i32,
    /// Its row.
    pub y: i32,
    /// Pixels, before growth.
    pub n_pixels: usize,
    /// Exposures of the place.
    pub n_epochs: u32,
    /// Those that have a footprint here.
    pub n_with: u32,
    /// Significance of its best pixel \[sigma\].
    pub snr: f64,
    /// By how much it is sharper than the PSF allows \[sigma\].
    pub sharp_snr: f64,
    /// Pixels of the tract to which the action applies, grown.
    pub spans: SpanSet,
}

/// Joins the candidates of a band into footprints and decides about each: ordered by exposure, sign (positive first) and first pixel.
#[must_use]
pub fn decide(config: &ArtifactsConfig, input: DecideInput) -> Vec<ClippedFootprint> {
    let footprints = join(input.candidates, config.threshold);
    let places = Places::new(&footprints, input.mjds.len(), config.sharp_threshold);
    let around: Vec<Surroundings> = footprints.iter().map(|f| places.around(f, config, input.target_fwhm_px)).collect();
    let mut classes: Vec<ArtifactClass> = footprints.iter().zip(&around).map(|(f, a)| class_of(f, a)).collect();
    // A source that varies in one epoch is variable in all.
    let is_variable = footprints.iter().zip(&classes).filter(|(_, class)| **class == ArtifactClass::Variable);
    let variable = SpanSet::from_spans(is_variable.flat_map(|(f, _)| f.spans(|_| true).spans().to_vec()).collect());
    for (f, class) in footprints.iter().zip(&mut classes).filter(|(_, class)| **class == ArtifactClass::Transient) {
        if covers(&variable, f) {
            *class = ArtifactClass::Variable;
        }
    }
    let alone: Vec<usize> = (0..classes.len())
        .filter(|&k| classes[k] == ArtifactClass::Transient && around[k].n_with == 1 && footprints[k].is_positive)
        .collect();
    let detections: Vec<Detection> = alone
        .iter()
        .filter_map(|&k| footprints[k].shape().map(|s| Detection { mjd: input.mjds[footprints[k].exposure()], at: s.at }))
        .collect();
    let max_px_per_day = config.max_rate_arcsec_h * 24.0 / input.pixel_scale_arcsec;
    let moves = on_a_line(&detections, max_px_per_day, ON_LINE_FWHM * input.target_fwhm_px);
    for (&k, _) in alone.iter().zip(moves).filter(|(_, moves)| *moves) {
        classes[k] = ArtifactClass::Mover;
    }
    let finish = |((f, class), around): ((&ArtifactFootprint, ArtifactClass), &Surroundings)| {
        let action = match class {
            ArtifactClass::CosmicRay | ArtifactClass::Streak | ArtifactClass::Extended => Action::Exclude,
            ArtifactClass::Transient => Action::of(config.transients),
            ArtifactClass::Mover => Action::of(config.movers),
            ArtifactClass::Variable => Action::of(config.variables),
            ArtifactClass::Persistent | ArtifactClass::Unclear => Action::Leave,
        };
        let spans = if class == ArtifactClass::CosmicRay {
            // Where the matching kernel spread it, nothing is wrong.
            f.spans(|c| c.native_snr > 0.0).grown(config.grow_px.round() as i32, &input.tract)
        } else {
            f.spans(|_| true).grown((config.grow_fwhm * input.target_fwhm_px).round() as i32, &input.tract)
        };
        ClippedFootprint {
            exposure: f.exposure(),
            class,
            action,
            is_positive: f.is_positive,
            x: f.peak().x,
            y: f.peak().y,
            n_pixels: f.pixels.len(),
            n_epochs: f.n_epochs(),
            n_with: around.n_with,
            snr: f.peak().snr(),
            sharp_snr: f.sharp_snr(),
            spans,
        }
    };
    footprints.iter().zip(classes).zip(&around).map(finish).collect()
}

fn join(mut candidates: Vec<Candidate>, threshold: f64) -> Vec<ArtifactFootprint> {
    candidates.sort_by_key(|c| (c.exposure, c.y, c.x));
    let mut footprints: Vec<ArtifactFootprint> =
        candidates.chunk_by(|a, b| a.exposure == b.exposure).flat_map(|of| ArtifactFootprint::all_of(of, threshold)).collect();
    footprints.sort_by_key(|f| (f.exposure(), !f.is_positive, f.first()));
    footprints
}

/// Where each exposure has footprints.
struct Places {
    all: Vec<SpanSet>,
    sharp: Vec<SpanSet>,
    dark: Vec<SpanSet>,
}

impl Places {
    fn new(footprints: &[ArtifactFootprint], n_exposures: usize, sharp_threshold: f64) -> Self {
        let of = |is_in: &dyn Fn(&ArtifactFootprint) -> bool| {
            let mut spans = vec![Vec::new(); n_exposures];
            for f in footprints.iter().filter(|f| is_in(f)) {
                spans[f.exposure()].extend_from_slice(f.spans(|_| true).spans());
            }
            spans.into_iter().map(SpanSet::from_spans).collect()
        };
        Self { all: of(&|_| true), sharp: of(&|f| f.n_sharp(sharp_threshold) > 0), dark: of(&|f| !f.is_positive) }
    }

    fn around(&self, f: &ArtifactFootprint, config: &ArtifactsConfig, target_fwhm_px: f64) -> Surroundings {
        let others = |sets: &[SpanSet]| sets.iter().enumerate().filter(|(i, set)| *i != f.exposure() && covers(set, f)).count() as u32;
        Surroundings {
            n_with: 1 + others(&self.all),
            n_sharp: 1 + others(&self.sharp),
            is_dark_elsewhere: others(&self.dark) > 0,
            target_fwhm_px,
            sharp_threshold: config.sharp_threshold,
            threshold: config.threshold,
        }
    }
}

/// The set covers enough of a footprint to be at the same place.
fn covers(set: &SpanSet, f: &ArtifactFootprint) -> bool {
    let n = f.pixels.iter().filter(|c| set.contains(c.x, c.y)).count();
    n as f64 >= SAME_PLACE * f.pixels.len() as f64
}
