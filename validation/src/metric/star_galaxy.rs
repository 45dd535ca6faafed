//! Separation of stars and galaxies by what the catalog measures: `star_galaxy.<score>.roc_area` and `.star_completeness`.
//!
//! Scores: `moment_size`, the trace of the second moments, and `psf_to_<aperture>`, -2.5 log10 of the aperture flux over the PSF flux.
//! Over all thresholds a score keeps a share of the stars and lets a share of the galaxies pass; the area under that curve (ROC) is the
//! probability that of a star and a galaxy the galaxy has the higher score: 1 is perfect, 0.5 a coin. `star_completeness`: share of
//! stars below the threshold that 5 % of the galaxies pass (regime `5% of galaxies`). Matched objects, usable, per bin of true S/N.
//!
//! # Source
//! Hanley & McNeil 1982, Radiology 143, 29 (area and Mann-Whitney's U); Slater et al. 2020, AJ 159, 65 (flux ratio as morphology).

use super::axis::RESIDUAL_SNR;
use super::curves::{self, horizontal, mark};
use super::photometry::Fluxes;
use super::shape::Moments;
use super::{Figure, Metric};
use crate::plot::{Corner, MarkKind, Panel, Plot, Section};
use crate::statistics::{Interval, interval};
use crate::survey::Survey;

/// Share of galaxies that may pass for stars.
const CONTAMINATION: f64 = 0.05;
/// Ranks are counted in this many bins in replicates.
const N_BINS: usize = 256;
/// Fewest of each kind for a figure.
const FEWEST: usize = 5;

/// A matched object: block, true S/N, is it a star, score (higher: more extended).
#[derive(Debug, Clone, Copy)]
struct Scored {
    block: u32,
    snr: f64,
    is_star: bool,
    score: f64,
}

/// All scores in all bands.
pub(crate) fn star_galaxy(survey: &Survey, out: &mut Vec<Metric>) -> Vec<Plot> {
    let kinds = |is_point: bool| survey.scenes.iter().any(|s| s.truth.iter().any(|t| t.counts && t.is_point == is_point));
    if !(kinds(true) && kinds(false)) {
        return Vec::new();
    }
    let apertures: Vec<String> = survey.flux_algorithms().into_iter().filter(|a| a != "psf_flux").collect();
    let mut panels = Vec::new();
    for (band, name) in survey.input.bands.iter().enumerate() {
        let mut marks = Vec::new();
        let names = std::iter::once("moment_size".to_owned()).chain(apertures.iter().map(|a| format!("psf_to_{a}")));
        for (i, score) in names.enumerate() {
            let all = scores(survey, band, i.checked_sub(1).map(|k| apertures[k].as_str()));
            report(survey, out, &score, name, "", &all);
            for bin in 0..RESIDUAL_SNR.n_bins() {
                let of_bin: Vec<Scored> = all.iter().copied().filter(|s| RESIDUAL_SNR.bin(s.snr) == Some(bin)).collect();
                if !of_bin.is_empty() {
                    report(survey, out, &score, name, &RESIDUAL_SNR.regime(bin), &of_bin);
                }
            }
            let curve = Roc::new(&all).curve();
            if curve.len() > 2 {
                marks.push(mark(score.replace('_', " "), i, MarkKind::Line(curve)));
            }
        }
        if !marks.is_empty() {
            marks.push(horizontal((0.0, 1.0), 1.0));
            panels.push(Panel {
                x_label: format!("share of galaxies taken for stars, {name}"),
                y_label: "share of stars kept".into(),
                x: (0.0, 1.0),
                y: (0.0, 1.03),
                log_y: false,
                marks,
                legend: Corner::LowerRight,
            });
        }
    }
    let caption = "Share of matched stars below a threshold of the score against the share of matched galaxies below it, for all \
                   thresholds. Scores: trace of the second moments; aperture flux over PSF flux.";
    curves::plot("star_galaxy", Section::Shapes, "Separation of stars and galaxies", caption, panels).into_iter().collect()
}

/// Scores of all matches: of an aperture, or of the moments.
fn scores(survey: &Survey, band: usize, aperture: Option<&str>) -> Vec<Scored> {
    let columns: Vec<_> = (0..survey.scenes.len())
        .map(|arm| {
            let fluxes = aperture.map(|a| Some((Fluxes::new(survey, arm, "psf_flux", band)?, Fluxes::new(survey, arm, a, band)?)));
            (fluxes.flatten(), Moments::new(survey, arm, band))
        })
        .collect();
    survey.tally(|piece, scores: &mut Vec<Scored>| {
        let (fluxes, moments) = &columns[piece.arm];
        for (t, detection) in piece.pairs() {
            let score = match (aperture, fluxes, moments) {
                (Some(_), Some((psf, aperture)), _) => {
                    psf.at(detection.row).zip(aperture.at(detection.row)).map(|(p, a)| 2.5 * (a.0 / p.0).log10())
                }
                (None, _, Some(moments)) => moments.at(detection.row).map(|m| m[0] + m[1]),
                _ => None,
            };
            if let Some(score) = score.filter(|s| s.is_finite()) {
                scores.push(Scored { block: t.block, snr: piece.scene.snr_of(t.i, Some(band)), is_star: t.truth.is_point, score });
            }
        }
    })
}

fn report(survey: &Survey, out: &mut Vec<Metric>, score: &str, band: &str, regime: &str, group: &[Scored]) {
    let roc = Roc::new(group);
    let n = group.len() as u64;
    let n_stars = group.iter().filter(|s| s.is_star).count();
    let known = n_stars >= FEWEST && group.len() - n_stars >= FEWEST;
    let (area, kept) = if known {
        let draws = survey.replicates.map_sums(2 * roc.bins.len(), roc.entries.clone(), |counts| {
            let bins: Vec<[f64; 2]> = counts.chunks_exact(2).map(|c| [c[0], c[1]]).collect();
            (area(&bins), kept(&bins))
        });
        let (areas, shares) = draws.into_iter().unzip();
        let figure = |value: f64, (lo, hi): Interval| Figure { value: Some(value), lo, hi, n };
        (figure(area(&roc.bins), interval(areas)), figure(kept(&roc.bins), interval(shares)))
    } else {
        (Figure { n, ..Figure::NONE }, Figure { n, ..Figure::NONE })
    };
    let at_five = if regime.is_empty() { "5% of galaxies".to_owned() } else { format!("5% of galaxies, {regime}") };
    out.push(Metric::new(&format!("star_galaxy.{score}.roc_area"), "", area).band(band).regime(regime));
    out.push(Metric::new(&format!("star_galaxy.{score}.star_completeness"), "", kept).band(band).regime(&at_five));
}

/// Stars and galaxies in bins of rank of the score.
struct Roc {
    /// Galaxies, stars.
    bins: Vec<[f64; 2]>,
    entries: Vec<(u32, usize, f64)>,
}

impl Roc {
    fn new(group: &[Scored]) -> Self {
        let mut sorted: Vec<&Scored> = group.iter().collect();
        sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
        let n_bins = sorted.len().min(N_BINS);
        let mut bins = vec![[0.0; 2]; n_bins];
        let mut entries = Vec::with_capacity(sorted.len());
        let mut bin = 0;
        for (rank, s) in sorted.iter().enumerate() {
            // Equal scores cannot be told apart: they stay in one bin.
            if rank == 0 || s.score > sorted[rank - 1].score {
                bin = rank * n_bins / sorted.len();
            }
            bins[bin][usize::from(s.is_star)] += 1.0;
            entries.push((s.block, 2 * bin + usize::from(s.is_star), 1.0));
        }
        Self { bins, entries }
    }

    /// (share of galaxies, share of stars) below each threshold.
    fn curve(&self) -> Vec<(f64, f64)> {
        let total = totals(&self.bins);
        if total[0] <= 0.0 || total[1] <= 0.0 {
            return Vec::new();
        }
        let mut below = [0.0; 2];
        std::iter::once((0.0, 0.0))
            .chain(self.bins.iter().map(|b| {
                below = [below[0] + b[0], below[1] + b[1]];
                (below[0] / total[0], below[1] / total[1])
            }))
            .collect()
    }
}

fn totals(bins: &[[f64; 2]]) -> [f64; 2] {
    bins.iter().fold([0.0; 2], |t, b| [t[0] + b[0], t[1] + b[1]])
}

/// P(galaxy above star) + ½ P(equal).
fn area(bins: &[[f64; 2]]) -> f64 {
    let total = totals(bins);
    let mut stars_below = 0.0;
    let mut sum = 0.0;
    for [galaxies, stars] in bins {
        sum += galaxies * (stars_below + 0.5 * stars);
        stars_below += stars;
    }
    sum / (total[0] * total[1])
}

/// Share of stars below the threshold that 5 % of the galaxies pass.
fn kept(bins: &[[f64; 2]]) -> f64 {
    let total = totals(bins);
    let (mut galaxies_below, mut stars_below) = (0.0, 0.0);
    for [galaxies, stars] in bins {
        let room = CONTAMINATION * total[0] - galaxies_below;
        if *galaxies > room {
            // Part of a bin of rank, as far as its galaxies fit.
            return (stars_below + stars * room / galaxies) / total[1];
        }
        galaxies_below += galaxies;
        stars_below += stars;
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Normal};

    fn scored(stars: &[f64], galaxies: &[f64]) -> Vec<Scored> {
        let of = |score: &f64, is_star| Scored { block: 0, snr: 10.0, is_star, score: *score };
        stars.iter().map(|s| of(s, true)).chain(galaxies.iter().map(|g| of(g, false))).collect()
    }

    #[test]
    fn perfect_useless_and_reversed_scores() {
        let of = |stars: &[f64], galaxies: &[f64]| Roc::new(&scored(stars, galaxies)).bins;
        assert!((area(&of(&[1.0, 2.0], &[3.0, 4.0])) - 1.0).abs() < 1e-12);
        assert!((area(&of(&[3.0, 3.0], &[3.0, 3.0])) - 0.5).abs() < 1e-12);
        assert!(area(&of(&[5.0, 6.0], &[3.0, 4.0])).abs() < 1e-12);
        assert!((kept(&of(&[1.0, 2.0], &[3.0, 4.0])) - 1.0).abs() < 1e-12);
    }

    /// Two unit normals d apart: area Φ(d/√2), and at 5 % of the galaxies Φ(d + Φ⁻¹(0.05)); to a bin of rank.
    #[test]
    fn two_normals_have_the_closed_form() {
        let normal = Normal::new(0.0, 1.0).unwrap();
        let quantiles: Vec<f64> = (0..4000).map(|i| normal.inverse_cdf((f64::from(i) + 0.5) / 4000.0)).collect();
        let d = 1.5;
        let roc = Roc::new(&scored(&quantiles, &quantiles.iter().map(|q| q + d).collect::<Vec<_>>()));
        assert!((area(&roc.bins) - normal.cdf(d / 2f64.sqrt())).abs() < 1e-3);
        assert!((kept(&roc.bins) - normal.cdf(d - 1.644_854)).abs() < 5e-3);
    }
}
