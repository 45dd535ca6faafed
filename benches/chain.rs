//! Speed of the chain's kernels on one core: warp and likelihood maps per pixel, detection, deblending per blend.
//!
//! `make bench`; throughput is elements per second: tract pixels, or blends.

#![allow(missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fathom::associate::{AssociateConfig, AssociateField, AssociatePeaks, PatchPeaks, Rules};
use fathom::background::{BackgroundVariance, ExposureBackground, VisitProduct};
use fathom::catalog::Table;
use fathom::coadd::{CoaddConfig, MakeCoadd, MakePsfMatched, PsfMatchedConfig};
use fathom::deblend::{Blend, BlendBand, DeblendConfig, DeblendParent};
use fathom::detect::{DetectConfig, DetectFrame, DetectLayers, Layer, LayerKind, LikelihoodMaps, Sed, Strategy};
use fathom::footprint::{Footprint, Peak, Saddle, Span, SpanSet};
use fathom::geometry::{Box2, PixelPoint, SkyMapConfig, SkyPoint, Tract, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, Chebyshev2, Exposure, ExposureId, ExposureMeta, PhotoCalib, PixelCounts, Psf};
use fathom::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, Normal};
use std::cell::Cell;

const SIDE: i32 = 512;

/// A noisy exposure of 800 x 800 pixels, rotated, 0.9" seeing, 0.5 % of its pixels bad.
fn exposure() -> Exposure {
    let s = 0.2 / 3600.0;
    let (sin, cos) = 0.2f64.sin_cos();
    let wcs =
        Wcs::tan(SkyPoint::from_degrees(150.1, 2.2), PixelPoint::new(399.5, 399.5), [[-s * cos, s * sin], [s * sin, s * cos]]).unwrap();
    let psf = Psf::new(PsfModel::Moffat { fwhm_px: 4.5, beta: 3.5, e1: 0.02, e2: 0.01, radius_px: 27, pixel_integrated: false }).unwrap();
    let meta = ExposureMeta {
        id: ExposureId("bench".into()),
        band: "r".into(),
        mjd: 60000.0,
        exposure_time_s: 60.0,
        shape: (800, 800),
        psf,
        wcs,
        photo_calib: PhotoCalib::uniform(2.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.5,
        read_noise_e: 6.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    };
    let mut rng = keyed_rng(1, "bench", 0, 0);
    let normal = Normal::new(0.0, 10.0).unwrap();
    let image = Array2::from_shape_fn((800, 800), |_| normal.sample(&mut rng) as f32);
    let mask = Array2::from_shape_fn((800, 800), |(y, x)| u32::from((y * 7919 + x * 104_729) % 200 == 0));
    let mut exposure = Exposure::new(meta, image, Array2::from_elem((800, 800), 100.0), mask).unwrap();
    exposure.sanitize();
    exposure
}

fn visit(e: &Exposure) -> VisitProduct {
    VisitProduct {
        id: e.meta.id.clone(),
        background: ExposureBackground::constant(e.bbox, 0.0),
        background_variance: BackgroundVariance { model_adu2: Chebyshev2::constant(e.bbox, 100.0) },
        ap_corr: ApCorrMap::default(),
        stars: Table::new(),
        counts: PixelCounts::default(),
    }
}

fn coadd(c: &mut Criterion) {
    let tract = Tract::new(&SkyMapConfig { tract_cells: [8, 8], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
    let (e, stage) = (exposure(), MakeCoadd::new(CoaddConfig::default()).unwrap());
    let (v, patch) = (visit(&e), tract.patches()[0]);
    let mut group = c.benchmark_group("coadd");
    group.throughput(Throughput::Elements((SIDE * SIDE) as u64)).sample_size(10);
    let start = || stage.start(&tract, &patch, "r", &[(&e.meta, &v)]).unwrap();
    group.bench_function("likelihood maps", |b| b.iter_batched_ref(start, |s| s.add_maps(&e, &v), criterion::BatchSize::LargeInput));
    let inputs = [(e.clone(), v.clone())].map(|(e, v)| (e.meta, v));
    let matched = MakePsfMatched::new(PsfMatchedConfig::default()).unwrap();
    let band = matched.start(&tract, &CoaddConfig::default(), "r", &inputs, &patch.bbox).unwrap();
    let (tiles, mut scratch) = (band.tiles(&patch.bbox), band.scratch());
    group.bench_function("warp and match PSF", |b| {
        b.iter(|| {
            let loaded = band.load(0, &e).unwrap();
            tiles.iter().filter_map(|tile| band.match_tile(0, &loaded, tile, &mut scratch)).count()
        });
    });
    let loaded = band.load(0, &e).unwrap();
    let matched_tiles: Vec<_> = tiles.iter().map(|tile| (tile, band.match_tile(0, &loaded, tile, &mut scratch).unwrap())).collect();
    // Eight exposures a pixel.
    group.throughput(Throughput::Elements((8 * SIDE * SIDE) as u64));
    let stacks: Vec<_> = matched_tiles.into_iter().map(|(tile, m)| (tile, vec![m; 8])).collect();
    group.bench_function("clipped mean of matched warps", |b| {
        b.iter(|| stacks.iter().map(|(tile, warps)| band.stack(tile, warps).n_exposures.len()).sum::<usize>());
    });
    group.finish();
}

/// Per pixel of the exposure, all of which lie on the tract.
fn warp(c: &mut Criterion) {
    let tract = Tract::new(&SkyMapConfig { tract_cells: [16, 16], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
    let (e, stage) = (exposure(), MakeCoadd::new(CoaddConfig::default()).unwrap());
    let (v, patch) = (visit(&e), tract.patches()[0]);
    let mut group = c.benchmark_group("coadd");
    group.throughput(Throughput::Elements(e.bbox.n_pixels() as u64)).sample_size(20);
    let mut sums = stage.start(&tract, &patch, "r", &[(&e.meta, &v)]).unwrap();
    // The first exposure of many meets new pages; all others do not.
    sums.add_warp(0, &e, &v);
    group.bench_function("warp and direct stack", |b| b.iter(|| sums.add_warp(0, &e, &v)));
    group.finish();
}

/// Noise through a PSF of 4.5 px in three bands, and Φ of three discs beside that of points.
fn detection_maps(bbox: Box2, bands: &[String]) -> (Vec<LikelihoodMaps>, DetectFrame) {
    let sigma_px = 4.5 / 2.354_82;
    let lags = Array2::from_shape_fn((41, 41), |(j, i)| {
        f64::exp(-((i as f64 - 20.0).powi(2) + (j as f64 - 20.0).powi(2)) / (4.0 * sigma_px * sigma_px))
    });
    let map = |(k, band): (usize, &String)| {
        let mut rng = keyed_rng(2, "bench", k as u64, 0);
        let normal = Normal::new(0.0, 1.0).unwrap();
        // Seen through a box of 4 pixels: correlated about as the noise of Ψ is.
        let white = Array2::from_shape_fn((bbox.shape().0 + 4, bbox.shape().1 + 4), |_| normal.sample(&mut rng) as f32);
        let psi = Array2::from_shape_fn(bbox.shape(), |(j, i)| white.slice(ndarray::s![j..j + 4, i..i + 4]).sum() / 4.0);
        let disc = |phi: f32| Array2::from_elem(bbox.shape(), phi);
        let phi_extended = vec![(0.4, disc(0.5)), (0.8, disc(0.25)), (1.6, disc(0.1))];
        LikelihoodMaps { coadd: band.clone(), bbox, psi, phi: disc(1.0), phi_extended, mask: None }
    };
    let autocorrelations = bands.iter().map(|b| (b.clone(), lags.clone())).collect();
    let frame = DetectFrame { tract: bbox, cell_px: 64, fwhm_px: 4.5, autocorrelations, threshold_offset: 0.0, seed: 1 };
    (bands.iter().enumerate().map(map).collect(), frame)
}

/// Throughput counts a pixel once a layer, as that of other programs does once an image: elements are pixels times layers.
fn detect(c: &mut Criterion) {
    const DETECT_SIDE: i32 = 1024;
    let bands = ["g", "r", "i"].map(String::from);
    let inner = Box2::new(0, 0, DETECT_SIDE, DETECT_SIDE);
    let (maps, frame) = detection_maps(inner, &bands);
    let grid = DetectConfig::default();
    let points = DetectConfig { seds: vec!["free_sed".into(), "bands".into()], morphologies_arcsec: vec![0.0], ..grid.clone() };
    let cull = DetectConfig { strategy: Strategy::Cull, ..grid.clone() };
    let mut group = c.benchmark_group("detect");
    group.sample_size(10);
    for (name, config) in [("point sources", &points), ("grid", &grid), ("cull", &cull)] {
        let stage = DetectLayers::new(config, &bands, 0.2).unwrap();
        let n_layers = stage.kinds().len();
        group.throughput(Throughput::Elements(n_layers as u64 * (DETECT_SIDE * DETECT_SIDE) as u64));
        group.bench_function(format!("{name}: {n_layers} layers of three bands"), |b| b.iter(|| stage.run(&maps[..], &frame, &inner)));
    }
    // What the maps of discs cost on top of those of points: per pixel of the sky, all bands.
    group.throughput(Throughput::Elements((DETECT_SIDE * DETECT_SIDE) as u64));
    let stage = DetectLayers::new(&grid, &bands, 0.2).unwrap();
    group.bench_function("maps of three discs in three bands", |b| b.iter(|| stage.maps(&maps[..], &inner)));
    group.finish();
}

/// Three overlapping Gaussians in three bands on 60 x 50 pixels.
fn blend() -> Blend {
    let bbox = Box2::new(0, 0, 60, 50);
    let sources = [(20.0, 25.0, 3000.0, 2.0), (29.0, 27.0, 1500.0, 3.0), (40.0, 22.0, 800.0, 2.0)];
    let gaussian = |x: f64, y: f64, s: f64| (-(x * x + y * y) / (2.0 * s * s)).exp() / (std::f64::consts::TAU * s * s);
    let peak = |s: &(f64, f64, f64, f64)| {
        let at = PixelPoint::new(s.0, s.1);
        Peak::bare(at, s.2, 0)
    };
    let stamp = Array2::from_shape_fn((41, 41), |(j, i)| gaussian(i as f64 - 20.0, j as f64 - 20.0, 2.0));
    let bands = ["g", "r", "i"].iter().enumerate().map(|(b, name)| {
        let mut rng = keyed_rng(3, "bench", b as u64, 0);
        let normal = Normal::new(0.0, 1.0).unwrap();
        let image_njy = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
            let light: f64 = sources.iter().map(|s| s.2 * gaussian(i as f64 - s.0, j as f64 - s.1, s.3)).sum();
            (light + normal.sample(&mut rng)) as f32
        });
        let (variance_njy2, mask) = (Array2::from_elem(bbox.shape(), 1.0), Array2::zeros(bbox.shape()));
        BlendBand { band: (*name).into(), image_njy, variance_njy2, mask, psfs: vec![stamp.clone(); 3], fwhm_px: 4.7 }
    });
    let spans = SpanSet::from_spans((0..50).map(|y| Span { y, x0: 0, x1: 59 }).collect());
    Blend { footprint: Footprint { spans, peaks: sources.iter().map(peak).collect() }, bbox, bands: bands.collect() }
}

fn deblend(c: &mut Criterion) {
    let (stage, blend) = (DeblendParent::new(&DeblendConfig::default()).unwrap(), blend());
    let mut group = c.benchmark_group("deblend");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    group.bench_function("symmetric, three peaks in three bands", |b| b.iter(|| stage.run(&blend).unwrap()));
    group.finish();
}

/// 10⁶ peaks: sources in groups of four, each seen in all of 24 layers (three colours and three bands of four morphologies) at nearly one place, with
/// the heights of all layers and a saddle to its neighbour.
fn association_layers(side: i32) -> Vec<Layer> {
    const STEP: i32 = 24;
    let places = || (0..side / STEP).flat_map(|j| (0..side / STEP).map(move |i| (i, j)));
    let layer = |index: u16| {
        let mut rng = keyed_rng(4, "bench", u64::from(index), 0);
        let normal = Normal::new(0.0, 0.15).unwrap();
        // Pairs of columns and of rows are drawn together.
        let near = |k: i32| f64::from(k * STEP + 12) + if k % 2 == 0 { 8.0 } else { -8.0 };
        let peaks: Vec<Peak> = places()
            .map(|(i, j)| {
                let at = PixelPoint::new(near(i) + normal.sample(&mut rng), near(j) + normal.sample(&mut rng));
                let mut peak = Peak::bare(at, 30.0 + f64::from((7 * i + 3 * j) % 40), index);
                peak.covariance_px2 = [0.02, 0.0, 0.02];
                (peak.flux_njy, peak.flux_err_njy) = (vec![peak.significance as f32; 3], vec![1.7; 3]);
                peak.layer_significance =
                    (0..24).map(|l| peak.significance as f32 * if l % 6 < 3 { 1.0 } else { 0.58 } * 0.9f32.powi(l / 6)).collect();
                let (x, y) = peak.pixel;
                let saddle = Saddle { height: 0.5 * peak.significance as f32, significance: 11.0, at: (x + 4, y), higher: (x + 8, y) };
                peak.saddle = (i % 2 == 1).then_some(saddle);
                peak
            })
            .collect();
        let block = |p: &Peak| {
            let (x, y) = p.pixel;
            (-3..=3).map(move |d| Span { y: y + d, x0: x - 3, x1: x + 3 })
        };
        let morphology = f64::from(index / 6);
        let sed = match index % 6 {
            colour @ 0..3 => Sed::Fixed(["flat", "red", "blue"][usize::from(colour)].into(), vec![1.0; 3]),
            band => Sed::Band(["g", "r", "i"][usize::from(band - 3)].into()),
        };
        Layer {
            kind: LayerKind { half_light_arcsec: 0.4 * morphology, ..LayerKind::point(sed) },
            threshold: 5.0,
            l2_per_px2: 0.2 / (1.0 + morphology),
            area_px2: 32.0 * (1.0 + morphology),
            broadening: (1.0 + morphology).sqrt(),
            spans: SpanSet::from_spans(peaks.iter().flat_map(block).collect()),
            peaks,
            negative_peaks: vec![],
            n_pixels: (side as u64).pow(2),
        }
    };
    (0..24).map(layer).collect()
}

fn associate(c: &mut Criterion) {
    let side = 4896;
    let layers = association_layers(side);
    let n = layers.iter().map(|l| l.peaks.len()).sum::<usize>();
    let found = PatchPeaks { layers, ..PatchPeaks::default() };
    let tract = Box2::new(0, 0, side, side);
    let field = AssociateField { tract, fwhm_px: 4.0, pixel_scale_arcsec: 0.2, known: &[], changing: &[] };
    let mut group = c.benchmark_group("associate");
    group.throughput(Throughput::Elements(n as u64)).sample_size(10);
    for rules in [Rules::Likelihood, Rules::Lsst] {
        let stage = AssociatePeaks::new(AssociateConfig { rules, ..AssociateConfig::default() }).unwrap();
        // The peaks are there: a run reads them, and keeps no copy.
        let run = |found: PatchPeaks| {
            let seam = stage.seam(&found, &tract, &field);
            let found = Cell::new(Some(found));
            stage.run(0, &[tract], &[seam], |_| found.take().ok_or(()), &field).unwrap().0.len()
        };
        group.bench_function(format!("{n} peaks, {rules:?}"), |b| b.iter_batched(|| found.clone(), run, BatchSize::PerIteration));
    }
    group.finish();
}

/// One core: throughput per core is what a plan needs.
fn one_thread(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    warp(c);
    coadd(c);
    detect(c);
    associate(c);
    deblend(c);
}

criterion_group!(benches, one_thread);
criterion_main!(benches);
