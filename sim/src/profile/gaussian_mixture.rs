//! Sums of round concentric Gaussians: models whose transform is closed form, at any size.

use super::{Radial, bisect, share_cut};
use crate::SimError;
use std::f64::consts::{PI, TAU};

/// Concentric Gaussians of total flux 1, half of it inside radius 1.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    /// Share of the flux, σ² \[r_e²\].
    parts: Vec<(f64, f64)>,
    reach: f64,
}

impl GaussianMixture {
    /// From (flux, σ) of each component; only the ratios matter: fluxes are scaled to sum 1, widths to half-light radius 1.
    ///
    /// # Errors
    /// [`SimError::Config`] without components, or with a flux or σ that is not a positive number.
    pub fn new(components: &[(f64, f64)]) -> Result<Self, SimError> {
        let is_positive = |v: f64| v > 0.0 && v.is_finite();
        let is_good = !components.is_empty() && components.iter().all(|(flux, sigma)| is_positive(*flux) && is_positive(*sigma));
        crate::error::check("gaussian_mixture", "components", is_good, components, "one or more pairs of positive flux and sigma")?;
        let total: f64 = components.iter().map(|c| c.0).sum();
        let widest = components.iter().map(|c| c.1).fold(0.0, f64::max);
        let mut made = Self { parts: components.iter().map(|(f, s)| (f / total, s * s)).collect(), reach: 0.0 };
        let half_light = bisect(0.0, 2.0 * widest, |r| 0.5 - made.outside(r));
        made.parts.iter_mut().for_each(|(_, s2)| *s2 /= half_light * half_light);
        made.reach = bisect(0.0, 1e3 * widest / half_light, |r| share_cut(0.5) - made.outside(r)).max(1.0);
        Ok(made)
    }

    /// From the text of a truth catalog: `flux sigma` of each component, components parted by `;`, as in `0.6 0.5; 0.4 1.7`.
    ///
    /// # Errors
    /// [`SimError::Config`] if it is not pairs of positive numbers.
    pub fn of_text(text: &str) -> Result<Self, SimError> {
        let pair = |part: &str| {
            let numbers: Vec<f64> = part.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
            (numbers.len() == 2).then(|| (numbers[0], numbers[1]))
        };
        let components: Option<Vec<_>> = text.split(';').map(pair).collect();
        crate::error::check("gaussian_mixture", "components", components.is_some(), text, "pairs 'flux sigma', parted by ';'")?;
        Self::new(&components.expect("checked above"))
    }

    /// Second moment ⟨x²⟩ \[r_e²\].
    #[must_use]
    pub fn second_moment(&self) -> f64 {
        self.parts.iter().map(|(f, s2)| f * s2).sum()
    }
}

impl Radial for GaussianMixture {
    fn add_transform(&self, flux: f64, q_sq: &[f64], out: &mut [f64]) {
        for (out, q_sq) in out.iter_mut().zip(q_sq) {
            *out += flux * self.parts.iter().map(|(f, s2)| f * (-2.0 * PI * PI * s2 * q_sq).exp()).sum::<f64>();
        }
    }

    fn density(&self, r: f64) -> f64 {
        self.parts.iter().map(|(f, s2)| f / (TAU * s2) * (-0.5 * r * r / s2).exp()).sum()
    }

    fn outside(&self, r: f64) -> f64 {
        self.parts.iter().map(|(f, s2)| f * (-0.5 * r * r / s2).exp()).sum()
    }

    fn reach(&self) -> f64 {
        self.reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn half_the_light_is_inside_radius_one() {
        let mixture = GaussianMixture::new(&[(3.0, 0.4), (1.0, 2.0), (0.5, 5.0)]).unwrap();
        assert_abs_diff_eq!(mixture.outside(1.0), 0.5, epsilon = 1e-12);
        assert_abs_diff_eq!(mixture.outside(mixture.reach()), share_cut(0.5), epsilon = 1e-9);
        let mut at_zero = [0.0];
        mixture.add_transform(2.0, &[0.0], &mut at_zero);
        assert_abs_diff_eq!(at_zero[0], 2.0, epsilon = 1e-12);
        assert!(GaussianMixture::new(&[(1.0, -2.0)]).unwrap_err().to_string().contains("gaussian_mixture.components"));
        assert_eq!(GaussianMixture::of_text("3 0.4; 1 2;0.5 5.0").unwrap(), mixture);
        for bad in ["", "1", "1 2 3", "1 x", "1 2;", "1 0", "inf 1"] {
            assert!(GaussianMixture::of_text(bad).is_err(), "{bad}");
        }
    }
}
