//! Limits from the exposures' own pixels: the optimal matched filter of each object; bounds of its flux, position and shape, alone and in its blend.

use super::light::Light;
use super::pairs::{self, Pair};
use super::surroundings::Surroundings;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::{ColumnData, Table};
use fathom_validation::limit::{Bounds, Parameter};

/// Bounds of one object's position and shape; NaN where the pixels do not tell.
#[derive(Debug, Clone, Copy)]
struct PlaceAndShape {
    /// Towards east and north \[mas\].
    position_mas: [f64; 2],
    radius_arcsec: f64,
    ellipticity: [f64; 2],
}

/// Limits of one object.
struct Limits {
    /// By band.
    snr: Vec<f64>,
    flux_err_alone: Vec<f64>,
    flux_err_blend: Vec<f64>,
    alone: PlaceAndShape,
    blend: PlaceAndShape,
}

/// Joins the columns of limits to the objects; returns the table of flux covariances in blends ([`fathom::format::truth_limits`]).
///
/// `is_scattered`: the objects are all over the sky, and each is looked at with its own surroundings.
pub fn join(run: &Run, arm: usize, truth: &mut Table, is_scattered: bool) -> Result<Table> {
    let n = truth.n_rows();
    let groups: Vec<Vec<usize>> = if is_scattered { (0..n).map(|i| vec![i]).collect() } else { vec![(0..n).collect()] };
    let (mut limits, mut nearest, mut blends) = (Vec::with_capacity(n), Vec::with_capacity(n), Table::new());
    for group in &groups {
        let around = Surroundings::new(run, arm, &truth.take(group))?;
        let light = Light::gather(run, arm, &around)?;
        let shapes = shapes(&truth.take(group))?;
        let mut covariances = Covariances::new(&run.config.run.bands);
        for (i, shape) in shapes.iter().enumerate() {
            limits.push(limits_of(run, &around, &light, i, shape, &mut covariances));
        }
        blends.append(covariances.into_table()?)?;
        nearest.extend(pairs::nearest(run, arm, &around)?);
    }
    push_columns(run, truth, &limits)?;
    push_pairs(truth, &nearest)?;
    Ok(blends)
}

/// Size √(ab) and ellipticity (a² - b²)/(a² + b²) (cos 2φ, sin 2φ) of every row.
fn shapes(truth: &Table) -> Result<Vec<(f64, [f64; 2])>> {
    let (size, ratio, angle) = (truth.f64("half_light_radius")?, truth.f64("axis_ratio")?, truth.f64("position_angle")?);
    Ok((0..truth.n_rows())
        .map(|i| {
            let (sin, cos) = (2.0 * angle[i].to_radians()).sin_cos();
            let q2 = ratio[i].powi(2);
            (size[i] * ratio[i].sqrt(), [(1.0 - q2) / (1.0 + q2) * cos, (1.0 - q2) / (1.0 + q2) * sin])
        })
        .collect())
}

fn limits_of(run: &Run, around: &Surroundings, light: &Light, i: usize, shape: &(f64, [f64; 2]), covariances: &mut Covariances) -> Limits {
    let settings = &run.config.truth;
    let bands = 0..run.config.run.bands.len();
    let members = light.fisher.members(i, settings.min_overlap, |j| around.counts(j));
    let alone = light.fisher.bounds(&[i], |_, _| true);
    let blend = light.fisher.bounds(&members, |_, _| true);
    covariances.add(around, light, &members, &blend);
    let errors = |of: &Bounds| bands.clone().map(|b| of.error(i, Parameter::Flux(b)).hypot(light.stamp_noise_njy(b, i))).collect();
    Limits {
        snr: bands.clone().map(|b| around.flux_njy[b][i] * light.against_background[b][i].sqrt()).collect(),
        flux_err_alone: errors(&alone),
        flux_err_blend: errors(&blend),
        alone: place_and_shape(&alone, i, shape),
        blend: place_and_shape(&blend, i, shape),
    }
}

fn place_and_shape(bounds: &Bounds, i: usize, (radius_arcsec, ellipticity): &(f64, [f64; 2])) -> PlaceAndShape {
    PlaceAndShape {
        position_mas: [Parameter::East, Parameter::North].map(|p| 1e3 * bounds.error(i, p)),
        radius_arcsec: radius_arcsec * bounds.error(i, Parameter::Size),
        ellipticity: bounds.ellipticity_errors(i, *ellipticity),
    }
}

fn push_columns(run: &Run, truth: &mut Table, limits: &[Limits]) -> Result<()> {
    let mut push = |name: String, unit: &str, what: &str, value: &dyn Fn(&Limits) -> f64| {
        truth.push(&name, unit, what, ColumnData::F64(limits.iter().map(value).collect()))
    };
    const ALONE: &str = "its own parameters unknown, no neighbour";
    const BLEND: &str = "all parameters of all members of its blend unknown; NaN where they cannot be told apart";
    for (b, band) in run.config.run.bands.iter().enumerate() {
        push(
            format!("{band}_snr_optimal"),
            "",
            "signal to noise of the matched filter over all exposures' usable pixels, background noise only",
            &|l| l.snr[b],
        )?;
        push(
            format!("{band}_flux_err_alone"),
            "nJy",
            &format!("Cramér-Rao bound of the flux (and a real stamp's own noise), {ALONE}"),
            &|l| l.flux_err_alone[b],
        )?;
        push(
            format!("{band}_flux_err_blend"),
            "nJy",
            &format!("Cramér-Rao bound of the flux (and a real stamp's own noise), {BLEND}"),
            &|l| l.flux_err_blend[b],
        )?;
    }
    for (how, what, of) in [("alone", ALONE, (|l| &l.alone) as fn(&Limits) -> &PlaceAndShape), ("blend", BLEND, |l| &l.blend)] {
        push(format!("ra_err_{how}"), "mas", &format!("Cramér-Rao bound of the position along RA, on the sky, {what}"), &|l| {
            of(l).position_mas[0]
        })?;
        push(format!("dec_err_{how}"), "mas", &format!("Cramér-Rao bound of the position along Dec, {what}"), &|l| of(l).position_mas[1])?;
        push(
            format!("radius_err_{how}"),
            "arcsec",
            &format!("Cramér-Rao bound of the circularised half-light radius √(ab), {what}"),
            &|l| of(l).radius_arcsec,
        )?;
        for (k, (name, angle)) in [("e1", "cos 2φ"), ("e2", "sin 2φ")].into_iter().enumerate() {
            push(
                format!("{name}_err_{how}"),
                "",
                &format!("Cramér-Rao bound of {name} = (a² - b²)/(a² + b²) {angle}, φ the position angle, {what}"),
                &|l| of(l).ellipticity[k],
            )?;
        }
    }
    Ok(())
}

fn push_pairs(truth: &mut Table, nearest: &[Option<Pair>]) -> Result<()> {
    let ids = nearest.iter().map(|p| p.as_ref().map_or(0, |p| p.id)).collect();
    truth.push("pair_id", "", "nearest other object of the blends' least S/N, within 2 FWHM; 0 for none", ColumnData::I64(ids))?;
    let values = nearest.iter().map(|p| p.as_ref().map_or(f64::NAN, |p| p.delta_chi2)).collect();
    let what = "χ² that the best single source in the place of the object and pair_id leaves unexplained; NaN for none";
    truth.push("pair_delta_chi2", "", what, ColumnData::F64(values))?;
    Ok(())
}

/// Rows of the table of flux covariances.
struct Covariances {
    bands: Vec<String>,
    ids: [Vec<i64>; 2],
    /// By band: overlap, covariance.
    values: Vec<[Vec<f64>; 2]>,
}

impl Covariances {
    fn new(bands: &[String]) -> Self {
        Self { bands: bands.to_vec(), ids: Default::default(), values: vec![Default::default(); bands.len()] }
    }

    fn add(&mut self, around: &Surroundings, light: &Light, members: &[usize], bounds: &Bounds) {
        let i = members[0];
        for &j in &members[1..] {
            self.ids[0].push(around.ids[i]);
            self.ids[1].push(around.ids[j]);
            for (b, [overlap, covariance]) in self.values.iter_mut().enumerate() {
                overlap.push(light.fisher.overlap(b, i, j));
                covariance.push(bounds.covariance((i, Parameter::Flux(b)), (j, Parameter::Flux(b))));
            }
        }
    }

    fn into_table(self) -> Result<Table> {
        let mut table = Table::new();
        let [ids, neighbours] = self.ids;
        table.push("id", "", "object whose blend it is", ColumnData::I64(ids))?;
        table.push("neighbour_id", "", "member of its blend", ColumnData::I64(neighbours))?;
        for (band, [overlap, covariance]) in self.bands.iter().zip(self.values) {
            table.push(&format!("{band}_overlap"), "", "light in common, F_ij / √(F_ii F_jj)", ColumnData::F64(overlap))?;
            let what = "covariance of the best estimates of both fluxes, all parameters of all members of the object's blend unknown";
            table.push(&format!("{band}_flux_covariance"), "nJy2", what, ColumnData::F64(covariance))?;
        }
        Ok(table)
    }
}
