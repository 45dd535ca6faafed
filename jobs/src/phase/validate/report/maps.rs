//! Maps of the coadds: exposures, depth, seeing, masked pixels.

use super::binned::Binned;
use crate::run::Run;
use anyhow::Result;
use fathom::format::coadd::Plane;
use fathom::geometry::{Box2, PixelPoint};
use fathom::image::MaskPlane;
use fathom_validation::report::{Grid, StageText};
use fathom_validation::{Corner, Mark, MarkKind, Palette, Panel, Plot, Section};
use ndarray::{Array2, Axis};

/// Longest side of a map \[cell\].
const MAP_CELLS: usize = 48;
/// Longest side of the map of the seeing: a PSF is evaluated for each exposure and cell.
const SEEING_CELLS: usize = 24;
/// Depth is given for point sources of this S/N.
const DEPTH_SNR: f64 = 5.0;
/// AB magnitude of 1 nJy.
const AB_OF_NJY: f64 = 31.4;
/// Planes that say that a pixel's value is not, or not only, what the sky sent.
const SPOILT: [MaskPlane; 8] = [
    MaskPlane::Bad,
    MaskPlane::Sat,
    MaskPlane::Cr,
    MaskPlane::NoData,
    MaskPlane::Intrp,
    MaskPlane::Clipped,
    MaskPlane::Rejected,
    MaskPlane::Suspect,
];

/// One plot a quantity, one panel a band; and what each is made of.
pub fn maps(run: &Run, arm: usize) -> Result<Vec<(Plot, String)>> {
    let bands = &run.config.run.bands;
    let mut coverage = Vec::new();
    let (mut depth, mut seeing, mut spoilt) = (Vec::new(), Vec::new(), Vec::new());
    for band in bands {
        let [n, phi, masked] = of_band(run, arm, band)?;
        coverage.push(n);
        // Φ is what a point source's flux weighs: σ = 1/√Φ.
        depth.push(phi.mapv(|p| if p > 0.0 { (AB_OF_NJY - 2.5 * (DEPTH_SNR / f64::from(p).sqrt()).log10()) as f32 } else { f32::NAN }));
        spoilt.push(masked.mapv(|v| 100.0 * v));
        seeing.push(fwhm(run, arm, band)?);
    }
    let coadds = |what: &str| format!("{}/coadd/*.h5 /<band>/{what}", run.arms[arm].name);
    let plot = |name: &str, title: &str, caption: String, label: &str, maps: Vec<Array2<f32>>| Plot {
        name: name.into(),
        section: Section::Coadd,
        title: title.into(),
        caption: format!("{caption} Colours reach from the 2nd to the 98th percentile of the map."),
        panels: bands.iter().zip(maps).map(|(band, map)| panel(run, &format!("{label}, {band}"), &map)).collect(),
    };
    let exposures = "Mean number of exposures that contribute.".to_owned();
    let point_source = format!("Magnitude of a point source of S/N {DEPTH_SNR}, from Φ of the likelihood coadd.");
    let psf = "FWHM of the PSFs of the exposures that contribute, weighted as in the direct coadd.".to_owned();
    let planes = format!("Share of pixels with any of {}.", SPOILT.map(MaskPlane::name).join(", "));
    Ok(vec![
        (plot("map_coverage", "Exposures per pixel", exposures, "exposures", coverage), coadds("inputs")),
        (plot("map_depth", "Depth", point_source, "depth [AB mag]", depth), coadds("phi")),
        (plot("map_seeing", "Seeing", psf, "FWHM [arcsec]", seeing), coadds("input_exposures")),
        (plot("map_mask", "Masked pixels", planes, "masked [%]", spoilt), coadds("mask")),
    ])
}

/// Binned: contributing exposures, Φ, share of spoilt pixels.
fn of_band(run: &Run, arm: usize, band: &str) -> Result<[Array2<f32>; 3]> {
    let (mosaic, bbox) = (run.mosaic(arm)?, run.tract.bbox());
    let [mut n, mut phi, mut masked] = std::array::from_fn(|_| Binned::new(&bbox, MAP_CELLS));
    let bits = SPOILT.iter().fold(0, |bits, plane| bits | plane.bit());
    for patch in run.tract.patches() {
        let words = mosaic.inputs_wyx(band, &patch.bbox)?;
        n.add(&patch.bbox, words.map_axis(Axis(0), |set| set.iter().map(|w| w.count_ones()).sum::<u32>()).view());
        phi.add(&patch.bbox, mosaic.plane(band, Plane::Phi, &patch.bbox)?.view());
        masked.add(&patch.bbox, mosaic.mask(band, &patch.bbox)?.mapv(|m| f32::from(u8::from(m & bits != 0))).view());
    }
    Ok([n.mean(), phi.mean(), masked.mean()])
}

/// FWHM \[arcsec\] at the middle of every cell, NaN where nothing contributes.
fn fwhm(run: &Run, arm: usize, band: &str) -> Result<Array2<f32>> {
    let (mosaic, bbox, inputs) = (run.mosaic(arm)?, run.tract.bbox(), run.band_inputs(arm)?);
    let records = mosaic.inputs(band)?;
    let cells = Binned::new(&bbox, SEEING_CELLS);
    let mut map = Array2::from_elem(cells.shape(), f32::NAN);
    for ((j, i), value) in map.indexed_iter_mut() {
        let middle = |at: usize, end: i32| ((at * cells.bin() + cells.bin() / 2) as i32).min(end - 1);
        let (x, y) = (middle(i, bbox.width), middle(j, bbox.height));
        let words = mosaic.inputs_wyx(band, &Box2::new(x, y, 1, 1))?;
        let sky = run.tract.wcs().pixel_to_sky(PixelPoint::new(f64::from(x), f64::from(y)));
        let (mut sum, mut weights) = (0.0, 0.0);
        for (k, ((meta, _), record)) in inputs[band].iter().zip(&records).enumerate() {
            let Ok(p) = meta.wcs.sky_to_pixel(sky) else { continue };
            if words[[k / 64, 0, 0]] >> (k % 64) & 1 == 1 {
                sum += record.weight * meta.psf.fwhm_px(p) * meta.wcs.pixel_area_arcsec2(p).sqrt();
                weights += record.weight;
            }
        }
        if weights > 0.0 {
            *value = (sum / weights) as f32;
        }
    }
    Ok(map)
}

fn panel(run: &Run, label: &str, map: &Array2<f32>) -> Panel {
    let bbox = run.tract.bbox();
    let half = |px: i32| 0.5 * f64::from(px) * run.config.sky_map.pixel_scale_arcsec / 60.0;
    let (x, y) = ((-half(bbox.width), half(bbox.width)), (-half(bbox.height), half(bbox.height)));
    let labels = ["tract x from the centre [arcmin]", "tract y from the centre [arcmin]"];
    heat_panel(labels, [x, y], map, range_of(map, 0.02), label, Palette::Sequential)
}

/// Finite values at this share from either end, apart even if they are equal: a few cells at a border must not hide all else.
pub fn range_of(map: &Array2<f32>, share: f64) -> (f64, f64) {
    let mut values: Vec<f64> = map.iter().copied().filter(|v| v.is_finite()).map(f64::from).collect();
    if values.is_empty() {
        return (0.0, 1.0);
    }
    values.sort_by(f64::total_cmp);
    let cut = ((values.len() - 1) as f64 * share) as usize;
    let (last, least) = (values.len() - 1, |v: f64| 1e-3 * v.abs().max(1e-3));
    // Where nearly all cells are equal the few others are what the map is for.
    let ends = [(values[cut], values[last - cut]), (values[0], values[last])];
    let apart = ends.into_iter().find(|(low, high)| high - low > least(*high));
    apart.unwrap_or((values[0], values[0] + least(values[0])))
}

/// A map that fills its axes.
pub fn heat_panel(
    labels: [&str; 2],
    [x, y]: [(f64, f64); 2],
    map: &Array2<f32>,
    range: (f64, f64),
    label: &str,
    palette: Palette,
) -> Panel {
    let values_yx = map.rows().into_iter().map(|row| row.iter().map(|v| Some(*v).filter(|v| v.is_finite())).collect()).collect();
    let kind = MarkKind::Heat { x, y, values_yx, range, label: label.into(), palette };
    Panel {
        x_label: labels[0].into(),
        y_label: labels[1].into(),
        x,
        y,
        log_y: false,
        marks: vec![Mark { label: label.into(), colour: (0, 0, 0), kind }],
        legend: Corner::UpperRight,
    }
}

/// Share of the tract's pixels with each bit.
pub fn mask_table(run: &Run, arm: usize) -> Result<StageText> {
    let mosaic = run.mosaic(arm)?;
    let bands = &run.config.run.bands;
    let mut shares = vec![[0u64; MaskPlane::ALL.len()]; bands.len()];
    for (band, of_band) in bands.iter().zip(&mut shares) {
        for patch in run.tract.patches() {
            for mask in &mosaic.mask(band, &patch.bbox)? {
                for (n, plane) in of_band.iter_mut().zip(MaskPlane::ALL) {
                    *n += u64::from(mask & plane.bit() != 0);
                }
            }
        }
    }
    let mut grid = Grid::new(&["plane"]);
    grid.heads.extend(bands.iter().map(|b| format!("{b} [%]")));
    let n_pixels = run.tract.bbox().n_pixels().max(1) as f64;
    for (i, plane) in MaskPlane::ALL.iter().enumerate().filter(|(i, _)| shares.iter().any(|s| s[*i] > 0)) {
        let cells = shares.iter().map(|s| format!("{:.3}", 100.0 * s[i] as f64 / n_pixels));
        grid.rows.push(std::iter::once(plane.name().to_owned()).chain(cells).collect());
    }
    Ok(StageText {
        section: Section::Coadd,
        title: "Mask planes".into(),
        text: format!("Share of the tract's pixels with each bit. Made by fathom coadd; {}/coadd/*.h5 /<band>/mask.", run.arms[arm].name),
        grid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Borders do not stretch the colours, but they are not lost where they are all there is to see.
    #[test]
    fn ranges_show_what_differs() {
        let mut map = Array2::from_shape_fn((10, 10), |(j, i)| (10 * j + i) as f32);
        map[[0, 0]] = -1e6;
        map[[0, 1]] = f32::NAN;
        assert_eq!(range_of(&map, 0.02), (2.0, 98.0));
        let mut flat = Array2::from_elem((10, 10), 3.0f32);
        assert_eq!(range_of(&flat, 0.02), (3.0, 3.003));
        flat[[0, 0]] = 7.0;
        assert_eq!(range_of(&flat, 0.02), (3.0, 7.0));
        assert_eq!(range_of(&Array2::from_elem((2, 2), f32::NAN), 0.02), (0.0, 1.0));
    }
}
