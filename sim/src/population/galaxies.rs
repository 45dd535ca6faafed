//! Galaxies: from the i magnitude to type, redshift, spectrum, size and shape.

use super::sed::{Template, Z_MAX};
use super::{Bulge, Draws, Source};
use crate::noise::normal;
use fathom::geometry::SkyPoint;
use fathom::image::flux_njy;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Gamma};

/// Sérsic indices are rounded to this: a renderer tabulates every index that occurs.
const INDEX_STEP: f64 = 0.1;

/// What a galaxy of a magnitude is.
#[derive(Debug, Clone, Copy)]
struct Nature {
    template: Template,
    /// Share of the neighbour's flux in i.
    mix: f64,
    redshift: f64,
}

impl Nature {
    /// The template that one is mixed with: five alone would make five lines in every colour plot. The next bluer one; irregulars and starbursts, which
    /// in the HDF-N are redder than the bare templates (dust), the next redder.
    fn neighbour(self) -> Template {
        match self.template {
            Template::Elliptical => Template::Sbc,
            Template::Sbc => Template::Scd,
            Template::Scd | Template::Starburst => Template::Irregular,
            _ => Template::Scd,
        }
    }

    fn relative_to_i(self, i_band: usize) -> f64 {
        let of = |template: Template| template.relative_to_i(i_band, self.redshift);
        (1.0 - self.mix) * of(self.template) + self.mix * of(self.neighbour())
    }

    /// p(type | m) and p(z | type, m) ∝ z^α exp(-(z / z_m)^α), z_m = z_0 + k (m - 20).
    ///
    /// # Source
    /// Benítez 2000, ApJ 536, 571, Table 1 (I_814 of the HDF-N, m > 20; before, the fractions of 20 and Euclidean distances). His irregulars are half
    /// Im, half starbursts; his spirals half Sbc, half Scd.
    fn draw(magnitude: f64, rng: &mut impl Rng) -> Self {
        let fainter = (magnitude - 20.0).max(0.0);
        let elliptical = 0.35 * (-0.147 * fainter).exp();
        let spiral = 0.50 * (-0.450 * fainter).exp();
        let u: f64 = rng.random();
        let is_first: bool = rng.random();
        let (template, alpha, z_0, k) = if u < elliptical {
            (Template::Elliptical, 2.46, 0.431, 0.091)
        } else if u < elliptical + spiral {
            (if is_first { Template::Sbc } else { Template::Scd }, 1.81, 0.390, 0.0636)
        } else {
            (if is_first { Template::Irregular } else { Template::Starburst }, 0.91, 0.063, 0.123)
        };
        let z_m: f64 = if magnitude > 20.0 { z_0 + k * fainter } else { z_0 * 10f64.powf(0.2 * (magnitude - 20.0)) };
        // With x = (z / z_m)^α the law is a Gamma law of shape 1 + 1/α.
        let gamma = Gamma::new(1.0 + 1.0 / alpha, 1.0).expect("shape and scale are positive");
        let redshift =
            (0..20).map(|_| z_m * f64::powf(gamma.sample(rng), 1.0 / alpha)).find(|z| (0.005..Z_MAX).contains(z)).unwrap_or(z_m.max(0.005));
        let mix = rng.random();
        Self { template, mix, redshift }
    }
}

/// Median half-light radius along the major axis \[arcsec\] of late-type galaxies at an i magnitude.
///
/// # Source
/// Read off the COSMOS F814W fits that GalSim distributes (Leauthaud et al. 2007, ApJS 172, 219; Mandelbaum et al. 2012, MNRAS 420, 1518)
/// for 19 to 25.5 (Sérsic fits to 22.5, then SExtractor's flux radii less the PSF, for a median axis ratio of 0.55), with the slope of the HUDF
/// beyond (Coe et al. 2006, AJ 132, 926).
fn median_radius_arcsec(magnitude: f64) -> f64 {
    10f64.powf(super::interpolate(&LOG_RADIUS, magnitude))
}

/// (i magnitude, log10 of the radius in arcsec).
const LOG_RADIUS: [(f64, f64); 10] = [
    (14.0, 0.95),
    (18.0, 0.34),
    (20.0, 0.04),
    (21.4, -0.21),
    (22.25, -0.30),
    (23.5, -0.43),
    (24.5, -0.56),
    (25.5, -0.63),
    (27.0, -0.76),
    (30.0, -1.00),
];

/// Axis ratio of a disc of thickness `thin` seen from a random direction: q² = t² + (1 - t²) cos² i.
///
/// # Source
/// Hubble 1926, ApJ 64, 321; a thickness near 0.2 fits spirals (Unterborn & Ryden 2008, ApJ 687, 976), faint irregulars are thick.
fn disc_axis_ratio(thin: f64, rng: &mut impl Rng) -> f64 {
    let cos_i: f64 = rng.random();
    (thin * thin + (1.0 - thin * thin) * cos_i * cos_i).sqrt()
}

/// Galaxy `number` of an i magnitude, in the bands with these indices of [`super::sed::BANDS`].
pub(crate) fn galaxy(draws: Draws, number: u64, position: SkyPoint, magnitude: f64, i_bands: &[usize]) -> Source {
    let nature = Nature::draw(magnitude, &mut draws.of("galaxy/nature", number));
    shaped(draws, number, position, magnitude, nature, i_bands)
}

/// As [`galaxy`], of a given redshift, and elliptical or not: a member of a cluster.
pub(crate) fn member(
    draws: Draws,
    number: u64,
    position: SkyPoint,
    magnitude: f64,
    redshift: f64,
    is_early: bool,
    i_bands: &[usize],
) -> Source {
    let mut rng = draws.of("galaxy/nature", number);
    let template = if is_early { Template::Elliptical } else { Template::Scd };
    // The red sequence is narrow (Bower, Lucey & Ellis 1992, MNRAS 254, 601).
    let mix = rng.random::<f64>() * if is_early { 0.05 } else { 1.0 };
    shaped(draws, number, position, magnitude, Nature { template, mix, redshift }, i_bands)
}

/// Shape and fluxes.
///
/// Sbc and Scd have a bulge of the elliptical's spectrum in a disc of the bluer neighbour's, so that the whole is about the template.
/// The bulge's share in i is uniform in 0.1..0.5 for Sbc, 0..0.2 for Scd (Simard et al. 2011, ApJS 196, 11, by type); its radius is the disc's over 2.6,
/// lognormal (Mandelbaum et al. 2014, ApJS 212, 5: COSMOS bulges and discs against luminosity).
fn shaped(draws: Draws, number: u64, position: SkyPoint, magnitude: f64, nature: Nature, i_bands: &[usize]) -> Source {
    let mut rng = draws.of("galaxy/shape", number);
    let (size, index, angle, share): (f64, f64, f64, f64) = (normal(&mut rng), normal(&mut rng), rng.random(), rng.random());
    let is_early = nature.template == Template::Elliptical;
    let mut source = Source::star(number, position, Vec::new());
    source.class = "galaxy";
    source.position_angle_deg = 180.0 * angle;
    source.redshift = nature.redshift;
    source.sed = nature.template.name();
    // Scatter of ln r: 0.45, less for bright ellipticals (Shen et al. 2003, MNRAS 343, 978); at a magnitude an elliptical is smaller.
    let radius = median_radius_arcsec(magnitude) * (0.45 * size.clamp(-3.0, 3.0)).exp() * if is_early { 0.75 } else { 1.0 };
    source.half_light_radius_arcsec = radius.clamp(0.03, 20.0);
    let rounded = |n: f64| (n / INDEX_STEP).round() * INDEX_STEP;
    let bulge_share = match nature.template {
        Template::Sbc => 0.1 + 0.4 * share,
        Template::Scd => 0.2 * share,
        _ => 0.0,
    };
    if is_early {
        // Axis ratios of ellipticals: Padilla & Strauss 2008, MNRAS 388, 1321.
        source.axis_ratio = (0.75 + 0.15 * normal(&mut rng)).clamp(0.3, 1.0);
        source.sersic_n = rounded((3.6 * (0.25 * index).exp()).clamp(1.5, 6.0));
    } else {
        let is_spiral = matches!(nature.template, Template::Sbc | Template::Scd);
        let thickness = if is_spiral { 0.22 + 0.06 * normal(&mut rng) } else { 0.42 + 0.13 * normal(&mut rng) };
        source.axis_ratio = disc_axis_ratio(thickness.clamp(0.12, 0.8), &mut rng);
        source.sersic_n = if is_spiral { 1.0 } else { rounded((1.0 * (0.35 * index).exp()).clamp(0.5, 3.0)) };
    }
    let flux_i = flux_njy(magnitude);
    if bulge_share > 0.03 {
        // The disc's redder half of the mix: the neighbour's spectrum, or what lies between it and the next.
        let disc = Nature { template: nature.neighbour(), mix: 0.5 * nature.mix, redshift: nature.redshift };
        let of = |b: &usize| {
            let bulge = bulge_share * Template::Elliptical.relative_to_i(*b, nature.redshift);
            (bulge, (1.0 - bulge_share) * disc.relative_to_i(*b))
        };
        let parts: Vec<(f64, f64)> = i_bands.iter().map(of).collect();
        source.flux_njy = parts.iter().map(|(b, d)| flux_i * (b + d)).collect();
        let radius = source.half_light_radius_arcsec / 2.6 * (0.3 * normal(&mut rng)).exp();
        source.bulge = Some(Bulge {
            fraction: parts.iter().map(|(b, d)| if b + d > 0.0 { b / (b + d) } else { 0.0 }).collect(),
            half_light_radius_arcsec: radius.clamp(0.03, 10.0),
            // A bulge is rounder than its disc is seen.
            axis_ratio: 0.6 + 0.4 * source.axis_ratio,
            sersic_n: 4.0,
        });
    } else {
        source.flux_njy = i_bands.iter().map(|b| flux_i * nature.relative_to_i(*b)).collect();
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(magnitude: f64, n: u64) -> Vec<Source> {
        let at = SkyPoint::from_degrees(10.0, 0.0);
        (0..n).map(|i| galaxy(Draws { seed: 1, arm: 0 }, i, at, magnitude, &[1, 2, 3])).collect()
    }

    /// Benítez' mean: irregulars at 25, z_m Γ(1 + 2/α) / Γ(1 + 1/α) = 0.678 · 2.30 = 1.56; less what Z_MAX cuts off. Fractions are binomial.
    #[test]
    fn types_and_redshifts_follow_the_prior() {
        let galaxies = sample(25.0, 4000);
        let share = |names: &[&str]| galaxies.iter().filter(|g| names.contains(&g.sed)).count() as f64 / 4000.0;
        assert!((share(&["E"]) - 0.168).abs() < 4.0 * (0.168f64 * 0.832 / 4000.0).sqrt());
        assert!((share(&["Sbc", "Scd"]) - 0.0527).abs() < 4.0 * (0.0527f64 * 0.947 / 4000.0).sqrt());
        let z: Vec<f64> = galaxies.iter().filter(|g| ["Im", "SB"].contains(&g.sed)).map(|g| g.redshift).collect();
        let mean = z.iter().sum::<f64>() / z.len() as f64;
        assert!((1.3..1.65).contains(&mean), "{mean}");
        assert!(galaxies.iter().all(|g| g.redshift > 0.0 && g.redshift < Z_MAX));
    }

    /// The i flux is the magnitude's, whatever the parts; bulges are redder than discs; all shapes can be drawn.
    #[test]
    fn parts_add_up_and_can_be_drawn() {
        let galaxies = sample(21.0, 2000);
        let mut n_bulges = 0;
        for g in &galaxies {
            assert!((g.flux_njy[2] / flux_njy(21.0) - 1.0).abs() < 1e-9);
            assert!((0.05..=1.0).contains(&g.axis_ratio) && crate::SERSIC_RANGE.contains(&g.sersic_n) && g.half_light_radius_arcsec > 0.0);
            assert!(g.flux_njy.iter().all(|f| f.is_finite() && *f >= 0.0));
            if let Some(bulge) = &g.bulge {
                n_bulges += 1;
                assert!(bulge.fraction[0] < bulge.fraction[2] && bulge.fraction[2] <= 0.5);
            }
        }
        // Spirals are 0.5 exp(-0.45) = 0.319 of all; of the Scd, 0.85 have a bulge above 3 per cent.
        assert!((f64::from(n_bulges) / 2000.0 - 0.295).abs() < 0.045, "{n_bulges}");
        let mut radii: Vec<f64> = galaxies.iter().filter(|g| g.sed != "E").map(|g| g.half_light_radius_arcsec).collect();
        radii.sort_by(f64::total_cmp);
        let median = radii[radii.len() / 2];
        // ln r scatters by 0.45: the median of 1400 by 0.015.
        assert!((median / median_radius_arcsec(21.0)).ln().abs() < 0.06, "{median}");
    }
}
