//! Noiseless stars across the edges of exposures, against the PSFs that direct and proper coadds state at their places.

use super::proper_tests::{BORDER, FLOOR, cells_of, core, proper_of};
use super::tests::{add_star, coadd_with, exposure, tract, visit};
use super::*;
use crate::geometry::{Box2, PixelPoint};
use crate::image::{ApCorrMap, Exposure, ExposureId, MaskPlane};
use ndarray::{Array2, s};
use rayon::prelude::*;
use std::f64::consts::FRAC_PI_2;

/// Half-width of the stamps \[pixel\].
const RADIUS: usize = 12;
const FLUX_NJY: f64 = 1e4;
/// Of the stars.
const SPACING_PX: f64 = 31.5;

/// One exposure that covers the tract and four whose edges run through it, two of them upright; FWHM of 2.4 to 4.9 pixels without the pixel.
fn exposures(k: usize) -> Vec<Exposure> {
    let of = |i: usize| {
        let (k, i) = (k as f64, i as f64);
        let fwhm = 2.4 + (0.7 * i + 0.61 * k).rem_euclid(2.5);
        let angle = FRAC_PI_2 * i + 0.002 * (i + k);
        // Along a row or column of the stars, a few pixels beside it.
        let offset = if i == 0.0 { 0.0 } else { 164.0 - SPACING_PX * (i + k).rem_euclid(4.0) + (1.7 * i + 1.3 * k).rem_euclid(6.0) - 3.0 };
        let mut e = exposure(fwhm, angle, 0.2, offset);
        e.meta.id = ExposureId(format!("e{i}"));
        e
    };
    (0..5).map(of).collect()
}

/// True if an exposure ends within `reach_px` of the place.
fn is_at_edge(exposures: &[Exposure], at: PixelPoint, reach_px: f64) -> bool {
    let sky = tract().wcs().pixel_to_sky(at);
    exposures.iter().any(|e| {
        let p = e.meta.wcs.sky_to_pixel(sky).unwrap();
        // From the outermost pixels' outer sides; negative outside.
        let inside = |v: f64, n: usize| (v + 0.5).min(n as f64 - 0.5 - v);
        inside(p.x, e.meta.shape.1).min(inside(p.y, e.meta.shape.0)).abs() < reach_px
    })
}

/// Core flux, size and ellipticity of an image less those of the model.
fn residual(image: &Array2<f64>, model: &Array2<f64>, at: (f64, f64), radius: f64) -> [f64; 4] {
    let (found, expected) = (core(image, at.0, at.1, radius), core(model, at.0, at.1, radius));
    [found[0] / expected[0] - 1.0, found[1] / expected[1] - 1.0, found[2] - expected[2], found[3] - expected[3]]
}

fn largest(residual: &[f64; 4]) -> f64 {
    residual.iter().fold(0.0, |a, r| if r.is_nan() { f64::INFINITY } else { r.abs().max(a) })
}

struct Star {
    /// Against the PSF at its place.
    direct: [f64; 4],
    proper: [f64; 4],
    /// Against the PSF of the middle's contributors, and of the cell.
    simple: [[f64; 4]; 2],
    /// `INEXACT_PSF` within 1 FWHM.
    is_flagged: [bool; 2],
}

/// Stars within 1 FWHM of an edge on the coadds of one field.
fn stars_of(k: usize, edges: CoaddEdges) -> Vec<Star> {
    let t = tract();
    let phase = |i: usize, m: f64| (m * i as f64 + 0.31 * k as f64).fract() - 0.5;
    let place = |i: usize| {
        PixelPoint::new(33.0 + SPACING_PX * (i % 7) as f64 + phase(i, 0.377), 33.0 + SPACING_PX * (i / 7) as f64 + phase(i, 0.619))
    };
    let mut all = exposures(k);
    all.iter_mut().for_each(|e| (0..49).for_each(|i| add_star(e, &t, place(i), FLUX_NJY)));
    let c = coadd_with(CoaddConfig { edges, ..CoaddConfig::default() }, &all, t.bbox());
    let proper = proper_of(&t, &c);
    let visits: Vec<_> = all.iter().map(visit).collect();
    let weighted = all.iter().zip(&c.inputs);
    let input =
        |(e, of): (&Exposure, &CoaddInputRecord)| CoaddPsfInput { meta: e.meta.clone(), ap_corr: ApCorrMap::default(), weight: of.weight };
    let direct_psf = CoaddPsf::new(weighted.map(input).collect(), t.wcs().clone(), 3);
    let pairs: Vec<_> = all.iter().map(|e| &e.meta).zip(&visits).collect();
    let proper_psf = ProperPsf::new(t.wcs().clone(), &pairs);
    let filters: Vec<_> = cells_of(&t, &c)
        .into_iter()
        .filter_map(|(cell, a)| Some((cell.bbox, ProperFilter::new(&a?, cell.bbox.width as usize, BORDER, FLOOR))))
        .collect();
    let cells: Vec<_> = filters.iter().map(|(bbox, filter)| (*bbox, filter)).collect();
    let star = |i: usize| {
        let at = place(i);
        let (x, y) = at.pixel();
        let part = Box2::new(x, y, 1, 1).grown(RADIUS as i32);
        let on = c.bbox.slice_of(&part);
        let image = |plane: &Array2<f32>| plane.slice(on).mapv(|v| f64::from(v) / FLUX_NJY);
        let at_px = (RADIUS as f64 + at.x - f64::from(x), RADIUS as f64 + at.y - f64::from(y));
        // Of the widest exposure: the moments' weight reaches beyond all.
        let radius = 1.5 * c.fwhm_px;
        let around = |v: i32| v as usize - RADIUS..v as usize + RADIUS + 1;
        let words = c.inputs_wyx.slice(s![.., around(y), around(x)]);
        let middle = words.slice(s![.., RADIUS, RADIUS]).to_vec();
        let cell = cells.iter().find(|(bbox, _)| bbox.index(x, y).is_some()).expect("the first exposure is everywhere").1;
        let of_cell = super::proper_tests::shifted(cell.psf.mapv(|v| v as f32).view(), at_px.0 - RADIUS as f64, at_px.1 - RADIUS as f64);
        let h = of_cell.nrows() / 2;
        let of_cell = of_cell.slice(s![h - RADIUS..=h + RADIUS, h - RADIUS..=h + RADIUS]).to_owned();
        let core_box = c.bbox.slice_of(&Box2::new(x, y, 1, 1).grown(c.fwhm_px.ceil() as i32));
        let is_flagged = |mask: &Array2<u32>| mask.slice(core_box).iter().any(|m| m & MaskPlane::InexactPsf.bit() != 0);
        let (direct, white) = (image(&c.image_njy), image(&proper.image_njy));
        Star {
            direct: residual(&direct, &direct_psf.image(at, words), at_px, radius),
            proper: residual(&white, &proper_psf.stamp(at, &cells, RADIUS), at_px, radius),
            simple: [residual(&direct, &direct_psf.stamp(at, &middle, RADIUS), at_px, radius), residual(&white, &of_cell, at_px, radius)],
            is_flagged: [is_flagged(&c.mask), is_flagged(&proper.mask)],
        }
    };
    let near: Vec<usize> = (0..49).filter(|&i| is_at_edge(&all, place(i), c.fwhm_px)).collect();
    near.into_par_iter().map(star).collect()
}

/// Core flux, size and ellipticity within 1e-3 in the mean and 5e-3 each for stars across edges, on both coadds; where the PSF of the middle or
/// of the cell does not do, `INEXACT_PSF` says so.
#[test]
fn stars_across_edges_have_the_psf_at_their_place() {
    let stars: Vec<Star> = (0..12).flat_map(|k| stars_of(k, CoaddEdges::All)).collect();
    assert!(stars.len() >= 200, "{} stars", stars.len());
    for (name, of) in [("direct", (|s| s.direct) as fn(&Star) -> [f64; 4]), ("proper", |s| s.proper)] {
        for (k, quantity) in ["core flux", "size", "ellipticity 1", "ellipticity 2"].iter().enumerate() {
            let mean = stars.iter().map(|s| of(s)[k]).sum::<f64>() / stars.len() as f64;
            let worst = stars.iter().map(|s| of(s)[k].abs()).fold(0.0, f64::max);
            println!("{name}, {} stars, {quantity}: mean {mean:.1e}, worst {worst:.1e}", stars.len());
            assert!(mean.abs() < 1e-3 && worst < 5e-3, "{name}, {quantity}: mean {mean}, worst {worst}");
        }
    }
    for (i, name) in ["direct, the middle's PSF", "proper, the cell's PSF"].iter().enumerate() {
        let off: Vec<&Star> = stars.iter().filter(|s| largest(&s.simple[i]) > 5e-3).collect();
        let unflagged = off.iter().filter(|s| !s.is_flagged[i]).map(|s| largest(&s.simple[i])).collect::<Vec<_>>();
        println!("{name}: {} stars beyond 5e-3, not flagged {unflagged:?}", off.len());
        assert!(off.len() > 20 && unflagged.is_empty(), "{name}: {} stars, not flagged {unflagged:?}", off.len());
    }
}

/// By whole cells: the same of the direct coadd at the borders between cells.
#[test]
fn borders_of_whole_cells_are_flagged() {
    let stars: Vec<Star> = (0..4).flat_map(|k| stars_of(k, CoaddEdges::Cell)).collect();
    let off: Vec<&Star> = stars.iter().filter(|s| largest(&s.simple[0]) > 5e-3).collect();
    let worst = stars.iter().map(|s| largest(&s.direct)).fold(0.0, f64::max);
    println!("{} of {} stars beyond 5e-3 against one PSF; {worst:.1e} at most pixel by pixel", off.len(), stars.len());
    assert!(!off.is_empty() && worst < 5e-3 && off.iter().all(|s| s.is_flagged[0]));
}
