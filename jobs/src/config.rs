//! The resolved configuration of a run: one section a phase, every key with a default.

use crate::phase::TruthConfig;
use anyhow::{Context, Result, anyhow, bail};
use fathom::artifacts::{ArtifactsConfig, FindArtifacts};
use fathom::associate::{AssociateConfig, AssociatePeaks};
use fathom::background::{
    CharacterizeVisit, DeepBackground, DeepBackgroundConfig, MatchBackground, MatchConfig, SolveBackground, SolveConfig, VisitConfig,
};
use fathom::coadd::{CoaddConfig, Combine, CombineConfig, MakeCoadd, MakePsfMatched, PsfMatchedConfig, SelectConfig, SelectExposures};
use fathom::deblend::{DeblendConfig, DeblendParent};
use fathom::detect::{DetectConfig, DetectLayers};
use fathom::geometry::{SkyMapConfig, Tract};
use fathom::measure::{MeasureConfig, MeasureSources};
use fathom_sim::{CameraConfig, FieldConfig, InjectionConfig};
use fathom_validation::{Requirements, ValidateConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Configurations built into the binary, by name.
const EMBEDDED: [(&str, &str); 6] = [
    ("demo", include_str!("../demo.toml")),
    ("grid", include_str!("../grid.toml")),
    ("noise-known", include_str!("../noise-known.toml")),
    ("noise-mesh", include_str!("../noise-mesh.toml")),
    ("real-decam", include_str!("../real-decam.toml")),
    ("galsim-gri", include_str!("../galsim-gri.toml")),
];

/// Layouts built into the binary, by name.
const LAYOUTS: [(&str, &str); 3] = [
    ("decam_grz_9epoch", include_str!("../layouts/decam_grz_9epoch.toml")),
    ("galsim_gri_4epoch", include_str!("../layouts/galsim_gri_4epoch.toml")),
    ("twomass_m17_k", include_str!("../layouts/twomass_m17_k.toml")),
];

/// The commented default configuration that `fathom init` prints.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// Everything that a run may be told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub run: RunConfig,
    pub expose: ExposeConfig,
    pub sky: FieldConfig,
    pub camera: CameraConfig,
    pub sky_map: SkyMapConfig,
    pub visit: VisitConfig,
    pub r#match: MatchConfig,
    pub solve: SolveConfig,
    pub deep_background: DeepBackgroundConfig,
    pub select: SelectConfig,
    pub artifacts: ArtifactsConfig,
    pub coadd: CoaddConfig,
    pub psf_matched: PsfMatchedConfig,
    pub combine: CombineConfig,
    pub detect: DetectConfig,
    pub associate: AssociateConfig,
    pub deblend: DeblendConfig,
    pub measure: MeasureConfig,
    pub truth: TruthConfig,
    pub validate: ValidateConfig,
}

/// Section `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Name, the report's title.
    pub name: String,
    /// Bands, in the order of colour (blue first).
    pub bands: Vec<String>,
    /// Seed of every random number.
    pub seed: u64,
    /// Independent realisations of the objects and the noise.
    pub realisations: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { name: "fathom run".into(), bands: ["g", "r", "i"].map(String::from).to_vec(), seed: 1, realisations: 1 }
    }
}

/// Where the exposures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExposeMode {
    /// Made by the simulator.
    Simulate,
    /// Taken from files.
    Import,
    /// Taken from files, sources added: arms `control`, `real_00`, ...
    Inject,
}

/// Section `[expose]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExposeConfig {
    pub mode: ExposeMode,
    /// Layout of the files: a path, or the name of a layout that ships with fathom.
    pub layout: String,
    /// Folder of fathom's own exposure files (made by `fathom import`), instead of a layout.
    pub folder: String,
    pub injection: InjectionConfig,
}

impl Default for ExposeConfig {
    fn default() -> Self {
        Self { mode: ExposeMode::Simulate, layout: String::new(), folder: String::new(), injection: InjectionConfig::default() }
    }
}

/// A wrong configuration: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl Config {
    /// Reads a file, or an embedded configuration by name, applies `--set section.key=value`, and checks every range.
    pub fn load(source: &str, settings: &[String]) -> Result<Self> {
        let embedded = EMBEDDED.iter().find(|(name, _)| *name == source);
        let (text, place) = match embedded {
            Some((name, text)) => ((*text).to_owned(), format!("embedded configuration {name}")),
            None => {
                let names: Vec<_> = EMBEDDED.iter().map(|(n, _)| *n).collect();
                let text = std::fs::read_to_string(source)
                    .map_err(|e| ConfigError(format!("{source}: {e}; expected a TOML file or one of {}", names.join(", "))))?;
                (text, source.to_owned())
            }
        };
        let wrong = |e: &dyn std::fmt::Display| ConfigError(format!("{place}: {e}"));
        let mut table: toml::Table = toml::from_str(&text).map_err(|e| wrong(&e))?;
        for setting in settings {
            apply(&mut table, setting)?;
        }
        // From the text where nothing was overridden: then the message shows the line.
        let config: Self =
            if settings.is_empty() { toml::from_str(&text).map_err(|e| wrong(&e))? } else { table.try_into().map_err(|e| wrong(&e))? };
        let base = if embedded.is_some() { PathBuf::from(".") } else { Path::new(source).parent().unwrap_or(Path::new(".")).to_owned() };
        let config = config.with_paths_from(&base)?.with_morphologies();
        config.check().map_err(|e| ConfigError(format!("{place}: {e}")))?;
        Ok(config)
    }

    /// Relative paths count from the configuration's folder.
    fn with_paths_from(mut self, base: &Path) -> Result<Self> {
        for path in [
            &mut self.expose.layout,
            &mut self.expose.folder,
            &mut self.sky.catalog.file,
            &mut self.sky.stamps,
            &mut self.sky.injected.near_file,
            &mut self.r#match.template,
            &mut self.camera.cadence.pointings,
            &mut self.camera.psf.seeing_table,
            &mut self.validate.requirements,
        ] {
            let is_name = LAYOUTS.iter().any(|(name, _)| name == path);
            if !path.is_empty() && !is_name && Path::new(path.as_str()).is_relative() {
                *path = base.join(path.as_str()).to_str().ok_or_else(|| anyhow!("{base:?} is no UTF-8 path"))?.to_owned();
            }
        }
        Ok(self)
    }

    /// What detection looks for is what coadds are made for, unless they are told otherwise.
    fn with_morphologies(mut self) -> Self {
        if self.coadd.morphologies_arcsec.is_empty() {
            self.coadd.morphologies_arcsec = self.detect.extended_arcsec();
        }
        self
    }

    /// Every range, by making every stage once.
    fn check(&self) -> Result<()> {
        let bands = &self.run.bands;
        if bands.is_empty() || bands.len() > 16 {
            bail!("run.bands has {} bands; expected 1 to 16", bands.len());
        }
        for (i, band) in bands.iter().enumerate() {
            let is_plain = !band.is_empty() && band.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_plain || bands[..i].contains(band) {
                bail!("run.bands has {band:?}; expected different names of letters, digits and _");
            }
        }
        if !(1..=100).contains(&self.run.realisations) {
            bail!("run.realisations is {}; expected 1..=100", self.run.realisations);
        }
        let has_source = !self.expose.layout.is_empty() || !self.expose.folder.is_empty();
        if self.expose.mode != ExposeMode::Simulate && !has_source {
            bail!("expose.layout and expose.folder are empty; expected one of them for mode \"import\" or \"inject\"");
        }
        if self.expose.mode == ExposeMode::Import && self.run.realisations != 1 {
            bail!("run.realisations is {}; expected 1 for mode \"import\"", self.run.realisations);
        }
        let tract = Tract::new(&self.sky_map)?;
        self.sky.check()?;
        self.expose.injection.check()?;
        CharacterizeVisit::new(self.visit.clone())?;
        MatchBackground::new(self.r#match.clone())?;
        SolveBackground::new(self.solve.clone())?;
        DeepBackground::new(self.deep_background.clone())?;
        SelectExposures::new(self.select.clone())?;
        FindArtifacts::new(self.artifacts.clone())?;
        MakeCoadd::new(self.coadd.clone())?;
        MakePsfMatched::new(self.psf_matched.clone())?;
        Combine::new(self.combine.clone(), bands)?;
        DetectLayers::new(&self.detect, bands, self.sky_map.pixel_scale_arcsec)?;
        let made: Vec<&str> = self.select.selections.iter().skip(1).map(|s| s.name()).collect();
        if let Some(odd) = self.detect.selections.iter().find(|s| !made.contains(&s.as_str())) {
            bail!("detect.selections has {odd:?}; expected selections of select.selections after the first, {made:?}");
        }
        AssociatePeaks::new(self.associate.clone())?;
        DeblendParent::new(&self.deblend)?;
        MeasureSources::new(&self.measure)?;
        if self.expose.mode == ExposeMode::Simulate {
            fathom_sim::Planner::new(&self.camera, tract.center(), bands, self.run.seed)?.check_extremes()?;
        }
        self.truth.check()?;
        self.validate.check()?;
        self.requirements()?;
        Ok(())
    }

    /// The text of the requirements, for keys.
    pub fn requirements_text(&self) -> Result<String> {
        match self.validate.requirements.as_str() {
            "" => Ok(include_str!("../requirements.toml").to_owned()),
            file => std::fs::read_to_string(file).map_err(|e| anyhow!("validate.requirements {file}: {e}")),
        }
    }

    /// What the catalog is held against.
    pub fn requirements(&self) -> Result<Requirements> {
        Requirements::parse(&self.requirements_text()?).map_err(|e| anyhow!("validate.requirements {}: {e}", self.validate.requirements))
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("the configuration holds only plain values")
    }

    /// The layout's text and the path that messages name; shipped layouts by name.
    pub fn layout_file(&self) -> Result<Option<PathBuf>> {
        if self.expose.layout.is_empty() {
            return Ok(None);
        }
        match LAYOUTS.iter().find(|(name, _)| *name == self.expose.layout) {
            None => Ok(Some(PathBuf::from(&self.expose.layout))),
            // The import reads files, so a shipped layout becomes one, beside nothing else.
            Some((name, text)) => {
                let folder = std::env::temp_dir().join(format!("fathom-layouts-{}", std::process::id()));
                std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
                let path = folder.join(format!("{name}.toml"));
                std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
                Ok(Some(path))
            }
        }
    }

    /// The layout's text, for keys.
    pub fn layout_text(&self) -> Result<String> {
        match LAYOUTS.iter().find(|(name, _)| *name == self.expose.layout) {
            Some((_, text)) => Ok((*text).to_owned()),
            None if self.expose.layout.is_empty() => Ok(String::new()),
            None => std::fs::read_to_string(&self.expose.layout).with_context(|| format!("layout {}", self.expose.layout)),
        }
    }
}

/// Applies `section.key=value`; the value is TOML, a bare word counts as text.
fn apply(table: &mut toml::Table, setting: &str) -> Result<()> {
    let wrong = || ConfigError(format!("--set {setting}; expected section.key=value"));
    let (path, value) = setting.split_once('=').ok_or_else(wrong)?;
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let keys: Vec<&str> = path.trim().split('.').collect();
    let (last, sections) = keys.split_last().ok_or_else(wrong)?;
    if sections.is_empty() {
        return Err(wrong().into());
    }
    let mut here = table;
    for section in sections {
        here =
            here.entry((*section).to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut().ok_or_else(wrong)?;
    }
    here.insert((*last).to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_default_is_the_default() {
        let printed: Config = toml::from_str(DEFAULT_TOML).unwrap();
        assert_eq!(printed, Config::default());
        // Every key of the code stands in the text.
        let full: toml::Table = toml::from_str(&Config::default().to_toml()).unwrap();
        let text: toml::Table = toml::from_str(DEFAULT_TOML).unwrap();
        for (section, values) in &full {
            for key in values.as_table().unwrap().keys() {
                assert!(text.get(section).and_then(|s| s.get(key)).is_some(), "{section}.{key} is missing");
            }
        }
    }

    #[test]
    fn embedded_configurations_are_good() {
        for (name, _) in EMBEDDED {
            Config::load(name, &[]).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        }
    }

    #[test]
    fn settings_override_and_errors_name_the_key() {
        let config = Config::load("demo", &["detect.threshold=4.5".into(), "deblend.symmetric.psf_chi2=1.2".into()]).unwrap();
        assert!((config.detect.threshold - 4.5).abs() < 1e-12 && (config.deblend.symmetric.psf_chi2 - 1.2).abs() < 1e-12);
        for (setting, expected) in [
            ("detect.treshold=4.5", "treshold"),
            ("detect.threshold=0.1", "detect.threshold is 0.1"),
            ("coadd.lanczos_order=4", "coadd.lanczos_order is 4"),
            ("run.bands=[]", "run.bands"),
            ("nonsense", "expected section.key=value"),
        ] {
            let error = format!("{:#}", Config::load("demo", &[setting.into()]).unwrap_err());
            assert!(error.contains(expected), "{setting}: {error}");
        }
    }
}
