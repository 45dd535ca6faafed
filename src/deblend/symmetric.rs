//! The baseline deblender: templates symmetric about the peak, as in SDSS, decided for all bands together.

use super::nnls::nnls;
use super::{Blend, DeblendError, Deblender, Template, Templates};
use crate::footprint::PeakMark;
use crate::geometry::Box2;
use nalgebra::{DMatrix, DVector};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Settings of [`SymmetricDeblender`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SymmetricConfig {
    /// Reduced χ² below which a peak is taken for a point source (bands summed).
    pub psf_chi2: f64,
    /// Cosine of two templates above which they are duplicates, if so in every band.
    pub duplicate_cosine: f64,
    /// Force the templates to fall monotonically from the peak.
    pub monotonic: bool,
}

impl Default for SymmetricConfig {
    fn default() -> Self {
        Self { psf_chi2: 1.5, duplicate_cosine: 0.9, monotonic: true }
    }
}

/// The baseline.
#[derive(Debug, Clone)]
pub struct SymmetricDeblender {
    config: SymmetricConfig,
}

impl SymmetricDeblender {
    /// # Errors
    /// [`DeblendError::Config`] if a setting is outside its range.
    pub fn new(config: SymmetricConfig) -> Result<Self, DeblendError> {
        let wrong = |key, found: f64, expected| DeblendError::Config { key, found: found.to_string(), expected };
        if config.psf_chi2.is_nan() || config.psf_chi2 < 0.0 {
            return Err(wrong("symmetric.psf_chi2", config.psf_chi2, "0 or more"));
        }
        if !(0.0..=1.0).contains(&config.duplicate_cosine) {
            return Err(wrong("symmetric.duplicate_cosine", config.duplicate_cosine, "0..=1"));
        }
        Ok(Self { config })
    }
}

/// What the PSF test says of one peak.
struct PsfFit {
    chi2: f64,
    dof: f64,
    /// Flux and shift (x, y) \[nJy, pixel\] per band.
    by_band: Vec<Option<[f64; 3]>>,
}

impl Deblender for SymmetricDeblender {
    fn name(&self) -> &'static str {
        "symmetric"
    }

    fn templates(&self, blend: &Blend) -> Result<Templates, DeblendError> {
        let n_peaks = blend.footprint.peaks.len();
        let inside = inside_mask(blend);
        let mut by_peak = Vec::with_capacity(n_peaks);
        let mut is_psf = vec![false; n_peaks];
        for (k, is_psf) in is_psf.iter_mut().enumerate() {
            let point_source = self.point_source(blend, &inside, k);
            *is_psf = point_source.is_some();
            let bands = (0..blend.bands.len()).map(|b| match &point_source {
                Some(fits) => psf_template(blend, &inside, k, b, fits[b]),
                None => symmetric_template(blend, &inside, k, b, self.config.monotonic),
            });
            by_peak.push(bands.collect::<Vec<_>>());
        }
        let merged_into = self.drop_duplicates(&mut by_peak, &is_psf);
        fit_amplitudes(blend, &inside, &mut by_peak);
        Ok(Templates { by_peak, is_psf, merged_into })
    }
}

impl SymmetricDeblender {
    /// Fluxes and shifts per band if the peak is consistent with the PSF in all bands together: as it stands, or shifted by
    /// less than a pixel.
    fn point_source(&self, blend: &Blend, inside: &Array2<bool>, k: usize) -> Option<Vec<Option<[f64; 3]>>> {
        for with_shift in [false, true] {
            let fit = psf_fit(blend, inside, k, with_shift);
            let is_near = fit.by_band.iter().flatten().all(|[_, dx, dy]| dx.abs() < 1.0 && dy.abs() < 1.0);
            // What moves or flares is a point, however badly the mean of its epochs looks like one.
            let changes = blend.footprint.peaks[k].marks & (PeakMark::Mover.bit() | PeakMark::Transient.bit()) != 0;
            if fit.dof > 0.0 && (changes || fit.chi2 < self.config.psf_chi2 * fit.dof) && is_near {
                return Some(fit.by_band);
            }
        }
        None
    }

    /// Drops templates that in every band are nearly the same as another's: one of each pair, decided for all bands together.
    /// The point source is kept, else the brighter (earlier) peak.
    fn drop_duplicates(&self, by_peak: &mut [Vec<Template>], is_psf: &[bool]) -> Vec<Option<usize>> {
        let n = by_peak.len();
        let mut merged = vec![None; n];
        for a in 0..n {
            for b in a + 1..n {
                if merged[a].is_some() || merged[b].is_some() {
                    continue;
                }
                let cosines: Vec<f64> = by_peak[a]
                    .iter()
                    .zip(&by_peak[b])
                    .filter_map(|(s, t)| {
                        let norm = (s.dot(s) * t.dot(t)).sqrt();
                        (norm > 0.0).then(|| s.dot(t) / norm)
                    })
                    .collect();
                if !cosines.is_empty() && cosines.iter().all(|&c| c > self.config.duplicate_cosine) {
                    let (keep, lose) = if is_psf[b] && !is_psf[a] { (b, a) } else { (a, b) };
                    merged[lose] = Some(keep);
                    by_peak[lose].fill(Template::empty());
                }
            }
        }
        merged
    }
}

/// True on the footprint's pixels, over the blend's box.
fn inside_mask(blend: &Blend) -> Array2<bool> {
    let mut inside = Array2::from_elem(blend.bbox.shape(), false);
    for (x, y) in blend.footprint.spans.pixels() {
        if let Some(p) = blend.bbox.index(x, y) {
            inside[p] = true;
        }
    }
    inside
}

/// Peak `k` in the box's array coordinates: sub-pixel (x, y).
fn local(blend: &Blend, k: usize) -> (f64, f64) {
    let at = blend.footprint.peaks[k].at;
    (at.x - f64::from(blend.bbox.x0), at.y - f64::from(blend.bbox.y0))
}

/// PSF of peak `k` in a band at array pixel (`x`, `y`) of the box; zero beyond the stamp.
fn psf_at(blend: &Blend, k: usize, band: usize, x: i32, y: i32) -> f64 {
    let stamp = &blend.bands[band].psfs[k];
    let r = (stamp.nrows() / 2) as i32;
    let (px, py) = blend.footprint.peaks[k].at.pixel();
    let (i, j) = (x + blend.bbox.x0 - px + r, y + blend.bbox.y0 - py + r);
    if (0..=2 * r).contains(&i) && (0..=2 * r).contains(&j) { stamp[[j as usize, i as usize]] } else { 0.0 }
}

/// Fits the PSF, a sloping sky and the PSFs of near neighbours to the pixels within 1.5 FWHM of a peak, band by band;
/// with `with_shift` the PSF's derivatives too. Weights fall from 1 at one FWHM to 0 at 1.5.
fn psf_fit(blend: &Blend, inside: &Array2<bool>, k: usize, with_shift: bool) -> PsfFit {
    let (cx, cy) = local(blend, k);
    let mut fit = PsfFit { chi2: 0.0, dof: 0.0, by_band: Vec::new() };
    for (b, band) in blend.bands.iter().enumerate() {
        let (r0, r1) = (band.fwhm_px.max(1.5), 1.5 * band.fwhm_px.max(1.5));
        let neighbours: Vec<usize> = (0..blend.footprint.peaks.len())
            .filter(|&o| o != k && (local(blend, o).0 - cx).hypot(local(blend, o).1 - cy) < r1 + 1.5 * band.fwhm_px)
            .collect();
        let n = 4 + neighbours.len() + if with_shift { 2 } else { 0 };
        let (mut normal, mut rhs) = (DMatrix::<f64>::zeros(n, n), DVector::<f64>::zeros(n));
        let mut pixels = Vec::new();
        let (ny, nx) = inside.dim();
        let range = |c: f64, n: usize| ((c - r1).floor().max(0.0) as i32)..=((c + r1).ceil().min(n as f64 - 1.0) as i32);
        for y in range(cy, ny) {
            for x in range(cx, nx) {
                let p = [y as usize, x as usize];
                let (dx, dy) = (f64::from(x) - cx, f64::from(y) - cy);
                let ramp = ((r1 - dx.hypot(dy)) / (r1 - r0)).clamp(0.0, 1.0);
                let (z, v) = (f64::from(band.image_njy[p]), f64::from(band.variance_njy2[p]));
                let is_good = ramp > 0.0 && inside[p] && z.is_finite() && v > 0.0 && v.is_finite();
                if !is_good {
                    continue;
                }
                let mut row = vec![psf_at(blend, k, b, x, y), 1.0, dx, dy];
                row.extend(neighbours.iter().map(|&o| psf_at(blend, o, b, x, y)));
                if with_shift {
                    row.push((psf_at(blend, k, b, x + 1, y) - psf_at(blend, k, b, x - 1, y)) / 2.0);
                    row.push((psf_at(blend, k, b, x, y + 1) - psf_at(blend, k, b, x, y - 1)) / 2.0);
                }
                let w = ramp / v;
                for i in 0..n {
                    rhs[i] += w * row[i] * z;
                    for j in 0..=i {
                        normal[(i, j)] += w * row[i] * row[j];
                    }
                }
                pixels.push((row, z, w, ramp));
            }
        }
        for i in 0..n {
            for j in i + 1..n {
                normal[(i, j)] = normal[(j, i)];
            }
            // A neighbour's PSF may be (nearly) zero here: then its column says nothing, and must not make the system singular.
            normal[(i, i)] = normal[(i, i)] * (1.0 + 1e-10) + 1e-300;
        }
        let dof = pixels.iter().map(|p| p.3).sum::<f64>() - n as f64;
        let solution = (dof > 0.0).then(|| normal.cholesky()).flatten().map(|c| c.solve(&rhs)).filter(|s| s.iter().all(|v| v.is_finite()));
        fit.by_band.push(solution.map(|s| {
            fit.dof += dof;
            fit.chi2 += pixels
                .iter()
                .map(|(row, z, w, _)| w * (z - row.iter().zip(s.iter()).map(|(a, b)| a * b).sum::<f64>()).powi(2))
                .sum::<f64>();
            // φ(x - δ) ≈ φ - δ·∇φ: the derivative's coefficient is -F δ.
            let shift = |i: usize| if with_shift && s[0] > 0.0 { -s[n - 2 + i] / s[0] } else { 0.0 };
            [s[0], shift(0), shift(1)]
        }));
    }
    fit
}

/// F φ(x - δ) on the footprint, not negative; empty if the band gave no fit.
fn psf_template(blend: &Blend, inside: &Array2<bool>, k: usize, band: usize, fit: Option<[f64; 3]>) -> Template {
    let Some([flux, dx, dy]) = fit.filter(|f| f[0] > 0.0) else { return Template::empty() };
    let r = (blend.bands[band].psfs[k].nrows() / 2) as i32;
    let (px, py) = blend.footprint.peaks[k].at.pixel();
    let bbox = Box2::new(px - r, py - r, 2 * r + 1, 2 * r + 1).intersect(&blend.bbox);
    let (x0, y0) = (bbox.x0 - blend.bbox.x0, bbox.y0 - blend.bbox.y0);
    let light_njy = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
        let (x, y) = (x0 + i as i32, y0 + j as i32);
        if !inside[[y as usize, x as usize]] {
            return 0.0;
        }
        let mut p = psf_at(blend, k, band, x, y);
        if p > 0.0 && (dx.abs() > 0.0 || dy.abs() > 0.0) {
            p -= dx * (psf_at(blend, k, band, x + 1, y) - psf_at(blend, k, band, x - 1, y)) / 2.0;
            p -= dy * (psf_at(blend, k, band, x, y + 1) - psf_at(blend, k, band, x, y - 1)) / 2.0;
        }
        flux * p.max(0.0)
    });
    Template::trimmed(&bbox, &light_njy)
}

/// max(0, min(pixel, its reflection through the peak's pixel)) where both lie in the footprint; then, if asked, made monotonic.
fn symmetric_template(blend: &Blend, inside: &Array2<bool>, k: usize, band: usize, is_monotonic: bool) -> Template {
    let image = &blend.bands[band].image_njy;
    let (px, py) = blend.footprint.peaks[k].pixel;
    // The box and its reflection share this part.
    let reach = |p: i32, start: i32, end: i32| (p - start).min(end - 1 - p);
    let (rx, ry) = (reach(px, blend.bbox.x0, blend.bbox.x1()), reach(py, blend.bbox.y0, blend.bbox.y1()));
    let bbox = Box2::new(px - rx, py - ry, 2 * rx + 1, 2 * ry + 1);
    let mut light_njy = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
        let (x, y) = (bbox.x0 + i as i32, bbox.y0 + j as i32);
        let (Some(p), Some(q)) = (blend.bbox.index(x, y), blend.bbox.index(2 * px - x, 2 * py - y)) else { return 0.0 };
        let is_good = inside[p] && inside[q] && image[p].is_finite() && image[q].is_finite();
        if is_good { f64::from(image[p].min(image[q])).max(0.0) } else { 0.0 }
    });
    if is_monotonic {
        make_monotonic(&mut light_njy, (f64::from(rx), f64::from(ry)));
    }
    Template::trimmed(&bbox, &light_njy)
}

/// Caps every pixel by the (bilinear) value one pixel nearer to the centre, from the centre outwards.
fn make_monotonic(template: &mut Array2<f64>, (cx, cy): (f64, f64)) {
    let mut order: Vec<(f64, usize, usize)> =
        template.indexed_iter().filter(|(_, v)| **v > 0.0).map(|((y, x), _)| ((x as f64 - cx).hypot(y as f64 - cy), y, x)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (ny, nx) = template.dim();
    for (d, y, x) in order {
        if d < 0.5 {
            continue;
        }
        let (u, v) = (x as f64 - (x as f64 - cx) / d, y as f64 - (y as f64 - cy) / d);
        let (i, j) = (u.floor(), v.floor());
        let (s, t) = (u - i, v - j);
        let mut cap = 0.0;
        for (a, b, w) in [(0.0, 0.0, (1.0 - s) * (1.0 - t)), (1.0, 0.0, s * (1.0 - t)), (0.0, 1.0, (1.0 - s) * t), (1.0, 1.0, s * t)] {
            let (p, q) = (i + a, j + b);
            if p >= 0.0 && q >= 0.0 && (p as usize) < nx && (q as usize) < ny {
                cap += w * template[[q as usize, p as usize]];
            }
        }
        if template[[y, x]] > cap {
            template[[y, x]] = cap;
        }
    }
}

/// Least share of its own template that a peak keeps, so that a fit that gives a peak nothing does not erase it.
const MIN_AMPLITUDE: f64 = 0.05;

/// Scales all templates at once by a non-negative weighted least-squares fit to the parent's pixels, band by band.
fn fit_amplitudes(blend: &Blend, inside: &Array2<bool>, by_peak: &mut [Vec<Template>]) {
    let n = by_peak.len();
    if n < 2 {
        return;
    }
    for (b, band) in blend.bands.iter().enumerate() {
        // 1/V on good pixels of the footprint, 0 elsewhere.
        let weight = Array2::from_shape_fn(inside.dim(), |p| {
            let v = f64::from(band.variance_njy2[p]);
            if inside[p] && band.image_njy[p].is_finite() && v > 0.0 && v.is_finite() { 1.0 / v } else { 0.0 }
        });
        let weighted: Vec<Template> = by_peak
            .iter()
            .map(|t| {
                let t = &t[b];
                let part = if t.bbox.is_empty() { Array2::zeros((0, 0)) } else { weight.slice(blend.bbox.slice_of(&t.bbox)).to_owned() };
                Template { bbox: t.bbox, light_njy: &t.light_njy * &part }
            })
            .collect();
        let gram = DMatrix::from_fn(n, n, |i, j| weighted[i].dot(&by_peak[j][b]));
        let rhs = DVector::from_fn(n, |i, _| {
            let t = &weighted[i];
            if t.bbox.is_empty() {
                return 0.0;
            }
            let image = band.image_njy.slice(blend.bbox.slice_of(&t.bbox));
            t.light_njy.iter().zip(image).filter(|(w, _)| **w > 0.0).map(|(w, z)| w * f64::from(*z)).sum()
        });
        let amplitudes = nnls(&gram, &rhs);
        for (t, &a) in by_peak.iter_mut().zip(amplitudes.iter()) {
            t[b].light_njy *= a.max(MIN_AMPLITUDE);
        }
    }
}
