//! All arms together, matched, and cut into pieces of sky: what the metrics are filled from.

use crate::matching::{DetectionFate, MatchRules, Matches, TruthFate, match_scene};
use crate::neighbours::Neighbours;
use crate::scene::{Detection, Scene, Truth, mean_fwhm};
use crate::statistics::{Replicates, SkyBlocks, Tally};
use crate::{ValidateConfig, ValidateInput, ValidationError};
use rayon::prelude::*;

/// Objects of a piece, about.
const PIECE: usize = 8192;

/// Scenes and matches of a run.
pub(crate) struct Survey<'a> {
    /// Settings.
    pub config: &'a ValidateConfig,
    /// Input.
    pub input: &'a ValidateInput,
    /// One per arm.
    pub scenes: Vec<Scene<'a>>,
    /// One per arm.
    pub matches: Vec<Matches>,
    /// Mean FWHM of the bands \[arcsec\].
    pub fwhm: f64,
    /// Weights of the bootstrap.
    pub replicates: Replicates,
    /// Names of all classes of truth, sorted.
    pub classes: Vec<&'a str>,
    /// Per arm.
    blocks: Vec<Blocks>,
    pieces: Vec<Part>,
}

/// Block of every truth and of every detection of an arm.
#[derive(Debug)]
struct Blocks {
    truth: Vec<u32>,
    detections: Vec<u32>,
}

/// Indices of the objects of a piece of an arm, in the order of blocks.
#[derive(Debug, Clone, PartialEq, Default)]
struct Part {
    arm: usize,
    truth: Vec<u32>,
    detections: Vec<u32>,
}

/// A piece of the sky of one arm.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'s> {
    /// Truth and detections of the arm.
    pub scene: &'s Scene<'s>,
    /// Their matches.
    pub matches: &'s Matches,
    /// Index of the arm.
    pub arm: usize,
    survey: &'s Survey<'s>,
    part: &'s Part,
}

/// One truth of a piece.
#[derive(Clone, Copy)]
pub(crate) struct TruthAt<'s> {
    /// Row of the truth table.
    pub i: usize,
    /// The truth.
    pub truth: &'s Truth<'s>,
    /// What became of it.
    pub fate: TruthFate,
    /// Block of sky.
    pub block: u32,
    /// Another assignment is nearly as likely.
    pub is_ambiguous: bool,
}

/// One detection of a piece.
#[derive(Clone, Copy)]
pub(crate) struct DetectionAt<'s> {
    /// The detection.
    pub detection: &'s Detection,
    /// What became of it.
    pub fate: DetectionFate,
}

impl<'s> Piece<'s> {
    /// All truth.
    pub fn truths(self) -> impl Iterator<Item = TruthAt<'s>> {
        self.part.truth.iter().map(move |&i| self.truth(i as usize))
    }

    /// One truth of the arm.
    pub fn truth(self, i: usize) -> TruthAt<'s> {
        TruthAt {
            i,
            truth: &self.scene.truth[i],
            fate: self.matches.truth[i],
            block: self.survey.blocks[self.arm].truth[i],
            is_ambiguous: self.matches.is_ambiguous(i),
        }
    }

    /// Truth that counts, with its detection.
    pub fn pairs(self) -> impl Iterator<Item = (TruthAt<'s>, &'s Detection)> {
        self.truths().filter_map(move |t| match t.fate {
            TruthFate::Matched(d) => Some((t, &self.scene.detections[d])),
            _ => None,
        })
    }

    /// All detections.
    pub fn detections(self) -> impl Iterator<Item = DetectionAt<'s>> {
        self.part
            .detections
            .iter()
            .map(move |&d| DetectionAt { detection: &self.scene.detections[d as usize], fate: self.matches.detections[d as usize] })
    }

    /// Index of a class in the survey's list.
    pub fn class(self, truth: &Truth) -> u8 {
        self.survey.classes.binary_search(&truth.class).expect("all classes are listed") as u8
    }
}

impl<'a> Survey<'a> {
    /// Reads and matches all arms.
    pub fn new(config: &'a ValidateConfig, input: &'a ValidateInput) -> Result<Self, ValidationError> {
        Self::cut(config, input, PIECE)
    }

    /// Block of sky of a truth of an arm.
    pub fn block_of_truth(&self, arm: usize, row: usize) -> u32 {
        self.blocks[arm].truth[row]
    }

    /// [`Self::new`] with pieces of about `piece` objects.
    pub(crate) fn cut(config: &'a ValidateConfig, input: &'a ValidateInput, piece: usize) -> Result<Self, ValidationError> {
        let fwhm = mean_fwhm(input);
        let rules = MatchRules::new(config, input);
        let (mut scenes, mut all_matches) = (Vec::new(), Vec::new());
        for (i, arm) in input.arms.iter().enumerate() {
            let scene = Scene::new(config, input, arm, i)?;
            let real = control_on(input, &scene)?;
            all_matches.push(match_scene(&scene, &rules, real.as_ref()));
            scenes.push(scene);
        }
        let mut classes: Vec<&str> = scenes.iter().flat_map(|s| s.truth.iter().map(|t| t.class)).collect();
        classes.sort_unstable();
        classes.dedup();
        let (sky_blocks, blocks) = blocks_of(input, &scenes);
        let replicates = Replicates::new(&sky_blocks, input.seed, config.n_bootstrap);
        let pieces = cut_pieces(&blocks, piece);
        Ok(Self { config, input, scenes, matches: all_matches, fwhm, replicates, classes, blocks, pieces })
    }

    /// Fills a value piece by piece and merges in plan order: arm by arm, in an arm from block to block.
    pub fn tally<T: Tally + Send>(&self, fill: impl Fn(Piece, &mut T) + Sync) -> T {
        let of_piece = |part: &Part| {
            let mut value = T::default();
            let (scene, matches) = (&self.scenes[part.arm], &self.matches[part.arm]);
            fill(Piece { scene, matches, arm: part.arm, survey: self, part }, &mut value);
            value
        };
        let filled: Vec<T> = self.pieces.par_iter().map(of_piece).collect();
        filled.into_iter().fold(T::default(), |mut all, piece| {
            all.merge(piece);
            all
        })
    }

    /// Any arm whose truth is known, be it that nothing is there.
    pub fn has_truth(&self) -> bool {
        self.scenes.iter().any(|s| s.has_truth)
    }

    /// None for all bands, then each band.
    pub fn all_and_bands(&self) -> Vec<(Option<usize>, &str)> {
        let bands = self.input.bands.iter().enumerate().map(|(i, b)| (Some(i), b.as_str()));
        std::iter::once((None, "")).chain(bands).collect()
    }

    /// Classes that figures are given for: all, where there are several; one alone would repeat the figures of all.
    pub fn told_apart(&self) -> Vec<(u8, &'a str)> {
        if self.classes.len() < 2 { Vec::new() } else { self.classes.iter().copied().enumerate().map(|(i, c)| (i as u8, c)).collect() }
    }

    /// Number of a bin of magnitude; none without a magnitude.
    pub fn magnitude_bin(&self, magnitude: f64) -> Option<i32> {
        magnitude.is_finite().then(|| (magnitude / self.config.magnitude_bin).round() as i32)
    }

    /// Centre of a bin of magnitude.
    pub fn bin_centre(&self, bin: i32) -> f64 {
        f64::from(bin) * self.config.magnitude_bin
    }

    /// Flux algorithms of the catalogs, `psf_flux` first: all names with a flux and an error in every band.
    pub fn flux_algorithms(&self) -> Vec<String> {
        let mut algorithms = vec!["psf_flux".to_owned()];
        let (Some(band), Some(arm)) = (self.input.bands.first(), self.input.arms.first()) else { return algorithms };
        let is_complete = |name: &str| {
            let has = |arm: &crate::ArmData, band: &String| {
                arm.catalog.f64(&format!("{band}_{name}")).is_ok() && arm.catalog.f64(&format!("{band}_{name}_err")).is_ok()
            };
            self.input.arms.iter().all(|a| self.input.bands.iter().all(|b| has(a, b)))
        };
        for column in arm.catalog.columns() {
            let name = column.name.strip_prefix(band.as_str()).and_then(|n| n.strip_prefix('_')).and_then(|n| n.strip_suffix("_err"));
            if let Some(name) = name.filter(|n| n.contains("flux") && *n != "psf_flux" && is_complete(n)) {
                algorithms.push(name.to_owned());
            }
        }
        algorithms
    }
}

/// Detections of the run without injection, on the plane of a scene.
fn control_on(input: &ValidateInput, scene: &Scene) -> Result<Option<Neighbours>, ValidationError> {
    let Some(arm) = input.control.as_ref().filter(|arm| arm.catalog.n_rows() > 0) else { return Ok(None) };
    let wrong = |source| ValidationError::Table { what: "catalog of control".into(), source };
    let (ra, dec) = (arm.catalog.f64("ra").map_err(wrong)?, arm.catalog.f64("dec").map_err(wrong)?);
    let is_primary = arm.catalog.bool("is_primary").map_err(wrong)?;
    let rows = (0..arm.catalog.n_rows()).filter(|&i| is_primary[i]);
    Ok(Some(Neighbours::new(rows.map(|i| scene.plane.project(ra[i], dec[i])))))
}

/// Blocks of the whole survey, and those of every truth and detection of every arm.
fn blocks_of(input: &ValidateInput, scenes: &[Scene]) -> (SkyBlocks, Vec<Blocks>) {
    // Injections stand on the same noise in every arm; simulated arms are independent.
    let noise = |arm: usize| if input.control.is_some() { 0 } else { arm as u64 };
    let truth_at = |arm: usize| columns(&input.arms[arm].truth);
    let found_at = |arm: usize| columns(&input.arms[arm].catalog);
    let points = (0..scenes.len()).flat_map(|arm| {
        let (truth, found) = (truth_at(arm), found_at(arm));
        let of = move |(ra, dec): (&'_ [f64], &'_ [f64]), i: usize| (noise(arm), ra[i], dec[i]);
        let rows = scenes[arm].detections.iter().map(|d| d.row);
        (0..scenes[arm].truth.len()).map(move |i| of(truth, i)).chain(rows.map(move |i| of(found, i)))
    });
    let blocks = SkyBlocks::new(points);
    let of_arm = |arm: usize| {
        let (truth, found) = (truth_at(arm), found_at(arm));
        let block = |(ra, dec): (&[f64], &[f64]), i: usize| blocks.block(noise(arm), ra[i], dec[i]);
        let rows = scenes[arm].detections.iter().map(|d| d.row);
        Blocks {
            truth: (0..scenes[arm].truth.len()).map(|i| block(truth, i)).collect(),
            detections: rows.map(|i| block(found, i)).collect(),
        }
    };
    let of_all = (0..scenes.len()).map(of_arm).collect();
    (blocks, of_all)
}

/// Positions \[deg\]; both columns were read when the scene was made, and a table without columns has no rows.
fn columns(table: &fathom::catalog::Table) -> (&[f64], &[f64]) {
    (table.f64("ra").unwrap_or(&[]), table.f64("dec").unwrap_or(&[]))
}

/// Pieces of whole blocks, each with `piece` objects or a little more.
fn cut_pieces(blocks: &[Blocks], piece: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    for (arm, Blocks { truth: of_truth, detections: of_detections }) in blocks.iter().enumerate() {
        let sorted = |of: &[u32]| {
            let mut order: Vec<u32> = (0..of.len() as u32).collect();
            order.sort_by_key(|&i| (of[i as usize], i));
            order
        };
        let (truth, detections) = (sorted(of_truth), sorted(of_detections));
        let n_blocks = of_truth.iter().chain(of_detections).max().map_or(0, |&b| b + 1);
        let (mut i, mut d) = (0, 0);
        let mut part = Part { arm, ..Part::default() };
        for block in 0..n_blocks {
            while i < truth.len() && of_truth[truth[i] as usize] == block {
                part.truth.push(truth[i]);
                i += 1;
            }
            while d < detections.len() && of_detections[detections[d] as usize] == block {
                part.detections.push(detections[d]);
                d += 1;
            }
            if part.truth.len() + part.detections.len() >= piece {
                parts.push(std::mem::replace(&mut part, Part { arm, ..Part::default() }));
            }
        }
        parts.push(part);
    }
    parts
}
