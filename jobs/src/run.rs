//! One run: its folder, its arms and exposures, and what phases keep in memory between tasks.

use crate::config::{Config, ExposeMode};
use crate::phase::Task;
use crate::product_key;
use anyhow::{Context, Result, anyhow, bail};
use fathom::artifacts::ExposureClips;
use fathom::associate::Parent;
use fathom::background::{BackgroundMethod, ExposureBackground, VisitProduct};
use fathom::coadd::{CoaddPsf, CoaddPsfInput, Decision, SelectExposures, Selection};
use fathom::detect::{DetectFrame, DetectLayers};
use fathom::format::{self, coadd::CoaddMosaic, combined::CombinedMosaic, import::ImportItem, import::Layout};
use fathom::geometry::{Box2, Patch, Tract};
use fathom::image::{Exposure, ExposureId, ExposureMeta};
use fathom_sim::{Planner, StampLibrary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// What the command line asked for; in no key.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub resume: bool,
    pub overwrite: bool,
    pub reuse: Option<PathBuf>,
    pub skip_bad_exposures: bool,
    pub is_mixed_cpus: bool,
}

/// One exposure to come.
#[derive(Debug, Clone)]
pub enum Source {
    /// From the simulator, whose plan is made when it is needed.
    Plan(Arc<Planner>),
    /// From a layout's files.
    Item(Arc<Layout>, ImportItem),
    /// One of fathom's own files.
    File(PathBuf),
}

/// Name and origin of an exposure, the same in every arm.
#[derive(Debug, Clone)]
pub struct ExposureEntry {
    pub name: String,
    pub source: Source,
    /// Hash of the input (configuration or content of the files).
    pub input_key: String,
}

/// One arm: `main`; or `control` and `real_00`, ...
#[derive(Debug, Clone)]
pub struct Arm {
    pub name: String,
    /// Number of the realisation; none for the control.
    pub realisation: Option<u64>,
}

/// Calibrations and visit products of one band of one arm, in id order.
pub type BandInputs = Arc<Vec<(ExposureMeta, VisitProduct)>>;

/// Those of all bands.
type ArmInputs = Arc<BTreeMap<String, BandInputs>>;

/// The selected exposures of an arm, and why they are.
#[derive(Clone)]
struct Selected {
    inputs: ArmInputs,
    decisions: Arc<BTreeMap<String, Vec<Decision>>>,
}

/// What becomes of the pixels of an arm's exposures.
type ArmClips = Arc<BTreeMap<ExposureId, ExposureClips>>;

/// A run as every phase sees it.
pub struct Run {
    pub config: Config,
    pub options: Options,
    pub folder: PathBuf,
    pub tract: Tract,
    pub arms: Vec<Arm>,
    pub exposures: Vec<ExposureEntry>,
    pub layout: Option<Arc<Layout>>,
    visits: Mutex<BTreeMap<usize, ArmInputs>>,
    matched: Mutex<BTreeMap<usize, ArmInputs>>,
    selected: Mutex<BTreeMap<usize, Selected>>,
    clips: Mutex<BTreeMap<usize, ArmClips>>,
    psfs: Mutex<BTreeMap<(usize, String), Arc<CoaddPsf>>>,
    mosaics: Mutex<BTreeMap<usize, CoaddMosaic>>,
    detect_frames: Mutex<BTreeMap<usize, Arc<DetectFrame>>>,
    parents: Mutex<BTreeMap<usize, Arc<Vec<Parent>>>>,
    settings_key: OnceLock<String>,
    stamps: OnceLock<Arc<StampLibrary>>,
}

impl Run {
    /// Plans a run; touches no file of the run folder.
    pub fn new(config: Config, folder: PathBuf, options: Options) -> Result<Self> {
        let tract = Tract::new(&config.sky_map)?;
        let n = config.run.realisations;
        let realisation = |i: usize| Arm { name: format!("real_{i:02}"), realisation: Some(i as u64) };
        let arms = match config.expose.mode {
            ExposeMode::Inject => {
                std::iter::once(Arm { name: "control".into(), realisation: None }).chain((0..n).map(realisation)).collect()
            }
            _ if n > 1 => (0..n).map(realisation).collect(),
            _ => vec![Arm { name: "main".into(), realisation: Some(0) }],
        };
        let layout = config.layout_file()?.map(|path| Layout::read(&path, data_folder().as_deref())).transpose()?.map(Arc::new);
        let exposures = match config.expose.mode {
            ExposeMode::Simulate => planned(&config, &tract)?,
            _ => imported(&config, layout.as_ref())?,
        };
        Ok(Self {
            config,
            options,
            folder,
            tract,
            arms,
            exposures,
            layout,
            visits: Mutex::default(),
            matched: Mutex::default(),
            selected: Mutex::default(),
            clips: Mutex::default(),
            psfs: Mutex::default(),
            mosaics: Mutex::default(),
            detect_frames: Mutex::default(),
            parents: Mutex::default(),
            settings_key: OnceLock::new(),
            stamps: OnceLock::new(),
        })
    }

    /// Hash of what fixes the sky and the bands: in the key of every product.
    pub fn settings_key(&self) -> &str {
        self.settings_key.get_or_init(|| {
            let run = &self.config.run;
            product_key::key("run", [product_key::section(&run.bands).as_str(), &run.seed.to_string()])
        })
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.join(relative)
    }

    pub fn exposure_path(&self, arm: usize, name: &str) -> PathBuf {
        PathBuf::from(&self.arms[arm].name).join("exposures").join(format!("{name}.h5"))
    }

    pub fn visit_path(&self, arm: usize, name: &str) -> PathBuf {
        PathBuf::from(&self.arms[arm].name).join("visit").join(format!("{name}.h5"))
    }

    pub fn truth_path(&self, arm: usize) -> PathBuf {
        PathBuf::from(&self.arms[arm].name).join("truth.h5")
    }

    /// Product `<folder>/<patch>.h5` or `<folder>/<batch>.h5` of an arm.
    pub fn piece_path(&self, arm: usize, folder: &str, piece: &str) -> PathBuf {
        PathBuf::from(&self.arms[arm].name).join(folder).join(format!("{piece}.h5"))
    }

    /// A file of an arm.
    pub fn arm_path(&self, arm: usize, name: &str) -> PathBuf {
        PathBuf::from(&self.arms[arm].name).join(name)
    }

    /// Decisions about artifacts.
    pub fn clip_path(&self, arm: usize) -> PathBuf {
        self.arm_path(arm, "clip.h5")
    }

    /// Backgrounds matched across the tract.
    pub fn background_path(&self, arm: usize) -> PathBuf {
        self.arm_path(arm, "background.h5")
    }

    /// The truth that the run draws or injects, or that came with the exposures, if any.
    pub fn has_truth(&self, arm: usize) -> bool {
        match self.config.expose.mode {
            ExposeMode::Simulate => true,
            ExposeMode::Inject => self.arms[arm].realisation.is_some(),
            ExposeMode::Import => true,
        }
    }

    /// Names of the exposures that were not skipped in an arm.
    pub fn used_exposures(&self, arm: usize) -> Vec<&ExposureEntry> {
        let is_skipped = |e: &&ExposureEntry| {
            [self.exposure_path(arm, &e.name), self.visit_path(arm, &e.name)].iter().any(|p| skip_marker(&self.path(p)).exists())
        };
        self.exposures.iter().filter(|e| !is_skipped(e)).collect()
    }

    /// Keys of an arm's tasks, one an exposure, without those of exposures that were skipped.
    pub fn used_keys<'t>(&self, arm: usize, tasks: &'t [Task]) -> Vec<&'t str> {
        let used: Vec<&str> = self.used_exposures(arm).iter().map(|e| e.name.as_str()).collect();
        let is_used = |t: &&Task| t.arm == arm && used.contains(&self.exposures[t.index].name.as_str());
        tasks.iter().filter(is_used).map(|t| t.key.as_str()).collect()
    }

    /// Exposures that were skipped, with the reason.
    pub fn skipped(&self) -> Vec<(String, String)> {
        let mut skipped = Vec::new();
        for (arm, a) in self.arms.iter().enumerate() {
            for e in &self.exposures {
                // Skipped once, though what follows is skipped too: the first reason counts.
                let markers = [self.exposure_path(arm, &e.name), self.visit_path(arm, &e.name)].map(|p| skip_marker(&self.path(p)));
                if let Some(text) = markers.iter().find_map(|p| std::fs::read_to_string(p).ok()) {
                    let why = text.split_once('\n').map_or("", |(_, why)| why).trim();
                    skipped.push((format!("{}/{}", a.name, e.name), why.to_owned()));
                }
            }
        }
        skipped
    }

    /// Names of the coadds: every band, then every band by the selections after the first, `<band>@<selection>`; with band and selection.
    pub fn coadd_names(&self) -> Vec<(String, &str, Selection)> {
        let (bands, selections) = (&self.config.run.bands, &self.config.select.selections);
        let name = |rank: usize, band: &str, s: Selection| if rank == 0 { band.to_owned() } else { format!("{band}@{}", s.name()) };
        let of = |(rank, &s): (usize, &Selection)| bands.iter().map(move |band| (name(rank, band, s), band.as_str(), s));
        selections.iter().enumerate().flat_map(of).collect()
    }

    /// Calibrations and visit products of the *selected* exposures of an arm, by name of the coadd (a band's own has its name), in id
    /// order, with the background that the configuration asks for. Made once.
    pub fn band_inputs(&self, arm: usize) -> Result<ArmInputs> {
        Ok(self.selected(arm)?.inputs)
    }

    /// What was decided about every exposure of an arm, by name of the coadd.
    pub fn decisions(&self, arm: usize) -> Result<Arc<BTreeMap<String, Vec<Decision>>>> {
        Ok(self.selected(arm)?.decisions)
    }

    fn selected(&self, arm: usize) -> Result<Selected> {
        let all = self.all_inputs(arm)?;
        let mut cache = self.selected.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&arm) {
            return Ok(found.clone());
        }
        let stage = SelectExposures::new(self.config.select.clone())?;
        let (mut inputs, mut decisions) = (BTreeMap::new(), BTreeMap::new());
        for (name, band, selection) in self.coadd_names() {
            let of_band: Vec<_> = all[band].iter().map(|(meta, visit)| (meta, visit)).collect();
            let decided = stage.run(selection, &self.tract, band, &of_band)?;
            let is_selected = |(_, d): &(_, &Decision)| d.is_selected;
            let chosen: Vec<_> = all[band].iter().zip(&decided).filter(is_selected).map(|(input, _)| input.clone()).collect();
            inputs.insert(name.clone(), Arc::new(chosen));
            decisions.insert(name, decided);
        }
        let found = Selected { inputs: Arc::new(inputs), decisions: Arc::new(decisions) };
        cache.insert(arm, found.clone());
        Ok(found)
    }

    /// Calibrations and visit products of all exposures of an arm, selected or not, by band, in id order, with the background that the
    /// configuration asks for. Read once.
    pub fn all_inputs(&self, arm: usize) -> Result<ArmInputs> {
        let visits = self.visit_inputs(arm)?;
        if self.config.r#match.background == BackgroundMethod::Visit {
            return Ok(visits);
        }
        let mut cache = self.matched.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&arm) {
            return Ok(found.clone());
        }
        let path = self.path(self.background_path(arm));
        let mut by_band = BTreeMap::new();
        for (band, inputs) in visits.iter() {
            let mut backgrounds = format::background::read(&path, band)?.exposures;
            let mut matched = Vec::with_capacity(inputs.len());
            for (meta, visit) in inputs.iter() {
                let model = backgrounds.remove(&meta.id).ok_or_else(|| anyhow!("{}: no exposure {}", path.display(), meta.id))?;
                matched.push((meta.clone(), VisitProduct { background: ExposureBackground::Matched(model), ..visit.clone() }));
            }
            by_band.insert(band.clone(), Arc::new(matched));
        }
        let found = Arc::new(by_band);
        cache.insert(arm, found.clone());
        Ok(found)
    }

    /// The same with each visit's own background. Read once.
    pub fn visit_inputs(&self, arm: usize) -> Result<ArmInputs> {
        let mut cache = self.visits.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&arm) {
            return Ok(found.clone());
        }
        let mut by_band: BTreeMap<String, Vec<(ExposureMeta, VisitProduct)>> =
            self.config.run.bands.iter().map(|b| (b.clone(), Vec::new())).collect();
        for entry in self.used_exposures(arm) {
            let meta = format::exposure::read_meta(&self.path(self.exposure_path(arm, &entry.name)))?;
            let visit = format::visit::read(&self.path(self.visit_path(arm, &entry.name)))?;
            if let Some(band) = by_band.get_mut(&meta.band) {
                band.push((meta, visit));
            }
        }
        for (band, inputs) in &mut by_band {
            if inputs.is_empty() {
                bail!("band {band} has no exposure; run.bands is {:?}", self.config.run.bands);
            }
            inputs.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        }
        let found = Arc::new(by_band.into_iter().map(|(b, v)| (b, Arc::new(v))).collect::<BTreeMap<_, _>>());
        cache.insert(arm, found.clone());
        Ok(found)
    }

    /// Artifacts of an arm's exposures; none where they are not looked for. Read once.
    pub fn clips(&self, arm: usize) -> Result<ArmClips> {
        let mut cache = self.clips.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&arm) {
            return Ok(found.clone());
        }
        let mut clips = BTreeMap::new();
        if self.config.artifacts.find {
            for band in &self.config.run.bands {
                clips.extend(format::clip::read(&self.path(self.clip_path(arm)), band)?);
            }
        }
        let found = Arc::new(clips);
        cache.insert(arm, found.clone());
        Ok(found)
    }

    /// The part of an exposure under a box as every coadd takes it, and whatever is compared with a coadd: artifacts masked, sanitised.
    pub fn exposure(
        &self,
        arm: usize,
        id: &ExposureId,
        part: &Box2,
        clips: &BTreeMap<ExposureId, ExposureClips>,
    ) -> Result<Exposure, format::FormatError> {
        let mut exposure = format::exposure::read(&self.path(self.exposure_path(arm, &id.0)), Some(part))?;
        if let Some(clips) = clips.get(id) {
            clips.apply(&mut exposure);
        }
        exposure.sanitize();
        Ok(exposure)
    }

    /// The PSF of a band's coadd.
    pub fn coadd_psf(&self, arm: usize, band: &str) -> Result<Arc<CoaddPsf>> {
        let inputs = self.band_inputs(arm)?;
        let records = self.mosaic(arm)?.inputs(band)?;
        let mut cache = self.psfs.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&(arm, band.to_owned())) {
            return Ok(found.clone());
        }
        let of_band = inputs.get(band).ok_or_else(|| anyhow!("band {band} has no exposure"))?;
        if of_band.len() != records.len() || of_band.iter().zip(&records).any(|((m, _), r)| m.id != r.id) {
            bail!("band {band}: the coadd's inputs are not the exposures of the run folder");
        }
        let psf_inputs = of_band
            .iter()
            .zip(&records)
            .map(|((meta, visit), record)| CoaddPsfInput { meta: meta.clone(), ap_corr: visit.ap_corr.clone(), weight: record.weight })
            .collect();
        let psf = Arc::new(CoaddPsf::new(psf_inputs, self.tract.wcs().clone(), self.config.coadd.lanczos_order));
        cache.insert((arm, band.to_owned()), psf.clone());
        Ok(psf)
    }

    /// The coadds of an arm as one image.
    pub fn mosaic(&self, arm: usize) -> Result<CoaddMosaic> {
        let mut cache = self.mosaics.lock().map_err(|_| anyhow!("a thread died"))?;
        let paths = || self.tract.patches().iter().map(|p| self.path(self.piece_path(arm, "coadd", &p.id.to_string()))).collect();
        Ok(cache.entry(arm).or_insert_with(|| CoaddMosaic::new(self.tract.clone(), paths())).clone())
    }

    /// The detection stage.
    pub fn detect_stage(&self) -> Result<DetectLayers> {
        Ok(DetectLayers::new(&self.config.detect, &self.config.run.bands, self.config.sky_map.pixel_scale_arcsec)?)
    }

    /// What detection knows of an arm's coadds as a whole, thresholds calibrated. Made once.
    pub fn detect_frame(&self, arm: usize) -> Result<Arc<DetectFrame>> {
        let mut cache = self.detect_frames.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&arm) {
            return Ok(found.clone());
        }
        let (stage, mosaic) = (self.detect_stage()?, self.mosaic(arm)?);
        let mut frame = DetectFrame {
            tract: self.tract.bbox(),
            cell_px: self.config.sky_map.cell_px as i32,
            fwhm_px: self.mean_fwhm_px(arm)?,
            autocorrelations: BTreeMap::new(),
            threshold_offset: 0.0,
            seed: self.config.run.seed,
        };
        for coadd in stage.coadds() {
            if let Some(lags) = mosaic.mean_autocorrelation(&coadd)? {
                frame.autocorrelations.insert(coadd, lags);
            }
        }
        frame.threshold_offset = stage.calibrate(&frame);
        let frame = Arc::new(frame);
        cache.insert(arm, frame.clone());
        Ok(frame)
    }

    /// What the combine phase made of an arm, as one image.
    pub fn combined(&self, arm: usize) -> CombinedMosaic {
        let path = |p: &Patch| self.path(self.piece_path(arm, "combined", &p.id.to_string()));
        CombinedMosaic::new(self.tract.clone(), self.tract.patches().iter().map(path).collect())
    }

    /// The real galaxies that the sky may name. Read once.
    pub fn stamps(&self) -> Result<Arc<StampLibrary>> {
        if let Some(found) = self.stamps.get() {
            return Ok(found.clone());
        }
        let library =
            if self.config.sky.stamps.is_empty() { StampLibrary::default() } else { read_stamps(Path::new(&self.config.sky.stamps))? };
        Ok(self.stamps.get_or_init(|| Arc::new(library)).clone())
    }

    /// The calibrations by which light really fell on an exposure: the plan's, if it was simulated here, else those that it carries.
    pub fn true_meta(&self, given: &ExposureMeta) -> Result<ExposureMeta> {
        match self.exposures.first().map(|e| &e.source) {
            Some(Source::Plan(planner)) => Ok(planner.plan(&given.id)?.meta),
            _ => Ok(given.clone()),
        }
    }

    /// Parents of an arm, by id. Read once.
    pub fn parents(&self, arm: usize) -> Result<Arc<Vec<Parent>>> {
        let mut cache = self.parents.lock().map_err(|_| anyhow!("a thread died"))?;
        if let Some(found) = cache.get(&arm) {
            return Ok(found.clone());
        }
        let of_patch = |p: Patch| Ok(format::parents::read(&self.path(self.piece_path(arm, "parents", &p.id.to_string())))?.0);
        let pieces = self.tract.patches().into_iter().map(of_patch).collect::<Result<Vec<_>>>()?;
        let mut parents: Vec<Parent> = pieces.into_iter().flatten().collect();
        parents.sort_by_key(|p| p.id);
        let parents = Arc::new(parents);
        cache.insert(arm, parents.clone());
        Ok(parents)
    }

    /// Mean FWHM of the coadds' PSFs over the bands \[tract pixel\].
    pub fn mean_fwhm_px(&self, arm: usize) -> Result<f64> {
        let mosaic = self.mosaic(arm)?;
        let bands = &self.config.run.bands;
        let sum = bands.iter().map(|b| mosaic.fwhm_px(b)).sum::<Result<f64, _>>()?;
        Ok(sum / bands.len() as f64)
    }
}

#[cfg(feature = "fits")]
fn read_stamps(catalog: &Path) -> Result<StampLibrary> {
    Ok(StampLibrary::of_stamps(&format::galaxy_stamps::read(catalog)?)?)
}

#[cfg(not(feature = "fits"))]
fn read_stamps(catalog: &Path) -> Result<StampLibrary> {
    bail!("sky.stamps is {}; reading it needs a fathom built with the feature fits", catalog.display())
}

/// Marks an exposure that was skipped: key, then the reason.
pub fn skip_marker(product: &Path) -> PathBuf {
    product.with_extension("skipped")
}

/// The folder of data that are not ours to redistribute.
pub fn data_folder() -> Option<PathBuf> {
    std::env::var_os("FATHOM_DATA").filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn planned(config: &Config, tract: &Tract) -> Result<Vec<ExposureEntry>> {
    let planner = Arc::new(Planner::new(&config.camera, tract.center(), &config.run.bands, config.run.seed)?);
    // A table of pointings or seeing is as good as a setting: another content is another camera.
    let files = config
        .camera
        .files()
        .iter()
        .map(|path| product_key::file(path).with_context(|| format!("{}", path.display())))
        .collect::<Result<Vec<_>>>()?;
    // By content, not by name: a folder may be moved.
    let mut settings = config.camera.clone();
    settings.cadence.pointings.clear();
    settings.psf.seeing_table.clear();
    let camera = [product_key::section(&settings)].into_iter().chain(files).collect::<String>();
    let center = format!("{:?}", tract.center());
    let entry = |id: &ExposureId| ExposureEntry {
        input_key: product_key::key("plan", [camera.as_str(), &center, &id.0]),
        name: id.0.clone(),
        source: Source::Plan(planner.clone()),
    };
    Ok(planner.ids().map(entry).collect())
}

fn imported(config: &Config, layout: Option<&Arc<Layout>>) -> Result<Vec<ExposureEntry>> {
    let hash = |path: &Path| product_key::file(path).with_context(|| format!("{}", path.display()));
    if let Some(layout) = layout {
        let text = config.layout_text()?;
        return layout
            .items()?
            .into_iter()
            .map(|item| {
                let hashes = item.files.iter().map(|f| hash(f)).collect::<Result<Vec<_>>>()?;
                let input_key = product_key::key("item", [text.as_str()].into_iter().chain(hashes.iter().map(String::as_str)));
                Ok(ExposureEntry { name: item.name.clone(), source: Source::Item(layout.clone(), item), input_key })
            })
            .collect();
    }
    let folder = Path::new(&config.expose.folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("expose.folder {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "h5") && p.file_name().is_some_and(|n| n != "truth.h5"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        bail!("expose.folder {} holds no exposure; expected files *.h5", folder.display());
    }
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().and_then(|s| s.to_str()).ok_or_else(|| anyhow!("{}: no UTF-8 name", path.display()))?.to_owned();
            Ok(ExposureEntry { name, input_key: hash(&path)?, source: Source::File(path) })
        })
        .collect()
}
