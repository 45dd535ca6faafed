//! The confusion matrix of a blend: how much light of each true object each child holds.

use fathom::catalog::{ColumnData, Table, TableError};
use fathom::footprint::HeavyFootprint;
use fathom::format::truth_pixels::TruthPixels;
use fathom::geometry::Box2;
use ndarray::{Array2, Array3, ArrayView2, Axis};

/// A pair goes into the table where it concerns at least this share of the child's light or of the true object's.
const MIN_SHARE: f64 = 1e-3;

/// Who holds whose light in one parent, in nJy; axes `b` band, `k` child, `j` true object.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    /// M_kj = Σ_x s_k(x) T_j(x): light of object j that child k holds.
    pub held_bkj: Array3<f64>,
    /// Σ_k M_kj: light of object j on the parent's usable pixels.
    pub inside_bj: Array2<f64>,
    /// All light of object j on the coadd.
    pub total_bj: Array2<f64>,
    /// 1 - Σ T_j² / Σ T_j M, M the light of all: 0 for an object alone.
    pub blendedness_bj: Array2<f64>,
    /// Σ_x (c_k - T_j)² / V.
    pub chi2_bkj: Array3<f64>,
    /// Σ_x s_k²: the same for a child with the right shares, which holds its own light and s_k times the pixel's noise.
    pub expected_chi2_bk: Array2<f64>,
}

/// Measures the confusion of one parent.
///
/// A deblender shares pixels, so that child k is c_k = s_k z with z the parent's pixel and Σ_k s_k = 1; the share s_k = c_k / z holds for
/// the light of every object under the pixel, also where z is negative by noise. Where z is 0 or not finite nobody holds anything.
/// All scores keep their fluxes: nothing is divided by an image's own maximum.
///
/// # Arguments
/// * `children`: their pixels sum to the parent's in every band; a child without values (dropped) holds nothing.
/// * `truth`: noiseless pixels of every object that reaches the parent.
/// * `variance_njy2`: of the coadd, one per band, on `bbox`.
/// * `bbox`: holds all the children's pixels.
///
/// # Source
/// Truth blendedness: Kirkby et al., WeakLensingDeblending, purity ρ = Σm²/ΣmM (Sanchez et al. 2021, arXiv 2103.02078).
#[must_use]
pub fn confusion(children: &[HeavyFootprint], truth: &[&TruthPixels], variance_njy2: &[Array2<f32>], bbox: &Box2) -> Confusion {
    let (n_bands, n_children, n_truth) = (variance_njy2.len(), children.len(), truth.len());
    let mut c = Confusion {
        held_bkj: Array3::zeros((n_bands, n_children, n_truth)),
        inside_bj: Array2::zeros((n_bands, n_truth)),
        total_bj: Array2::zeros((n_bands, n_truth)),
        blendedness_bj: Array2::zeros((n_bands, n_truth)),
        chi2_bkj: Array3::zeros((n_bands, n_children, n_truth)),
        expected_chi2_bk: Array2::zeros((n_bands, n_children)),
    };
    for (b, variance) in variance_njy2.iter().enumerate() {
        BandLight::new(children, b, variance.view(), bbox).confuse(truth, b, &mut c);
    }
    c
}

/// One child in one band: shares and pixels on its own box.
struct Child {
    bbox: Box2,
    share: Array2<f64>,
    /// Pixels over variance \[1/nJy\].
    weighted: Array2<f64>,
    /// Σ c² / V.
    chi2_of_nothing: f64,
}

/// All children of a parent in one band.
struct BandLight<'a> {
    bbox: &'a Box2,
    /// 1 / V; 0 where nobody holds the pixel or V is not known.
    inverse_variance: Array2<f64>,
    /// Some child holds the pixel.
    is_held: Array2<bool>,
    children: Vec<Child>,
}

impl<'a> BandLight<'a> {
    fn new(children: &[HeavyFootprint], band: usize, variance: ArrayView2<f32>, bbox: &'a Box2) -> Self {
        let mut parent = Array2::<f64>::zeros(bbox.shape());
        for child in children.iter().filter(|c| !c.values_njy.is_empty()) {
            for ((x, y), &v) in child.spans.pixels().zip(&child.values_njy[band]) {
                if let Some(at) = bbox.index(x, y) {
                    parent[at] += f64::from(v);
                }
            }
        }
        let is_held = parent.mapv(|z| z.is_finite() && z.abs() > 0.0);
        let inverse_variance = ndarray::Zip::from(&is_held).and(variance).map_collect(|&held, &v| {
            let v = f64::from(v);
            if held && v > 0.0 && v.is_finite() { 1.0 / v } else { 0.0 }
        });
        let of_child = |child: &HeavyFootprint| {
            let own = child.spans.bbox().intersect(bbox);
            let (mut share, mut weighted, mut chi2_of_nothing) = (Array2::zeros(own.shape()), Array2::zeros(own.shape()), 0.0);
            for ((x, y), &v) in child.spans.pixels().zip(child.values_njy.get(band).into_iter().flatten()) {
                if let (Some(to), Some(at)) = (own.index(x, y), bbox.index(x, y))
                    && is_held[at]
                {
                    let v = f64::from(v);
                    share[to] = (v / parent[at]).clamp(0.0, 1.0);
                    weighted[to] = v * inverse_variance[at];
                    chi2_of_nothing += v * weighted[to];
                }
            }
            Child { bbox: own, share, weighted, chi2_of_nothing }
        };
        let children = children.iter().map(of_child).collect();
        Self { bbox, inverse_variance, is_held, children }
    }

    fn confuse(&self, truth: &[&TruthPixels], b: usize, c: &mut Confusion) {
        for (k, child) in self.children.iter().enumerate() {
            let inside = self.inverse_variance.slice(self.bbox.slice_of(&child.bbox));
            c.expected_chi2_bk[[b, k]] = child.share.iter().zip(inside).filter(|(_, w)| **w > 0.0).map(|(s, _)| s * s).sum();
        }
        let mut all = Array2::<f64>::zeros(self.bbox.shape());
        for t in truth {
            let (part, light) = self.light_on(t, b);
            all.slice_mut(self.bbox.slice_of(&part)).scaled_add(1.0, &light);
        }
        for (j, t) in truth.iter().enumerate() {
            let (part, light) = self.light_on(t, b);
            c.total_bj[[b, j]] = t.values_njy_byx.index_axis(Axis(0), b).iter().map(|v| f64::from(*v)).sum();
            c.inside_bj[[b, j]] = light.sum();
            let with_all = (&light * &all.slice(self.bbox.slice_of(&part))).sum();
            c.blendedness_bj[[b, j]] = if with_all > 0.0 { 1.0 - light.mapv(|v| v * v).sum() / with_all } else { f64::NAN };
            let own_chi2 = (&light * &light * self.inverse_variance.slice(self.bbox.slice_of(&part))).sum();
            for (k, child) in self.children.iter().enumerate() {
                let common = child.bbox.intersect(&part);
                let mut cross = 0.0;
                if !common.is_empty() {
                    let light = light.slice(part.slice_of(&common));
                    let inside = child.bbox.slice_of(&common);
                    c.held_bkj[[b, k, j]] = (&child.share.slice(inside) * &light).sum();
                    cross = (&child.weighted.slice(inside) * &light).sum();
                }
                c.chi2_bkj[[b, k, j]] = (child.chi2_of_nothing - 2.0 * cross + own_chi2).max(0.0);
            }
        }
    }

    /// Light of an object on the parent's held pixels, and the box it covers.
    fn light_on(&self, truth: &TruthPixels, b: usize) -> (Box2, Array2<f64>) {
        let part = truth.bbox.intersect(self.bbox);
        if part.is_empty() {
            return (Box2::new(self.bbox.x0, self.bbox.y0, 0, 0), Array2::zeros((0, 0)));
        }
        let light = truth.values_njy_byx.index_axis(Axis(0), b).slice(truth.bbox.slice_of(&part)).mapv(f64::from);
        let held = self.is_held.slice(self.bbox.slice_of(&part));
        (part, ndarray::Zip::from(&light).and(held).map_collect(|&v, &held| if held { v } else { 0.0 }))
    }
}

/// A parent's confusion with the names of its rows and columns.
#[derive(Debug, Clone)]
pub struct ParentLight {
    /// Parent.
    pub parent_id: i64,
    /// Children's rows of the catalog.
    pub object_ids: Vec<i64>,
    /// Ids of the true objects.
    pub truth_ids: Vec<i64>,
    /// Who holds whose light.
    pub confusion: Confusion,
}

impl ParentLight {
    /// Pairs (child, true object) that matter.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let c = &self.confusion;
        let matters = |k: usize, j: usize| {
            (0..c.inside_bj.nrows()).any(|b| {
                let (held, light) = (c.held_bkj[[b, k, j]], c.held_bkj.index_axis(Axis(0), b).row(k).sum());
                held > 0.0 && (held >= MIN_SHARE * light || held >= MIN_SHARE * c.total_bj[[b, j]])
            })
        };
        let all = (0..self.object_ids.len()).flat_map(|k| (0..self.truth_ids.len()).map(move |j| (k, j)));
        all.filter(|&(k, j)| matters(k, j)).collect()
    }
}

/// The table `/blends`: one row per child and true object whose light it holds; the parents in order.
///
/// # Errors
/// [`TableError`] if a band's name is used twice.
pub fn blend_table(bands: &[String], parents: &[ParentLight]) -> Result<Table, TableError> {
    let rows: Vec<(&ParentLight, usize, usize)> = parents.iter().flat_map(|p| p.pairs().into_iter().map(move |(k, j)| (p, k, j))).collect();
    let ints = |value: fn(&(&ParentLight, usize, usize)) -> i64| ColumnData::I64(rows.iter().map(value).collect());
    let mut table = Table::new();
    table.push("parent_id", "", "parent", ints(|r| r.0.parent_id))?;
    table.push("object_id", "", "child: its row of the catalog", ints(|r| r.0.object_ids[r.1]))?;
    table.push("truth_id", "", "true object", ints(|r| r.0.truth_ids[r.2]))?;
    table.push("n_children", "", "children of the parent; 1: no blend", ints(|r| r.0.object_ids.len() as i64))?;
    type Value = fn(&Confusion, usize, usize, usize) -> f64;
    let columns: [(&str, &str, &str, Value); 7] = [
        ("flux_held", "nJy", "light of the object that the child holds", |c, b, k, j| c.held_bkj[[b, k, j]]),
        ("light_held", "nJy", "light of all objects that the child holds", |c, b, k, _| c.held_bkj.index_axis(Axis(0), b).row(k).sum()),
        ("flux_inside", "nJy", "light of the object on the parent's pixels", |c, b, _, j| c.inside_bj[[b, j]]),
        ("flux_total", "nJy", "light of the object on the coadd", |c, b, _, j| c.total_bj[[b, j]]),
        ("blendedness", "", "1 - sum m^2 / sum m M of the object's and of all noiseless pixels", |c, b, _, j| c.blendedness_bj[[b, j]]),
        ("chi2", "", "sum (child - object)^2 / variance", |c, b, k, j| c.chi2_bkj[[b, k, j]]),
        ("expected_chi2", "", "the same if the shares were right: sum of share^2", |c, b, k, _| c.expected_chi2_bk[[b, k]]),
    ];
    for (b, band) in bands.iter().enumerate() {
        for (name, unit, what, value) in columns {
            let data = rows.iter().map(|(p, k, j)| value(&p.confusion, b, *k, *j)).collect();
            table.push(&format!("{band}_{name}"), unit, what, ColumnData::F64(data))?;
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use fathom::footprint::{Span, SpanSet};

    const N: i32 = 41;

    /// A Gaussian of unit flux on the test's box, σ 2 pixels.
    fn gaussian(x0: f64, flux: f64) -> Array2<f64> {
        Array2::from_shape_fn((N as usize, N as usize), |(j, i)| {
            let r2 = (i as f64 - x0).powi(2) + (j as f64 - 20.0).powi(2);
            flux * (-r2 / 8.0).exp() / (8.0 * std::f64::consts::PI)
        })
    }

    fn truth(id: i64, image: &Array2<f64>) -> TruthPixels {
        let values_njy_byx = image.mapv(|v| v as f32).insert_axis(Axis(0));
        TruthPixels { id, bbox: Box2::new(0, 0, N, N), values_njy_byx }
    }

    fn child(image: &Array2<f64>) -> HeavyFootprint {
        let spans = SpanSet::from_spans((0..N).map(|y| Span { y, x0: 0, x1: N - 1 }).collect());
        HeavyFootprint { spans, values_njy: vec![image.iter().map(|v| *v as f32).collect()] }
    }

    fn pair() -> (Array2<f64>, Array2<f64>) {
        (gaussian(17.0, 1000.0), gaussian(23.0, 300.0))
    }

    fn confuse(children: &[HeavyFootprint], truth: &[TruthPixels]) -> Confusion {
        let variance = [Array2::from_elem((N as usize, N as usize), 4.0f32)];
        confusion(children, &truth.iter().collect::<Vec<_>>(), &variance, &Box2::new(0, 0, N, N))
    }

    /// Children that are the objects: shares are T_k / Σ T, so M_kj = Σ T_k T_j / Σ T, which is symmetric; and no residual.
    #[test]
    fn a_perfect_deblender() {
        let (a, b) = pair();
        let c = confuse(&[child(&a), child(&b)], &[truth(1, &a), truth(2, &b)]);
        let common: f64 = ndarray::Zip::from(&a).and(&b).fold(0.0, |s, p, q| s + if p + q > 0.0 { p * q / (p + q) } else { 0.0 });
        for (k, j) in [(0, 1), (1, 0)] {
            assert_relative_eq!(c.held_bkj[[0, k, j]], common, max_relative = 1e-5);
        }
        for j in 0..2 {
            assert_relative_eq!(c.held_bkj.index_axis(Axis(0), 0).column(j).sum(), c.inside_bj[[0, j]], max_relative = 1e-12);
            // Each gains what it loses: the flux is right.
            assert_relative_eq!(c.held_bkj.index_axis(Axis(0), 0).row(j).sum(), c.total_bj[[0, j]], max_relative = 1e-5);
            assert!(c.chi2_bkj[[0, j, j]] < 1e-6);
        }
        // σ 2 and distance 6: ∫ab / ∫a² = (F_b / F_a) exp(-d²/4σ²).
        let ratio = 0.3 * (-36.0f64 / 16.0).exp();
        assert_relative_eq!(c.blendedness_bj[[0, 0]], ratio / (1.0 + ratio), max_relative = 1e-3);
    }

    /// Objects that share no pixel: the matrix is diagonal and holds the fluxes.
    #[test]
    fn apart_the_matrix_is_diagonal() {
        let cut = |image: Array2<f64>, left: bool| {
            Array2::from_shape_fn(image.dim(), |(j, i)| if (i < 20) == left { image[[j, i]] } else { 0.0 })
        };
        let (a, b) = (cut(pair().0, true), cut(pair().1, false));
        let c = confuse(&[child(&a), child(&b)], &[truth(1, &a), truth(2, &b)]);
        for (k, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let expected = if k == j { c.total_bj[[0, j]] } else { 0.0 };
            assert_relative_eq!(c.held_bkj[[0, k, j]], expected, epsilon = 1e-6);
        }
        assert_relative_eq!(c.blendedness_bj[[0, 1]], 0.0, epsilon = 1e-12);
    }

    /// Everything to the brighter: it holds all of both; its residual is the other's light, the other's its own.
    #[test]
    fn the_brighter_takes_all() {
        let (a, b) = pair();
        let none = Array2::zeros(a.dim());
        let c = confuse(&[child(&(&a + &b)), child(&none)], &[truth(1, &a), truth(2, &b)]);
        for j in 0..2 {
            assert_relative_eq!(c.held_bkj[[0, 0, j]], c.total_bj[[0, j]], max_relative = 1e-6);
            assert_relative_eq!(c.held_bkj[[0, 1, j]], 0.0);
        }
        // Σ b² = F² / 4πσ² = 90000 / 50.27, over a variance of 4.
        let chi2 = 9e4 / (16.0 * std::f64::consts::PI) / 4.0;
        assert_relative_eq!(c.chi2_bkj[[0, 0, 0]], chi2, max_relative = 1e-3);
        assert_relative_eq!(c.chi2_bkj[[0, 1, 1]], chi2, max_relative = 1e-3);
    }

    /// Half of every pixel each, also of negative ones; a pixel without data is held by nobody; light beyond the box is outside.
    #[test]
    fn halves_and_gaps() {
        let (a, b) = pair();
        let mut z = &a + &b;
        z.row_mut(3).fill(-2.0);
        let half = child(&z.mapv(|v| 0.5 * v));
        let mut gap = half.clone();
        let n = N as usize;
        for v in &mut gap.values_njy[0][20 * n..21 * n] {
            *v = f32::NAN;
        }
        let whole = truth(1, &a);
        let far = TruthPixels { id: 3, bbox: Box2::new(100, 100, 2, 2), values_njy_byx: Array3::ones((1, 2, 2)) };
        let c = confuse(&[half.clone(), half], &[whole.clone(), far.clone()]);
        assert_relative_eq!(c.held_bkj[[0, 0, 0]], 0.5 * c.total_bj[[0, 0]], max_relative = 1e-6);
        assert_relative_eq!(c.expected_chi2_bk[[0, 0]], 0.25 * f64::from(N * N), max_relative = 1e-6);
        assert_relative_eq!(c.total_bj[[0, 1]] - c.inside_bj[[0, 1]], 4.0);
        let c = confuse(&[gap.clone(), gap], &[whole, far]);
        let lost: f64 = a.row(20).sum();
        assert_relative_eq!(c.total_bj[[0, 0]] - c.inside_bj[[0, 0]], lost, max_relative = 1e-4);
    }

    /// A row a pair that matters; a child without pixels is in none.
    #[test]
    fn rows_of_the_table() {
        let (a, b) = pair();
        let dropped = HeavyFootprint::default();
        let confusion = confuse(&[child(&a), child(&b), dropped], &[truth(7, &a), truth(8, &b)]);
        let parent = ParentLight { parent_id: 5, object_ids: vec![51, 52, 53], truth_ids: vec![7, 8], confusion };
        let table = blend_table(&["r".to_owned()], &[parent]).unwrap();
        assert_eq!(table.i64("object_id").unwrap(), [51, 51, 52, 52]);
        assert_eq!(table.i64("truth_id").unwrap(), [7, 8, 7, 8]);
        let (held, light) = (table.f64("r_flux_held").unwrap(), table.f64("r_light_held").unwrap());
        assert_relative_eq!(held[0] + held[1], light[0], max_relative = 1e-12);
    }
}
