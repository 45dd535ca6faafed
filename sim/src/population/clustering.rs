//! Where galaxies lie: a clustered process with a known angular correlation function.
//!
//! A share of the galaxies belongs to groups with random centres; a member lies at a distance r from its centre with the surface
//! density ∝ r^-1.4 to a largest radius R. The profile's correlation with itself is a power law, so that on scales well below R
//!
//!   w(θ) = A (θ / 1')^-0.8,  A = (f² / σ) ρ₀² C,  ρ₀ = 0.6 / (2π R^0.6),  C = π Γ(0.3)² Γ(0.4) / (Γ(0.7)² Γ(0.6)) = 24.86,
//!
//! with f the share and σ the surface density of the groups. The pixel grid of the tract is taken as periodic: the density is then
//! uniform and no member is lost at an edge. Redshifts and magnitudes know nothing of the groups: this is the clustering of the
//! projected sky, which makes blends, not large-scale structure.
//!
//! # Source
//! Neyman & Scott 1952, ApJ 116, 144 for the process; slope and amplitude of faint galaxies: McCracken et al. 2001, A&A 376, 756.

use super::Draws;
use fathom::geometry::{PixelPoint, Tract};
use rand::RngExt;
use std::f64::consts::TAU;

/// Share of the galaxies in groups.
const SHARE: f64 = 0.6;
/// Largest distance from the centre \[arcmin\].
const RADIUS_ARCMIN: f64 = 1.5;
/// C of the module's page.
const CORRELATION: f64 = 24.86;

/// Positions on a tract.
pub(crate) struct Clustering {
    draws: Draws,
    size_px: [f64; 2],
    radius_px: f64,
    /// 0: not clustered.
    n_groups: u64,
}

impl Clustering {
    /// With the correlation `amplitude` at one arcmin; 0 for random positions.
    pub fn new(draws: Draws, tract: &Tract, amplitude: f64) -> Self {
        let scale_arcmin = tract.config().pixel_scale_arcsec / 60.0;
        let size_px = [f64::from(tract.bbox().width), f64::from(tract.bbox().height)];
        let area_arcmin2 = size_px[0] * size_px[1] * scale_arcmin.powi(2);
        // On a tract smaller than the groups there would be no centre, or one.
        let radius_arcmin = RADIUS_ARCMIN.min(0.25 * area_arcmin2.sqrt());
        let rho = 0.6 / (TAU * radius_arcmin.powf(0.6));
        let groups_per_arcmin2 = SHARE.powi(2) * rho.powi(2) * CORRELATION / amplitude;
        let n_groups = if amplitude > 0.0 { (groups_per_arcmin2 * area_arcmin2).round().max(1.0) as u64 } else { 0 };
        Self { draws, size_px, radius_px: radius_arcmin / scale_arcmin, n_groups }
    }

    /// Of galaxy `number`, on the tract's pixels.
    pub fn position(&self, number: u64) -> PixelPoint {
        let mut rng = self.draws.of("galaxy/position", number);
        let is_member = self.n_groups > 0 && rng.random::<f64>() < SHARE;
        let [mut x, mut y] = self.anywhere(&mut rng);
        if is_member {
            let group = rng.random_range(0..self.n_groups);
            [x, y] = self.anywhere(&mut self.draws.of("galaxy/group", group));
            // ∫ r^-1.4 r dr ∝ r^0.6
            let r = self.radius_px * rng.random::<f64>().powf(1.0 / 0.6);
            let angle = TAU * rng.random::<f64>();
            (x, y) = (x + r * angle.cos(), y + r * angle.sin());
        }
        PixelPoint::new((x + 0.5).rem_euclid(self.size_px[0]) - 0.5, (y + 0.5).rem_euclid(self.size_px[1]) - 0.5)
    }

    fn anywhere(&self, rng: &mut impl rand::Rng) -> [f64; 2] {
        self.size_px.map(|n| n * rng.random::<f64>() - 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::geometry::SkyMapConfig;

    /// Pairs within θ over those of random positions: 1 + 2 A θ^-0.8 / 1.2, the mean of w over the disc; the number of pairs of a
    /// clustered process scatters by more than √n: to a quarter of the excess.
    #[test]
    fn pairs_follow_the_correlation_function() {
        let tract = Tract::new(&SkyMapConfig { tract_cells: [96, 96], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
        let n = 30_000;
        for amplitude in [0.0, 0.05, 0.2] {
            let clustering = Clustering::new(Draws { seed: 3, arm: 0 }, &tract, amplitude);
            let mut at: Vec<PixelPoint> = (0..n).map(|i| clustering.position(i)).collect();
            at.sort_by(|a, b| a.x.total_cmp(&b.x));
            for theta_arcsec in [3.0, 10.0] {
                let reach = theta_arcsec / 0.2;
                let pairs: usize = (0..at.len())
                    .map(|i| {
                        at[i + 1..]
                            .iter()
                            .take_while(|b| b.x - at[i].x < reach)
                            .filter(|b| (b.x - at[i].x).hypot(b.y - at[i].y) < reach)
                            .count()
                    })
                    .sum();
                let random = 0.5 * (n as f64).powi(2) * std::f64::consts::PI * reach.powi(2) / tract.bbox().n_pixels() as f64;
                let excess = pairs as f64 / random - 1.0;
                let expected = 2.0 * amplitude * (theta_arcsec / 60.0f64).powf(-0.8) / 1.2;
                let tolerance = 0.25 * expected + 5.0 / random.sqrt();
                assert!((excess - expected).abs() < tolerance, "A = {amplitude}, {theta_arcsec} arcsec: {excess} against {expected}");
            }
        }
    }
}
