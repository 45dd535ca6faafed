//! The picture of the field: its pixels, the outlines of what was detected, a mark for every object.

use super::binned::Binned;
use super::{Shown, rows_by_id};
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use fathom::format::coadd::Plane;
use fathom::geometry::SkyPoint;
use fathom_validation::{BandImage, FieldImage, FieldMark};
use ndarray::Array2;

/// Longest side of the picture \[pixel\].
const PICTURE_PX: usize = 1100;

/// Statuses of detections that stand for no true object of their own.
const OF_DETECTIONS: [&str; 4] = ["shred", "spurious", "real", "ignored"];
/// Statuses of true objects that no figure counts.
const NOT_COUNTED: [&str; 3] = ["below_limit", "unusable", "ignored"];

/// Everything on it.
pub fn field(run: &Run, shown: &Shown) -> Result<FieldImage> {
    let bbox = run.tract.bbox();
    let mosaic = run.mosaic(shown.arm)?;
    let (bin, shape) = {
        let empty = Binned::new(&bbox, PICTURE_PX);
        (empty.bin(), empty.shape())
    };
    let mut bands = Vec::new();
    for band in &run.config.run.bands {
        let mut image = Binned::new(&bbox, PICTURE_PX);
        for patch in run.tract.patches() {
            image.add(&patch.bbox, mosaic.plane(band, Plane::Image, &patch.bbox)?.view());
        }
        bands.push(BandImage { band: band.clone(), image_njy: image.mean() });
    }
    let mut detected = Array2::<u32>::zeros(shape);
    for patch in run.tract.patches() {
        let path = run.path(run.piece_path(shown.arm, "layers", &patch.id.to_string()));
        for (x, y) in fathom::format::layers::read(&path)?.layers.iter().flat_map(|layer| layer.spans.pixels()) {
            detected[[y as usize / bin, x as usize / bin]] = 1;
        }
    }
    let all_parents = run.parents(shown.arm)?;
    let mut parents = Array2::<u32>::zeros(shape);
    for (i, parent) in all_parents.iter().enumerate() {
        for (x, y) in parent.footprint.spans.pixels() {
            parents[[y as usize / bin, x as usize / bin]] = i as u32 + 1;
        }
    }
    let pixel_arcsec = run.config.sky_map.pixel_scale_arcsec * bin as f64;
    Ok(FieldImage {
        bands,
        bin,
        detected,
        parents,
        n_parents: all_parents.len(),
        marks: marks(run, shown, bin)?,
        pixel_arcsec,
        compass: compass(run),
        source: format!("{0}/coadd/*.h5 /<band>/image, {0}/layers/*.h5, {0}/parents/*.h5, validation.h5 /matches", shown.name),
    })
}

/// Pixel of the picture of a position on the sky; none off the tract.
fn place(run: &Run, bin: usize, ra_deg: f64, dec_deg: f64) -> Option<(f64, f64)> {
    let p = run.tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra_deg, dec_deg)).ok()?;
    let (x, y) = p.pixel();
    let of_bin = |v: f64| (v + 0.5) / bin as f64 - 0.5;
    run.tract.bbox().contains(x, y).then(|| (of_bin(p.x), of_bin(p.y)))
}

/// Unit vectors to north and east at the centre, x and y of the tract.
fn compass(run: &Run) -> [(f64, f64); 2] {
    let center = run.tract.center();
    let (ra, dec, step) = (center.ra_deg(), center.dec_deg(), 1.0 / 3600.0);
    let wcs = run.tract.wcs();
    let origin = wcs.sky_to_pixel(center);
    let toward = |ra: f64, dec: f64| match (&origin, wcs.sky_to_pixel(SkyPoint::from_degrees(ra, dec))) {
        (Ok(from), Ok(to)) => {
            let (dx, dy) = (to.x - from.x, to.y - from.y);
            (dx / dx.hypot(dy), dy / dx.hypot(dy))
        }
        // A tract has its own centre.
        _ => (0.0, 0.0),
    };
    [toward(ra, dec + step), toward(ra + step / dec.to_radians().cos(), dec)]
}

/// Peaks, truth, and what became of truth and detections.
fn marks(run: &Run, shown: &Shown, bin: usize) -> Result<Vec<FieldMark>> {
    let mut marks = Vec::new();
    for parent in run.parents(shown.arm)?.iter() {
        for peak in &parent.footprint.peaks {
            let of_bin = |v: f64| (v + 0.5) / bin as f64 - 0.5;
            let text = format!("peak of parent {}, significance {:.1}", parent.id, peak.significance);
            marks.push(FieldMark {
                at: (of_bin(peak.at.x), of_bin(peak.at.y)),
                what: "peak".into(),
                text,
                significance: peak.significance,
            });
        }
    }
    let (truth, catalog) = (Objects::truth(&shown.truth, &run.config.run.bands)?, Objects::catalog(&shown.catalog)?);
    let matches = &shown.matches;
    if matches.n_rows() == 0 {
        // A catalog without parents has no columns.
        let is_primary = if catalog.id.is_empty() { &[] } else { shown.catalog.bool("is_primary")? };
        let rows = (0..catalog.id.len()).filter(|&i| is_primary[i]);
        marks.extend(rows.filter_map(|i| catalog.mark(run, bin, i, "detected", "object")));
        return Ok(marks);
    }
    let (truth_rows, catalog_rows) = (rows_by_id(&shown.truth), rows_by_id(&shown.catalog));
    let rows = matches.i64("truth_id")?.iter().zip(matches.i64("object_id")?).zip(matches.text("status")?);
    for ((truth_id, object_id), status) in rows {
        if let Some(&i) = catalog_rows.get(object_id).filter(|_| OF_DETECTIONS.contains(&status.as_str())) {
            marks.extend(catalog.mark(run, bin, i, status, "object"));
            continue;
        }
        // Faint truth is everywhere: only what would have been seen is marked.
        let Some(&i) = truth_rows.get(truth_id).filter(|i| truth.snr[**i] >= run.config.validate.ignore_below_snr) else { continue };
        marks.extend(truth.mark(run, bin, i, status, "truth"));
        if !NOT_COUNTED.contains(&status.as_str()) {
            marks.extend(truth.mark(run, bin, i, "truth", "truth"));
        }
    }
    Ok(marks)
}

/// Ids, places and S/N of a table.
struct Objects<'a> {
    id: &'a [i64],
    ra_deg: &'a [f64],
    dec_deg: &'a [f64],
    snr: Vec<f64>,
}

impl<'a> Objects<'a> {
    /// True objects, with their S/N of all bands together.
    fn truth(table: &'a Table, bands: &[String]) -> Result<Self> {
        if table.columns().is_empty() {
            return Ok(Self { id: &[], ra_deg: &[], dec_deg: &[], snr: Vec::new() });
        }
        let per_band = bands.iter().map(|b| table.f64(&format!("{b}_snr_true"))).collect::<Result<Vec<_>, _>>()?;
        let snr_of = |i: usize| per_band.iter().map(|s| s[i]).filter(|s| s.is_finite()).map(|s| s * s).sum::<f64>().sqrt();
        let snr = (0..table.n_rows()).map(snr_of).collect();
        Ok(Self { id: table.i64("id")?, ra_deg: table.f64("ra")?, dec_deg: table.f64("dec")?, snr })
    }

    fn catalog(table: &'a Table) -> Result<Self> {
        if table.columns().is_empty() {
            return Self::truth(table, &[]);
        }
        let snr = table.f64("detect_snr").map_or_else(|_| vec![f64::NAN; table.n_rows()], <[f64]>::to_vec);
        Ok(Self { id: table.i64("id")?, ra_deg: table.f64("ra")?, dec_deg: table.f64("dec")?, snr })
    }

    fn mark(&self, run: &Run, bin: usize, i: usize, what: &str, kind: &str) -> Option<FieldMark> {
        let at = place(run, bin, self.ra_deg[i], self.dec_deg[i])?;
        let text = format!("{what}: {kind} {}, S/N {:.1}", self.id[i], self.snr[i]);
        Some(FieldMark { at, what: what.to_owned(), text, significance: self.snr[i] })
    }
}
