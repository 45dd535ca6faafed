//! Who is who: one-to-one matches of truth and detections, and what became of the rest.
//!
//! Pairs within reach of each other ([`likelihood`]: PSF, S/N, quoted error) form connected groups ([`groups`]); in each group the
//! assignment of least total cost is taken, with the option of staying without partner ([`assignment`]). Nothing depends on what lies
//! outside a group, so that a patch that sees its groups whole finds the matches of the tract. Time and memory are linear in the
//! number of objects for fields whose groups stay small; groups that do not are cut, see [`groups::groups`].

mod assignment;
mod groups;
mod likelihood;

use crate::neighbours::Neighbours;
use crate::scene::{Detection, Scene, Truth, mean_fwhm};
use crate::{ValidateConfig, ValidateInput};
use assignment::{MARGIN_CAP, Problem};
use groups::Candidate;
use likelihood::Side;
use rayon::prelude::*;

/// A runner-up within this Δ(-2 ln L) makes a match ambiguous: a likelihood ratio above 0.14.
const AMBIGUOUS_MARGIN: f64 = 4.0;
/// A truth without detection is blended into one that lies within this many match radii: in the parent, if not in the peak.
const BLEND_RADII: f64 = 1.5;
/// Light of a truth below this S/N splits off no shred.
const SHRED_SNR: f64 = 5.0;
/// Truth objects whose candidates are looked up together.
const CHUNK: usize = 4096;

/// What became of a truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruthFate {
    /// Matched to the detection of this index.
    Matched(usize),
    /// Counts, has no detection of its own, and lies within 1.5 match radii of this one, which is another truth's.
    Blended(usize),
    /// Counts, and has no detection.
    Missed,
    /// Too faint or unusable; with the detection that it explains, if any.
    Ignored(Option<usize>),
}

/// What became of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetectionFate {
    /// Matched to the truth of this index.
    Matched(usize),
    /// A piece of the light of this truth, which has another, better detection.
    Shred(usize),
    /// Nothing is there.
    Spurious,
    /// An object that the control run has too.
    Real,
    /// Explained by an ignored truth.
    Ignored,
}

/// The outcome for one scene, in the order of its truth and detections.
#[derive(Debug)]
pub struct Matches {
    /// Per truth.
    pub truth: Vec<TruthFate>,
    /// Per detection.
    pub detections: Vec<DetectionFate>,
    /// Per truth, by how much -2 ln L of its group grows in the best assignment that treats it otherwise (0..50; NaN if it took no
    /// part): exp(-margin/2) is the likelihood ratio of the runner-up.
    pub margin: Vec<f64>,
}

impl Matches {
    /// Matched pairs (truth, detection) that count, ambiguous ones included.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.truth.iter().enumerate().filter_map(|(i, fate)| if let TruthFate::Matched(d) = fate { Some((i, *d)) } else { None })
    }

    /// True if another assignment is nearly as likely for this truth.
    #[must_use]
    pub fn is_ambiguous(&self, truth: usize) -> bool {
        self.margin[truth] < AMBIGUOUS_MARGIN
    }
}

/// What matching asks for beside the scene.
#[derive(Debug, Clone, Copy)]
pub struct MatchRules {
    /// Largest distance of a pair \[arcsec\]; S/N makes it smaller.
    pub radius_arcsec: f64,
    /// FWHM of the PSF \[arcsec\].
    pub fwhm_arcsec: f64,
    /// Truth below this S/N takes no part.
    pub ignore_below_snr: f64,
}

impl MatchRules {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &ValidateConfig, input: &ValidateInput) -> Self {
        let fwhm_arcsec = mean_fwhm(input);
        Self { radius_arcsec: config.match_radius_fwhm * fwhm_arcsec, fwhm_arcsec, ignore_below_snr: config.ignore_below_snr }
    }
}

/// Matches a scene.
///
/// Unusable truth takes part (it must keep its detection from its neighbours) but does not count. Truth below `ignore_below_snr`
/// takes no part; what lies near it is neither found nor spurious if it has at least half that S/N. Fainter truth is everywhere and
/// explains nothing.
///
/// # Arguments
/// * `control`: detections of the same field without injection, on the plane of `scene`.
#[must_use]
pub fn match_scene(scene: &Scene, rules: &MatchRules, control: Option<&Neighbours>) -> Matches {
    let (partner_of_truth, margin) = assign(scene, rules);
    let mut partner_of_detection = vec![None; scene.detections.len()];
    for (i, d) in partner_of_truth.iter().enumerate().filter_map(|(i, d)| Some((i, (*d)?))) {
        partner_of_detection[d] = Some(i);
    }
    let truth = scene.truth.iter().zip(&partner_of_truth).map(|(t, partner)| match (t.counts, *partner) {
        (true, Some(d)) => TruthFate::Matched(d),
        (true, None) => {
            match scene.detections_near.nearest(t.point, BLEND_RADII * rules.radius_arcsec, |d| partner_of_detection[d].is_some()) {
                Some((d, _)) => TruthFate::Blended(d),
                None => TruthFate::Missed,
            }
        }
        (false, partner) => TruthFate::Ignored(partner),
    });
    let source_of_shred = shreds(scene, rules, &partner_of_truth, &partner_of_detection);
    let explains = |t: &Truth| !t.counts && (!t.is_usable || t.snr_all >= 0.5 * rules.ignore_below_snr);
    let radius = rules.radius_arcsec;
    let detections = scene.detections.iter().enumerate().map(|(d, detection)| match (partner_of_detection[d], source_of_shred[d]) {
        (Some(i), _) if scene.truth[i].counts => DetectionFate::Matched(i),
        (Some(_), _) => DetectionFate::Ignored,
        _ if scene.truth_near.nearest(detection.point, radius, |i| explains(&scene.truth[i])).is_some() => DetectionFate::Ignored,
        _ if control.is_some_and(|c| c.any_within(detection.point, radius)) => DetectionFate::Real,
        (None, Some(i)) => DetectionFate::Shred(i),
        (None, None) => DetectionFate::Spurious,
    });
    Matches { truth: truth.collect(), detections: detections.collect(), margin }
}

/// Detection and margin of every truth.
fn assign(scene: &Scene, rules: &MatchRules) -> (Vec<Option<usize>>, Vec<f64>) {
    let unmatched = likelihood::unmatched_cost();
    let takes_part = |t: &Truth| t.counts || (!t.is_usable && (t.snr_all.is_nan() || t.snr_all >= rules.ignore_below_snr));
    let indices: Vec<usize> = (0..scene.truth.len()).filter(|&i| takes_part(&scene.truth[i])).collect();
    let chunks: Vec<Vec<Candidate>> = indices.par_chunks(CHUNK).map(|chunk| candidates(scene, rules, chunk)).collect();
    let groups = groups::groups(chunks.concat(), unmatched);
    let solved: Vec<Vec<(u32, Option<u32>, f64)>> = groups.par_iter().map(|group| solve(group, unmatched)).collect();
    let mut partner = vec![None; scene.truth.len()];
    let mut margin = vec![f64::NAN; scene.truth.len()];
    for i in indices {
        margin[i] = MARGIN_CAP;
    }
    for (i, d, m) in solved.into_iter().flatten() {
        partner[i as usize] = d.map(|d| d as usize);
        margin[i as usize] = m;
    }
    (partner, margin)
}

/// All pairs within reach of these truth objects.
fn candidates(scene: &Scene, rules: &MatchRules, indices: &[usize]) -> Vec<Candidate> {
    let mut out = Vec::new();
    let (mut true_flux, mut flux, mut flux_err) = (Vec::new(), Vec::new(), Vec::new());
    let no_error = vec![0.0; scene.truth_bands.len()];
    for &i in indices {
        let truth = &scene.truth[i];
        true_flux.clear();
        true_flux.extend(scene.truth_bands.iter().map(|b| b.flux[i]));
        // What is larger than the PSF has a centre that is as much less certain.
        let fwhm = rules.fwhm_arcsec.hypot(2.0 * truth.half_light_radius);
        let sigma = likelihood::expected_sigma(fwhm, truth.snr_all);
        let side = Side { point: truth.point, sigma: [sigma; 2], flux: &true_flux, flux_err: &no_error };
        scene.detections_near.each_within(truth.point, rules.radius_arcsec, |d, distance| {
            let detection = &scene.detections[d];
            flux.clear();
            flux_err.clear();
            for (f, e) in scene.measured.iter().map(|b| b.at(detection.row)) {
                flux.push(f);
                flux_err.push(e);
            }
            let other = Side { point: detection.point, sigma: detection.point_err, flux: &flux, flux_err: &flux_err };
            if distance <= likelihood::reach(&side, &other, fwhm, rules.radius_arcsec) {
                let cost = likelihood::pair_cost(&side, &other, fwhm, rules.radius_arcsec);
                out.push(Candidate { truth: i as u32, detection: d as u32, cost });
            }
        });
    }
    out
}

/// Truth, detection and margin of a group.
fn solve(group: &[Candidate], unmatched: f64) -> Vec<(u32, Option<u32>, f64)> {
    if let [only] = group {
        return vec![(only.truth, Some(only.detection), (unmatched - only.cost).min(MARGIN_CAP))];
    }
    let mut columns: Vec<u32> = group.iter().map(|c| c.detection).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut rows: Vec<u32> = group.iter().map(|c| c.truth).collect();
    rows.dedup();
    let place = |list: &[u32], id: u32| list.binary_search(&id).expect("listed above") as u32;
    let edges: Vec<(u32, u32, f64)> = group.iter().map(|c| (place(&rows, c.truth), place(&columns, c.detection), c.cost)).collect();
    let solved = Problem { edges: &edges, n_rows: rows.len(), n_columns: columns.len(), unmatched }.solve();
    rows.iter().zip(solved.column).zip(solved.margin).map(|((&t, d), m)| (t, d.map(|d| columns[d as usize]), m)).collect()
}

/// Truth of whose light each detection without partner is a piece, if any.
///
/// A truth with a detection of its own reaches as far as its profile is above 5 sigma, as a Gaussian: FWHM/2 √log2(S/N / 5), and at
/// least the match radius. A detection of more significance than the truth is no piece of it. Of several the one that is nearest in
/// units of its reach is named.
fn shreds(
    scene: &Scene,
    rules: &MatchRules,
    partner_of_truth: &[Option<usize>],
    partner_of_detection: &[Option<usize>],
) -> Vec<Option<usize>> {
    let mut best: Vec<Option<(f64, usize)>> = vec![None; scene.detections.len()];
    for (i, truth) in scene.truth.iter().enumerate().filter(|(i, _)| partner_of_truth[*i].is_some()) {
        let half_width = 0.5 * rules.fwhm_arcsec.hypot(2.0 * truth.half_light_radius);
        let reach = rules.radius_arcsec.max(half_width * (truth.snr_all / SHRED_SNR).max(1.0).log2().sqrt());
        scene.detections_near.each_within(truth.point, reach, |d, distance| {
            let is_fainter = |d: &Detection| d.snr.is_nan() || truth.snr_all.is_nan() || d.snr <= truth.snr_all;
            let of_reach = distance / reach;
            if partner_of_detection[d].is_none()
                && is_fainter(&scene.detections[d])
                && best[d].is_none_or(|b| of_reach.total_cmp(&b.0).then(i.cmp(&b.1)).is_lt())
            {
                best[d] = Some((of_reach, i));
            }
        });
    }
    best.into_iter().map(|b| b.map(|b| b.1)).collect()
}

#[cfg(test)]
mod tests;
