//! measure: catalog rows of parents and children.

use super::{Phase, Task, batch, deblend::Deblend};
use crate::product_key;
use crate::run::Run;
use anyhow::{Context, Result, anyhow};
use fathom::associate::{Parent, object_id, parent_id};
use fathom::catalog::{ColumnData, Table};
use fathom::coadd::CoaddPsf;
use fathom::deblend::Deblended;
use fathom::footprint::{Footprint, Peak, PeakMark, Span, SpanSet};
use fathom::format::coadd::Plane;
use fathom::geometry::{Box2, PixelPoint};
use fathom::image::MaskPlane;
use fathom::measure::{ColumnSpec, MeasureSources, Row, SourceBand, SourcePixels};
use ndarray::{Array2, Array3, s};
use rayon::prelude::*;
use std::collections::BTreeMap;

pub struct Measure;

/// Share of the stack's weight by which a pixel's exposures may differ from the source's: the PSF errs by less than that.
const PSF_TOLERANCE: f64 = 0.02;

/// A pixel of which an exposure lost a little of its kernel, but none was left out: its contributors do not show it.
const RENORMALISED: u32 = MaskPlane::InexactPsf.bit() | MaskPlane::Rejected.bit();
const RENORMALISED_ONLY: u32 = MaskPlane::InexactPsf.bit();

/// One catalog row to be.
struct Entry {
    id: i64,
    parent_id: i64,
    n_children: i64,
    is_primary: bool,
    peak: Peak,
    is_point_source: bool,
    mask_bits: Vec<u32>,
    row: Row,
}

/// Planes of one band around a parent.
struct BandPlanes {
    image: Array2<f32>,
    variance: Array2<f32>,
    mask: Array2<u32>,
    inputs: Array3<u64>,
    fwhm_px: f64,
}

impl Phase for Measure {
    fn name(&self) -> &'static str {
        "measure"
    }

    fn about(&self) -> &'static str {
        "Measures parents and children in all bands.\n\nReads: <arm>/parents/<patch>.h5, <arm>/blends/<batch>.h5, <arm>/coadd/<patch>.h5, PSFs of <arm>/exposures and <arm>/visit.\nWrites: <arm>/catalog/<batch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.measure);
        let to_task = |t: Task| Task {
            path: run.piece_path(t.arm, "catalog", &batch::name(t.index)),
            key: product_key::key("measure", [config.as_str(), &t.key]),
            ..t
        };
        Ok(Deblend.tasks(run)?.into_iter().map(to_task).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = MeasureSources::new(&run.config.measure)?;
        let parents = run.parents(task.arm)?;
        let range = batch::batches(&parents).swap_remove(task.index);
        let path = run.path(run.piece_path(task.arm, "blends", &batch::name(task.index)));
        let blends: BTreeMap<i64, Deblended> = fathom::format::blends::read(&path)?.into_iter().collect();
        let entries: Vec<Vec<Entry>> = range
            .into_par_iter()
            .map(|i| {
                let blend = blends.get(&parents[i].id);
                let measured = measure_parent(run, task.arm, &stage, &parents, Subject::Parent(i), blend);
                measured.with_context(|| format!("parent {}", parents[i].id))
            })
            .collect::<Result<_>>()?;
        let entries: Vec<Entry> = entries.into_iter().flatten().collect();
        let table = to_table(run, &stage.columns(&run.config.run.bands), &entries)?;
        fathom::format::table::write(&run.path(&task.path), &task.key, "catalog", &table)?;
        Ok(())
    }
}

/// Measures blank positions as sources are, with the light of every parent left out; the table of the catalog.
pub(super) fn measure_blank(run: &Run, arm: usize, pixels: &[(i32, i32)]) -> Result<Table> {
    let stage = MeasureSources::new(&run.config.measure)?;
    let parents = run.parents(arm)?;
    let blank = |&(x, y): &(i32, i32)| {
        let peak = Peak::bare(PixelPoint::new(f64::from(x), f64::from(y)), 0.0, 0);
        let spans = SpanSet::from_spans(vec![Span { y, x0: x, x1: x }]);
        let footprint = Footprint { spans, peaks: vec![Peak { seen_in: 0, ..peak }] };
        let parent = Parent { id: parent_id(0, x, y), split_from: None, footprint, hypotheses: Vec::new() };
        measure_parent(run, arm, &stage, &parents, Subject::Blank(&parent), None).with_context(|| format!("blank position ({x}, {y})"))
    };
    let entries: Vec<Vec<Entry>> = pixels.par_iter().map(blank).collect::<Result<_>>()?;
    to_table(run, &stage.columns(&run.config.run.bands), &entries.into_iter().flatten().collect::<Vec<_>>())
}

/// What is measured.
#[derive(Clone, Copy)]
enum Subject<'a> {
    /// A parent, by its place in the list.
    Parent(usize),
    /// A blank position.
    Blank(&'a Parent),
}

/// The row of a parent, and those of its children if it is a blend.
fn measure_parent(
    run: &Run,
    arm: usize,
    stage: &MeasureSources,
    parents: &[Parent],
    subject: Subject,
    blend: Option<&Deblended>,
) -> Result<Vec<Entry>> {
    let (parent, index) = match subject {
        Subject::Parent(i) => (&parents[i], Some(i)),
        Subject::Blank(parent) => (parent, None),
    };
    let bands = &run.config.run.bands;
    let mosaic = run.mosaic(arm)?;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let fwhm_px = bands.iter().map(|b| mosaic.fwhm_px(b)).try_fold(0.0, |m: f64, f| f.map(|f| m.max(f)))?;
    let margin = stage.radius_px(fwhm_px, scale) as i32;
    let bbox = parent.footprint.spans.bbox().grown(margin);
    let owner = owners(parents, index, &bbox);
    let planes = bands
        .iter()
        .map(|band| {
            let mut variance = mosaic.plane(band, Plane::Variance, &bbox)?;
            // Another parent's light must not count.
            ndarray::Zip::from(&mut variance).and(&owner).for_each(|v, &o| {
                if o == Owner::Other {
                    *v = f32::INFINITY;
                }
            });
            let (image, mask) = (mosaic.plane(band, Plane::Image, &bbox)?, mosaic.mask(band, &bbox)?);
            Ok(BandPlanes { image, variance, mask, inputs: mosaic.inputs_wyx(band, &bbox)?, fwhm_px: mosaic.fwhm_px(band)? })
        })
        .collect::<Result<Vec<_>>>()?;
    let psfs = bands.iter().map(|b| run.coadd_psf(arm, b)).collect::<Result<Vec<_>>>()?;
    let measure = |peak: &Peak, child: Option<&fathom::footprint::HeavyFootprint>| -> Result<(Row, Vec<u32>)> {
        let (x, y) = peak.pixel;
        // One PSF for the source: of the exposures that most of its core's pixels share.
        let references: Vec<Vec<u64>> = planes
            .iter()
            .map(|p| {
                let r = (1.5 * p.fwhm_px).ceil() as i32;
                let core = Box2::new(x - r, y - r, 2 * r + 1, 2 * r + 1).intersect(&bbox);
                let (j, i) = ((core.y0 - bbox.y0) as usize, (core.x0 - bbox.x0) as usize);
                let (ny, nx) = core.shape();
                CoaddPsf::common_contributors(p.inputs.slice(s![.., j..j + ny, i..i + nx]))
            })
            .collect();
        let draw_psf = |b: usize, at: PixelPoint| psfs[b].stamp(at, &references[b], (3.0 * planes[b].fwhm_px).ceil() as usize);
        let bands_of_source = bands
            .iter()
            .enumerate()
            .map(|(b, band)| {
                let p = &planes[b];
                let mut image = p.image.clone();
                if let Some(child) = child {
                    // Inside the parent only the child's share; outside any parent the coadd as it is.
                    ndarray::Zip::from(&mut image).and(&owner).for_each(|v, &o| {
                        if o == Owner::Own && v.is_finite() {
                            *v = 0.0;
                        }
                    });
                    for ((x, y), &v) in child.spans.pixels().zip(&child.values_njy[b]) {
                        if let Some(k) = bbox.index(x, y) {
                            image[k] = v;
                        }
                    }
                }
                let correlation = mosaic.covariance(band, x, y)?.map_or_else(
                    || Array2::from_elem((1, 1), 1.0),
                    |c| {
                        let center = c[[c.nrows() / 2, c.ncols() / 2]];
                        c / center
                    },
                );
                let ap_corr = psfs[b].ap_corr("psf_flux", peak.at, &references[b]);
                let mut is_psf_valid = psfs[b].agrees(p.inputs.view(), &references[b], PSF_TOLERANCE);
                ndarray::Zip::from(&mut is_psf_valid).and(&p.mask).for_each(|ok, &m| *ok &= m & RENORMALISED != RENORMALISED_ONLY);
                Ok(SourceBand {
                    band: band.clone(),
                    image_njy: image,
                    parent_image_njy: p.image.clone(),
                    variance_njy2: p.variance.clone(),
                    mask: p.mask.clone(),
                    is_psf_valid,
                    correlation,
                    fwhm_px: p.fwhm_px,
                    ap_corr: BTreeMap::from([("psf_flux".to_owned(), (ap_corr.0, !ap_corr.1))]),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let source = SourcePixels { bbox, peak: peak.at, pixel_scale_arcsec: scale, bands: bands_of_source, draw_psf: &draw_psf };
        let row = stage.run(&source);
        let center = row.position(peak.at);
        let mask_bits = planes.iter().map(|p| core_mask(&p.mask, &bbox, center)).collect();
        Ok((row, mask_bits))
    };
    let brightest = &parent.footprint.peaks[0];
    let survivors: Vec<usize> = blend.map_or_else(Vec::new, |d| (0..d.children.len()).filter(|&k| d.merged_into[k].is_none()).collect());
    if parent.footprint.peaks.len() > 1 && blend.is_none() {
        return Err(anyhow!("has {} peaks, but no children were made", parent.footprint.peaks.len()));
    }
    // A blend of which one object survives is no blend.
    let is_blend = survivors.len() > 1;
    let (row, mask_bits) = measure(brightest, None)?;
    let mut entries = vec![Entry {
        id: parent.id,
        parent_id: parent.id,
        n_children: if is_blend { survivors.len() as i64 } else { 0 },
        is_primary: !is_blend,
        peak: brightest.clone(),
        is_point_source: false,
        mask_bits,
        row,
    }];
    if let Some(d) = blend.filter(|_| is_blend) {
        for k in survivors {
            let peak = &parent.footprint.peaks[k];
            let (row, mask_bits) = measure(peak, Some(&d.children[k]))?;
            entries.push(Entry {
                id: object_id(parent.id, 0, k as u32 + 1),
                parent_id: parent.id,
                n_children: 0,
                is_primary: true,
                peak: peak.clone(),
                is_point_source: d.is_psf[k],
                mask_bits,
                row,
            });
        }
    }
    Ok(entries)
}

/// Whose a pixel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    Own,
    Other,
}

/// Owner of every pixel of a box. Parents are ordered by their first row, so that those that can reach the box are near in the list.
fn owners(parents: &[Parent], index: Option<usize>, bbox: &Box2) -> Array2<Owner> {
    let mut owner = Array2::from_elem(bbox.shape(), Owner::Nobody);
    for (i, parent) in parents.iter().enumerate() {
        let spans = parent.footprint.spans.spans();
        if spans[0].y >= bbox.y1() {
            break;
        }
        if spans[spans.len() - 1].y < bbox.y0 {
            continue;
        }
        let value = if Some(i) == index { Owner::Own } else { Owner::Other };
        for span in spans.iter().filter(|s| s.y >= bbox.y0 && s.y < bbox.y1()) {
            for x in span.x0.max(bbox.x0)..=span.x1.min(bbox.x1() - 1) {
                owner[[(span.y - bbox.y0) as usize, (x - bbox.x0) as usize]] = value;
            }
        }
    }
    owner
}

/// Mask bits of the 3 x 3 pixels around a position.
fn core_mask(mask: &Array2<u32>, bbox: &Box2, at: PixelPoint) -> u32 {
    let (x, y) = at.pixel();
    let bits = |k: i32| bbox.index(x + k % 3 - 1, y + k / 3 - 1).map_or(0, |p| mask[p]);
    (0..9).fold(0, |all, k| all | bits(k))
}

/// Flags of the catalog that say what the mask holds under an object's core.
const CORE_FLAGS: [(&str, MaskPlane, &str); 3] = [
    ("saturated", MaskPlane::Sat, "a saturated pixel under the core"),
    ("inexact_psf", MaskPlane::InexactPsf, "the PSF model is not exact at the core: an exposure is masked there"),
    ("no_data", MaskPlane::NoData, "pixels without data at the core"),
];

/// Flags of the catalog that say what else is known of an object.
const MARKS: [(&str, PeakMark, &str); 4] = [
    ("is_known", PeakMark::Known, "a list of known sources has it"),
    ("is_mover", PeakMark::Mover, "the comparison of exposures saw it move"),
    ("is_transient", PeakMark::Transient, "the comparison of exposures saw it appear or fade"),
    ("is_variable", PeakMark::Variable, "the comparison of exposures saw it vary"),
];

fn to_table(run: &Run, columns: &[ColumnSpec], entries: &[Entry]) -> Result<Table> {
    let mut table = Table::new();
    let ints = |get: &dyn Fn(&Entry) -> i64| ColumnData::I64(entries.iter().map(get).collect());
    let flags = |get: &dyn Fn(&Entry) -> bool| ColumnData::Bool(entries.iter().map(get).collect());
    let numbers = |get: &dyn Fn(&Entry) -> f64| ColumnData::F64(entries.iter().map(get).collect());
    table.push("id", "", "row id: parent_id for a parent, packed with the child's number for a child", ints(&|e| e.id))?;
    table.push("parent_id", "", "id of the parent", ints(&|e| e.parent_id))?;
    table.push("n_children", "", "children of a parent that is a blend, else 0", ints(&|e| e.n_children))?;
    table.push("is_primary", "", "counts every light once: children, and parents that are no blends", flags(&|e| e.is_primary))?;
    let sky: Vec<_> = entries.iter().map(|e| run.tract.wcs().pixel_to_sky(e.row.position(e.peak.at))).collect();
    table.push("ra", "deg", "right ascension (ICRS) of the centroid", ColumnData::F64(sky.iter().map(|s| s.ra_deg()).collect()))?;
    table.push("dec", "deg", "declination (ICRS) of the centroid", ColumnData::F64(sky.iter().map(|s| s.dec_deg()).collect()))?;
    // The tract is north up: columns are -RA cos dec, rows are dec.
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let error = |name: &'static str| move |e: &Entry| e.row.values.get(name).copied().unwrap_or(f64::NAN) * scale;
    table.push("ra_err", "arcsec", "error of ra cos dec", numbers(&error("x_err")))?;
    table.push("dec_err", "arcsec", "error of dec", numbers(&error("y_err")))?;
    table.push("detect_snr", "", "significance of the peak in its best layer", numbers(&|e| e.peak.significance))?;
    table.push(
        "seen_in",
        "",
        "layers that saw it, as bits in the order of the table /layers of the layers' files",
        ints(&|e| e.peak.seen_in as i64),
    )?;
    for (name, mark, what) in MARKS {
        table.push(name, "", what, flags(&|e| e.peak.marks & mark.bit() != 0))?;
    }
    table.push("is_point_source", "", "the deblender took it for a point source", flags(&|e| e.is_point_source))?;
    for (b, band) in run.config.run.bands.iter().enumerate() {
        for (name, plane, what) in CORE_FLAGS {
            table.push(&format!("{band}_{name}"), "", what, flags(&|e| e.mask_bits[b] & plane.bit() != 0))?;
        }
    }
    for column in columns {
        let data = if column.is_flag {
            flags(&|e| e.row.flags.get(&column.name).copied().unwrap_or(true))
        } else {
            numbers(&|e| e.row.values.get(&column.name).copied().unwrap_or(f64::NAN))
        };
        table.push(&column.name, column.unit, &column.description, data)?;
    }
    Ok(table)
}
