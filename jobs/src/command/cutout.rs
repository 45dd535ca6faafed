//! `fathom cutout`: pixels around a place of the sky, or a blend taken apart, as FITS and PNG.

use crate::command::catalog::arm_of;
use crate::command::status::open;
use crate::config::ConfigError;
use crate::phase::batch;
use crate::run::Run;
use anyhow::{Context, Result, anyhow};
use fathom::coadd::Combine;
use fathom::format::coadd::Plane;
use fathom::format::fits_write::{FitsWriter, Pixels};
use fathom::geometry::{Box2, Card, Cards, SkyPoint};
use fathom_validation::{Panel2d, PanelPixels, White, write_sheet};
use ndarray::{Array2, Array3, Axis, s};
use std::path::{Path, PathBuf};

/// Margin around a parent \[pixel\].
const PARENT_MARGIN_PX: i32 = 6;
/// Largest side of a cutout \[pixel\].
const MAX_SIDE_PX: i32 = 4096;

/// Planes that can be asked for, beside the maps of all bands that the run made ([combine] multi_band).
pub const PLANES: [&str; 16] = [
    "image",
    "variance",
    "mask",
    "psi",
    "phi",
    "phi3",
    "omega",
    "significance",
    "free_sed",
    "proper",
    "proper_variance",
    "proper_mask",
    "n_exposures",
    "gain",
    "mjd",
    "fwhm",
];

/// What is cut out.
pub enum Target {
    /// A square of the sky.
    Place { ra_deg: f64, dec_deg: f64, size_arcsec: f64, planes: Vec<String> },
    /// A parent with its children.
    Parent(i64),
}

/// One image of a cutout.
struct Cut {
    /// HDU and label, e.g. `r_image`.
    name: String,
    /// Band; empty for all.
    band: String,
    unit: &'static str,
    pixels: CutPixels,
}

enum CutPixels {
    Real(Array2<f32>),
    Bits(Array2<u32>),
}

/// Writes `<out>.fits` and `<out>.png`.
pub fn cutout(folder: &Path, target: &Target, band: Option<&str>, arm: Option<&str>, out: Option<&Path>) -> Result<()> {
    let run = open(folder)?;
    let arm = arm_of(&run, arm)?;
    let bands = match band {
        None => run.config.run.bands.clone(),
        Some(band) => {
            let names: Vec<String> = match target {
                // Also those of other selections of exposures.
                Target::Place { .. } => run.coadd_names().into_iter().map(|(name, _, _)| name).collect(),
                Target::Parent(_) => run.config.run.bands.clone(),
            };
            if !names.iter().any(|name| name == band) {
                return Err(ConfigError(format!("--band {band}: the run has no such band; expected one of {}", names.join(", "))).into());
            }
            vec![band.to_owned()]
        }
    };
    let (bbox, cuts, rows, default) = match target {
        Target::Place { ra_deg, dec_deg, size_arcsec, planes } => {
            let bbox = square(&run, *ra_deg, *dec_deg, *size_arcsec)?;
            let cuts = place(&run, arm, &bands, planes, &bbox)?;
            let rows = place_panels(&run, arm, &bands, planes, &cuts, &bbox)?;
            (bbox, cuts, rows, format!("cutout-{ra_deg:.5}-{dec_deg:.5}"))
        }
        Target::Parent(id) => {
            let blend = Blend::read(&run, arm, &bands, *id)?;
            (blend.bbox, blend.cuts(), blend.panels(), format!("parent-{id}"))
        }
    };
    let stem = out.map_or_else(|| PathBuf::from(default), |p| p.with_extension(""));
    let (fits, png) = (stem.with_extension("fits"), stem.with_extension("png"));
    write_fits(&run, &fits, &bbox, &cuts)?;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let caption = format!(
        "{}: {:.1} x {:.1} arcsec, north up, east left",
        run.config.run.name,
        f64::from(bbox.width) * scale,
        f64::from(bbox.height) * scale
    );
    write_sheet(&png, &caption, &rows)?;
    println!("{}\n{}", fits.display(), png.display());
    Ok(())
}

/// Box of a square on the sky, cut to the tract.
fn square(run: &Run, ra_deg: f64, dec_deg: f64, size_arcsec: f64) -> Result<Box2> {
    let wrong = |message: String| anyhow::Error::from(ConfigError(message));
    let side = (size_arcsec / run.config.sky_map.pixel_scale_arcsec).round();
    if !(side >= 1.0 && side <= f64::from(MAX_SIDE_PX)) {
        return Err(wrong(format!("--size {size_arcsec}: {side} pixels; expected 1 to {MAX_SIDE_PX}")));
    }
    let is_sky = (0.0..360.0).contains(&ra_deg) && (-90.0..=90.0).contains(&dec_deg);
    let at = if is_sky { run.tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra_deg, dec_deg)).ok() } else { None };
    let side = side as i32;
    let bbox = at.map(|p| Box2::new(p.x.round() as i32 - side / 2, p.y.round() as i32 - side / 2, side, side).intersect(&run.tract.bbox()));
    bbox.filter(|b| !b.is_empty()).ok_or_else(|| {
        let center = run.tract.center();
        let tract = run.tract.bbox();
        let extent = f64::from(tract.width.max(tract.height)) * run.config.sky_map.pixel_scale_arcsec;
        wrong(format!(
            "ra {ra_deg}, dec {dec_deg} is not on the tract; expected a place in {extent:.0} arcsec around {:.5}, {:.5}",
            center.ra_deg(),
            center.dec_deg()
        ))
    })
}

/// Every plane of every band.
fn place(run: &Run, arm: usize, bands: &[String], planes: &[String], bbox: &Box2) -> Result<Vec<Cut>> {
    let (mosaic, combined) = (run.mosaic(arm)?, run.combined(arm));
    let maps = Combine::new(run.config.combine.clone(), &run.config.run.bands)?;
    let mut cuts = Vec::new();
    for plane in planes {
        if maps.maps().iter().any(|(name, _)| name == plane) {
            let pixels = CutPixels::Real(combined.map(plane, bbox)?);
            cuts.push(Cut { name: plane.clone(), band: String::new(), unit: "", pixels });
            continue;
        }
        if plane == "free_sed" {
            let pixels = CutPixels::Real(free_sed(run, arm, bbox)?);
            cuts.push(Cut { name: "free_sed".into(), band: String::new(), unit: "", pixels });
            continue;
        }
        for band in bands {
            let real = |p: Plane| mosaic.plane(band, p, bbox).map(CutPixels::Real);
            let (unit, pixels) = match plane.as_str() {
                "image" => ("nJy", real(Plane::Image)?),
                "variance" => ("nJy2", real(Plane::Variance)?),
                "mask" => ("", CutPixels::Bits(mosaic.mask(band, bbox)?)),
                "psi" => ("nJy-1", real(Plane::Psi)?),
                "phi" => ("nJy-2", real(Plane::Phi)?),
                "phi3" => ("nJy-3", real(Plane::Phi3)?),
                "omega" => ("nJy-2", real(Plane::Omega)?),
                "proper" => ("nJy", CutPixels::Real(combined.proper_image(band, bbox)?)),
                "proper_variance" => ("nJy2", CutPixels::Real(combined.proper_variance(band, bbox)?)),
                "proper_mask" => ("", CutPixels::Bits(combined.proper_mask(band, bbox)?)),
                "significance" => ("", CutPixels::Real(significance(run, arm, band, bbox)?)),
                "n_exposures" => ("", CutPixels::Real(mosaic.properties(band, bbox)?.n_exposures.mapv(|n| n as f32))),
                "gain" => ("nJy-1", CutPixels::Real(mosaic.properties(band, bbox)?.electrons_per_njy.mapv(|g| g as f32))),
                // Single precision holds an MJD to 6 minutes.
                "mjd" => ("d", CutPixels::Real(mosaic.properties(band, bbox)?.mjd.mapv(|t| t as f32))),
                "fwhm" => ("pixel", CutPixels::Real(mosaic.properties(band, bbox)?.fwhm_px.mapv(|w| w as f32))),
                other => return Err(ConfigError(format!("--plane {other}: expected {}", PLANES.join(", "))).into()),
            };
            cuts.push(Cut { name: format!("{band}_{plane}"), band: band.clone(), unit, pixels });
        }
    }
    Ok(cuts)
}

/// ν = Ψ/√Φ, what the band's detection layer thresholds; NaN without data.
fn significance(run: &Run, arm: usize, band: &str, bbox: &Box2) -> Result<Array2<f32>> {
    let mosaic = run.mosaic(arm)?;
    let (psi, phi) = (mosaic.plane(band, Plane::Psi, bbox)?, mosaic.plane(band, Plane::Phi, bbox)?);
    Ok(ndarray::Zip::from(&psi).and(&phi).map_collect(|&psi, &phi| if phi > 0.0 { psi / phi.sqrt() } else { f32::NAN }))
}

/// √Σ max(ν, 0)² over all bands, what the layer `free_sed` thresholds; NaN without data in any.
fn free_sed(run: &Run, arm: usize, bbox: &Box2) -> Result<Array2<f32>> {
    let mut sum = Array2::<f32>::from_elem(bbox.shape(), f32::NAN);
    for band in &run.config.run.bands {
        ndarray::Zip::from(&mut sum).and(&significance(run, arm, band, bbox)?).for_each(|sum, &nu| {
            if !nu.is_nan() {
                *sum = if sum.is_nan() { 0.0 } else { *sum } + nu.max(0.0).powi(2);
            }
        });
    }
    Ok(sum.mapv(f32::sqrt))
}

/// A row a plane, a panel a band; before them the bands in colour.
fn place_panels(run: &Run, arm: usize, bands: &[String], planes: &[String], cuts: &[Cut], bbox: &Box2) -> Result<Vec<Vec<Panel2d>>> {
    let mut rows = Vec::new();
    for plane in planes {
        let mut row = Vec::new();
        if plane == "image" && bands.len() > 1 {
            let mosaic = run.mosaic(arm)?;
            let images = bands.iter().map(|b| mosaic.plane(b, Plane::Image, bbox)).collect::<Result<Vec<_>, _>>()?;
            let views: Vec<_> = images.iter().map(|i| i.view()).collect();
            let cube = ndarray::stack(Axis(0), &views)?;
            let white = White::of(&cube, mean_sigma(run, arm, bands, bbox)?);
            row.push(Panel2d { label: bands.join(" "), pixels: PanelPixels::Colour { bands: bands.to_vec(), njy_byx: cube, white } });
        }
        for cut in cuts.iter().filter(|c| c.name == *plane || c.name == format!("{}_{plane}", c.band)) {
            let label = cut.name.replace('_', " ");
            let pixels = match &cut.pixels {
                CutPixels::Bits(bits) => PanelPixels::Mask(bits.clone()),
                CutPixels::Real(values) if ["significance", "free_sed"].contains(&plane.as_str()) => {
                    PanelPixels::Signed { values: values.clone(), range: 10.0 }
                }
                CutPixels::Real(values) if ["image", "proper"].contains(&plane.as_str()) => {
                    PanelPixels::Light { njy: values.clone(), white: White::of(values, sigma(run, arm, &cut.band, bbox)?) }
                }

                CutPixels::Real(values) => PanelPixels::Linear(values.clone()),
            };
            row.push(Panel2d { label, pixels });
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Median noise of a pixel \[nJy\].
fn sigma(run: &Run, arm: usize, band: &str, bbox: &Box2) -> Result<f64> {
    let variance = run.mosaic(arm)?.plane(band, Plane::Variance, bbox)?;
    let mut finite: Vec<f32> = variance.iter().copied().filter(|v| v.is_finite() && *v > 0.0).collect();
    let middle = finite.len() / 2;
    Ok(if finite.is_empty() { 1.0 } else { f64::from(*finite.select_nth_unstable_by(middle, f32::total_cmp).1).sqrt() })
}

/// Mean of the bands' noise \[nJy\].
fn mean_sigma(run: &Run, arm: usize, bands: &[String], bbox: &Box2) -> Result<f64> {
    let sum = bands.iter().map(|b| sigma(run, arm, b, bbox)).sum::<Result<f64>>()?;
    Ok(sum / bands.len().max(1) as f64)
}

/// A parent, its pixels, its children and the truth on its box, `[band, y, x]` \[nJy\].
struct Blend {
    bands: Vec<String>,
    bbox: Box2,
    sigma_njy: Vec<f64>,
    data: Array3<f32>,
    /// Sum of the children.
    model: Array3<f32>,
    children: Vec<Array3<f32>>,
    /// Noiseless light of all true objects, if the run kept it.
    truth: Option<Array3<f32>>,
}

impl Blend {
    fn read(run: &Run, arm: usize, bands: &[String], id: i64) -> Result<Self> {
        let parents = run.parents(arm)?;
        let index = parents.iter().position(|p| p.id == id).ok_or_else(|| {
            ConfigError(format!("--parent {id}: arm {} has no such parent; parent_id of the catalog names them", run.arms[arm].name))
        })?;
        let bbox = parents[index].footprint.spans.bbox().grown(PARENT_MARGIN_PX).intersect(&run.tract.bbox());
        let mosaic = run.mosaic(arm)?;
        let images = bands.iter().map(|b| mosaic.plane(b, Plane::Image, &bbox)).collect::<Result<Vec<_>, _>>()?;
        let views: Vec<_> = images.iter().map(|i| i.view()).collect();
        let data = ndarray::stack(Axis(0), &views)?;
        let number = batch::batches(&parents).iter().position(|r| r.contains(&index)).context("the parent is in no batch")?;
        let blends = fathom::format::blends::read(&run.path(run.piece_path(arm, "blends", &batch::name(number))))?;
        let of_band: Vec<usize> = bands.iter().filter_map(|b| run.config.run.bands.iter().position(|a| a == b)).collect();
        let mut children = Vec::new();
        if let Some((_, blend)) = blends.into_iter().find(|(parent, _)| *parent == id) {
            for child in blend.children.iter().filter(|c| !c.values_njy.is_empty()) {
                let planes: Vec<Array2<f32>> = of_band.iter().map(|&b| child.scatter(b, &bbox, 0.0)).collect();
                children.push(ndarray::stack(Axis(0), &planes.iter().map(|p| p.view()).collect::<Vec<_>>())?);
            }
        }
        let mut model = Array3::zeros(data.dim());
        for child in &children {
            model += child;
        }
        let sigma_njy = bands.iter().map(|b| sigma(run, arm, b, &bbox)).collect::<Result<_>>()?;
        let truth = truth(run, arm, &of_band, &bbox)?;
        Ok(Self { bands: bands.to_vec(), bbox, sigma_njy, data, model, children, truth })
    }

    /// Residual inside the box: what the children do not hold.
    fn residual(&self) -> Array3<f32> {
        &self.data - &self.model
    }

    fn cuts(&self) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut add = |what: &str, cube: &Array3<f32>| {
            for (b, band) in self.bands.iter().enumerate() {
                let pixels = CutPixels::Real(cube.index_axis(Axis(0), b).to_owned());
                cuts.push(Cut { name: format!("{band}_{what}"), band: band.clone(), unit: "nJy", pixels });
            }
        };
        add("data", &self.data);
        add("model", &self.model);
        for (i, child) in self.children.iter().enumerate() {
            add(&format!("child_{}", i + 1), child);
        }
        add("residual", &self.residual());
        if let Some(truth) = &self.truth {
            add("truth", truth);
            add("model_minus_truth", &(&self.model - truth));
        }
        cuts
    }

    /// A row in colour, then a row a band: data, model, every child, truth, data - model, model - truth.
    fn panels(&self) -> Vec<Vec<Panel2d>> {
        let mut columns: Vec<(String, Array3<f32>, bool)> =
            vec![("data".into(), self.data.clone(), false), ("model".into(), self.model.clone(), false)];
        columns.extend(self.children.iter().enumerate().map(|(i, c)| (format!("child {}", i + 1), c.clone(), false)));
        columns.extend(self.truth.iter().map(|truth| ("truth".into(), truth.clone(), false)));
        columns.push(("data - model".into(), self.residual(), true));
        columns.extend(self.truth.iter().map(|truth| ("model - truth".into(), &self.model - truth, true)));
        // One brightness for all panels of a row: a faint child looks faint.
        let mean_sigma = self.sigma_njy.iter().sum::<f64>() / self.sigma_njy.len().max(1) as f64;
        let white = White::of(&self.data, mean_sigma);
        let colour = |(label, cube, is_difference): &(String, Array3<f32>, bool)| {
            let shown = PanelPixels::Colour { bands: self.bands.clone(), njy_byx: cube.clone(), white };
            (!is_difference).then(|| Panel2d { label: label.clone(), pixels: shown })
        };
        let mut rows = if self.bands.len() > 1 { vec![columns.iter().filter_map(colour).collect::<Vec<_>>()] } else { Vec::new() };
        for (b, band) in self.bands.iter().enumerate() {
            let white = White::of(self.data.index_axis(Axis(0), b), self.sigma_njy[b]);
            let grey = |(label, cube, is_difference): &(String, Array3<f32>, bool)| {
                let image = cube.index_axis(Axis(0), b).to_owned();
                let sigma = self.sigma_njy[b];
                let pixels = if *is_difference {
                    PanelPixels::Signed { values: image.mapv(|v| v / sigma as f32), range: 5.0 }
                } else {
                    PanelPixels::Light { njy: image, white }
                };
                Panel2d { label: format!("{label}, {band}"), pixels }
            };
            rows.push(columns.iter().map(grey).collect());
        }
        rows
    }
}

/// Noiseless light of all true objects on a box; none if the run did not keep it.
fn truth(run: &Run, arm: usize, of_band: &[usize], bbox: &Box2) -> Result<Option<Array3<f32>>> {
    if !run.config.truth.pixels {
        return Ok(None);
    }
    let folder = run.path(Path::new(&run.arms[arm].name).join("truth_pixels"));
    let entries = std::fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.extension().is_some_and(|e| e == "h5")).collect();
    paths.sort();
    let mut sum = Array3::zeros((of_band.len(), bbox.height as usize, bbox.width as usize));
    for path in paths {
        for object in fathom::format::truth_pixels::read(&path)?.1 {
            let shared = object.bbox.intersect(bbox);
            if shared.is_empty() {
                continue;
            }
            for (i, &b) in of_band.iter().enumerate() {
                let of_object = object.values_njy_byx.index_axis(Axis(0), b);
                let part = of_object.slice(object.bbox.slice_of(&shared));
                sum.slice_mut(s![i, .., ..]).slice_mut(bbox.slice_of(&shared)).scaled_add(1.0, &part);
            }
        }
    }
    Ok(Some(sum))
}

/// The tract's WCS with its origin at the first pixel of a box.
fn wcs_cards(run: &Run, bbox: &Box2) -> Cards {
    let mut cards = run.tract.wcs().cards().clone();
    for (key, shift) in [("CRPIX1", bbox.x0), ("CRPIX2", bbox.y0)] {
        if let Some(Card::Number(v)) = cards.get_mut(key) {
            *v -= f64::from(shift);
        }
    }
    cards
}

fn write_fits(run: &Run, path: &Path, bbox: &Box2, cuts: &[Cut]) -> Result<()> {
    // cfitsio does not write over a file.
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("{}", path.display()))?;
    }
    let mut fits = FitsWriter::create(path, path)?;
    let planes: Vec<String> = fathom::image::MaskPlane::ALL.iter().enumerate().map(|(i, p)| format!("{i} {}", p.name())).collect();
    for cut in cuts {
        let mut cards = wcs_cards(run, bbox);
        for (key, value) in [("BUNIT", cut.unit), ("FILTER", cut.band.as_str())] {
            if !value.is_empty() {
                cards.insert(key.into(), Card::Text(value.to_owned()));
            }
        }
        let pixels = match &cut.pixels {
            CutPixels::Real(values) => Pixels::Real(values.view()),
            CutPixels::Bits(bits) => {
                cards.insert("BITS".into(), Card::Text(planes.join(", ")));
                Pixels::Bits(bits.view())
            }
        };
        fits.image(&cut.name, pixels, &cards)?;
    }
    fits.close().map_err(|e| anyhow!(e))
}
