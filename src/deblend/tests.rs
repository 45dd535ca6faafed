//! What every deblender keeps, and what the baseline should reach on drawn blends.

use super::*;
use crate::footprint::{Footprint, Peak, Span, SpanSet};
use crate::geometry::{Box2, PixelPoint};
use crate::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, Normal};

fn gaussian(x: f64, y: f64, sigma: f64) -> f64 {
    (-(x * x + y * y) / (2.0 * sigma * sigma)).exp() / (std::f64::consts::TAU * sigma * sigma)
}

/// A blend of (x, y, flux, σ) sources in two bands (the second three times as bright) with PSF σ = 1.7 px and pixel noise 1.
fn blend(sources: &[(f64, f64, f64, f64)], noise: f64) -> Blend {
    let bbox = Box2::new(100, 200, 40, 34);
    let spans = SpanSet::from_spans((200..234).map(|y| Span { y, x0: 100, x1: 139 }).collect());
    let peaks: Vec<Peak> = sources
        .iter()
        .map(|s| {
            let at = PixelPoint::new(s.0, s.1);
            Peak::bare(at, s.2, 0)
        })
        .collect();
    let psf = |at: PixelPoint| {
        let (px, py) = at.pixel();
        let offset = |i: usize, p: i32, at: f64| i as f64 - 12.0 + f64::from(p) - at;
        Array2::from_shape_fn((25, 25), |(j, i)| gaussian(offset(i, px, at.x), offset(j, py, at.y), 1.7))
    };
    let bands = ["r", "i"]
        .iter()
        .enumerate()
        .map(|(b, name)| {
            let mut rng = keyed_rng(3, "blend", b as u64, 0);
            let normal = Normal::new(0.0, 1.0).unwrap();
            let scale = 1.0 + 2.0 * b as f64;
            let image_njy = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
                let (x, y) = (100.0 + i as f64, 200.0 + j as f64);
                let light: f64 = sources.iter().map(|s| s.2 * scale * gaussian(x - s.0, y - s.1, s.3)).sum();
                (light + noise * normal.sample(&mut rng)) as f32
            });
            BlendBand {
                band: (*name).into(),
                image_njy,
                variance_njy2: Array2::from_elem(bbox.shape(), 1.0),
                mask: Array2::zeros(bbox.shape()),
                psfs: peaks.iter().map(|p| psf(p.at)).collect(),
                fwhm_px: 4.0,
            }
        })
        .collect();
    Blend { footprint: Footprint { spans, peaks }, bbox, bands }
}

fn all_deblenders() -> Vec<DeblendParent> {
    vec![DeblendParent::new(&DeblendConfig::default()).unwrap()]
}

fn flux(d: &Deblended, child: usize, band: usize) -> f64 {
    d.children[child].values_njy[band].iter().map(|v| f64::from(*v)).sum()
}

/// The contract: children's pixels sum to the parent's exactly, in every band, any order; same input, same output.
#[test]
fn children_sum_to_the_parent() {
    let mut b = blend(&[(112.3, 214.8, 900.0, 1.7), (118.1, 216.2, 500.0, 2.6), (125.0, 212.0, 300.0, 1.7)], 1.0);
    b.bands[0].image_njy[[3, 3]] = f32::NAN;
    b.bands[0].variance_njy2[[3, 3]] = f32::INFINITY;
    for deblender in all_deblenders() {
        let d = deblender.run(&b).unwrap();
        // By text: NaN pixels are equal to themselves there.
        assert!(format!("{d:?}") == format!("{:?}", deblender.run(&b).unwrap()));
        for (k, band) in b.bands.iter().enumerate() {
            let mut sum = Array2::<f32>::zeros(b.bbox.shape());
            for child in &d.children {
                sum += &child.scatter(k, &b.bbox, 0.0);
            }
            for (p, v) in sum.indexed_iter() {
                assert!(
                    v.to_bits() == band.image_njy[p].to_bits() || *v == band.image_njy[p] || (v.is_nan() && band.image_njy[p].is_nan())
                );
            }
        }
    }
}

/// Two noiseless stars 2.5 FWHM apart: each keeps its flux to 1 %.
#[test]
fn separated_stars_keep_their_fluxes() {
    let b = blend(&[(113.0, 216.0, 2000.0, 1.7), (123.0, 216.0, 1000.0, 1.7)], 0.0);
    for deblender in all_deblenders() {
        let d = deblender.run(&b).unwrap();
        for (k, truth) in [(0, 2000.0), (1, 1000.0)] {
            assert!((flux(&d, k, 0) / truth - 1.0).abs() < 0.01, "{}", flux(&d, k, 0));
            assert!((flux(&d, k, 1) / truth / 3.0 - 1.0).abs() < 0.01);
        }
        assert!(d.is_psf.iter().all(|p| *p));
    }
}

/// At 2.7 FWHM, with noise: fluxes to 20 % (3 sigma of a sum over some 1000 noisy pixels), galaxy and star told apart.
#[test]
fn a_star_beside_a_galaxy() {
    let b = blend(&[(113.0, 216.0, 1500.0, 3.0), (124.0, 216.0, 500.0, 1.7)], 1.0);
    for deblender in all_deblenders() {
        let d = deblender.run(&b).unwrap();
        assert_eq!(d.is_psf, [false, true]);
        for (k, truth) in [(0, 1500.0), (1, 500.0)] {
            assert!((flux(&d, k, 0) / truth - 1.0).abs() < 0.2, "{k}: {}", flux(&d, k, 0));
        }
    }
}

/// Two peaks on one star are one object.
#[test]
fn near_duplicates_are_merged_in_all_bands() {
    let mut b = blend(&[(118.0, 216.0, 3000.0, 1.7), (118.6, 216.2, 0.0, 1.7)], 0.5);
    b.footprint.peaks[1].significance = 5.0;
    for deblender in all_deblenders() {
        let d = deblender.run(&b).unwrap();
        assert_eq!(d.merged_into, [None, Some(0)]);
        assert!(d.children[1].spans.is_empty());
    }
}

#[test]
fn nonsense_is_refused() {
    let mut b = blend(&[(118.0, 216.0, 3000.0, 1.7)], 0.5);
    b.footprint.peaks.clear();
    for deblender in all_deblenders() {
        assert!(deblender.run(&b).unwrap_err().to_string().contains("no peak"));
    }
    let unknown = DeblendConfig { algorithm: "magic".into(), ..DeblendConfig::default() };
    assert!(DeblendParent::new(&unknown).err().unwrap().to_string().contains("deblend.algorithm is \"magic\""));
}
