//! Surface density against magnitude, and draws from it.

use super::interpolate;

/// Counts: logarithm of the number per square degree and magnitude at nodes of i-band AB magnitude, straight lines between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts(&'static [(f64, f64)]);

/// Galaxies.
///
/// # Source
/// 18.5 to 24.5: HSC-SSP i band (the counts in the test of apparent magnitudes of DESCQA, Mao et al. 2018, ApJS 234, 36; extended objects; less 0.012, for
/// a mean over one magnitude lies above the value in its middle).
/// Brighter: the slope of a uniform, nearby distribution (Yasuda et al. 2001, AJ 122, 1104), for HSC's own bright galaxies saturate.
/// Fainter: flattening as in the HUDF (Beckwith et al. 2006, AJ 132, 1729; Coe et al. 2006, AJ 132, 926).
pub(crate) const GALAXIES: Counts = Counts(&[
    (13.5, -0.15),
    (17.5, 2.1),
    (18.5, 2.67),
    (19.5, 3.13),
    (20.5, 3.50),
    (21.5, 3.86),
    (22.5, 4.20),
    (23.5, 4.57),
    (24.5, 4.91),
    (25.5, 5.22),
    (26.5, 5.46),
    (27.5, 5.64),
    (28.5, 5.80),
    (30.5, 6.05),
]);

/// Stars of the Milky Way at a galactic latitude near 50 degrees.
///
/// # Source
/// The shape of TRILEGAL's counts (Girardi et al. 2005, A&A 436, 895), at 1000 stars per square degree to i = 20 (Bahcall & Soneira
/// 1980, ApJS 44, 73 for that latitude).
pub(crate) const STARS: Counts =
    Counts(&[(12.5, 1.4), (14.5, 1.9), (16.5, 2.3), (18.5, 2.57), (20.5, 2.90), (22.5, 3.18), (24.5, 3.38), (26.5, 3.46), (30.5, 3.46)]);

/// Quasars and other active nuclei that look like points.
///
/// # Source
/// Palanque-Delabrouille et al. 2016, A&A 587, A41 (g to 22.5), continued with the slope of its faint end.
pub(crate) const QUASARS: Counts = Counts(&[(15.5, -1.5), (18.5, 0.5), (20.5, 1.4), (22.5, 2.0), (24.5, 2.35), (26.5, 2.6), (30.5, 2.6)]);

impl Counts {
    /// Objects per square degree and magnitude.
    pub fn density(self, magnitude: f64) -> f64 {
        10f64.powf(interpolate(self.0, magnitude))
    }

    /// Objects per square degree between two magnitudes: the exact integral of the broken exponential.
    pub fn between(self, [low, high]: [f64; 2]) -> f64 {
        self.pieces([low, high]).iter().map(|p| p.n).sum()
    }

    /// Parts of the range between the nodes, with their integrals.
    fn pieces(self, [low, high]: [f64; 2]) -> Vec<Piece> {
        let inner = self.0.iter().map(|(m, _)| *m).filter(|m| *m > low && *m < high);
        let edges: Vec<f64> = std::iter::once(low).chain(inner).chain(std::iter::once(high)).collect();
        edges
            .windows(2)
            .map(|w| {
                let (a, b) = (self.density(w[0]), self.density(w[1]));
                let n = if (a / b - 1.0).abs() < 1e-9 { a * (w[1] - w[0]) } else { (b - a) * (w[1] - w[0]) / (b / a).ln() };
                Piece { low: w[0], high: w[1], ratio: b / a, n }
            })
            .collect()
    }

    /// What draws magnitudes of a range.
    pub fn sampler(self, range: [f64; 2]) -> MagnitudeSampler {
        MagnitudeSampler(self.pieces(range))
    }
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    low: f64,
    high: f64,
    /// Density at the end over that at the begin.
    ratio: f64,
    /// Objects per square degree.
    n: f64,
}

/// Draws magnitudes from counts.
#[derive(Debug, Clone)]
pub(crate) struct MagnitudeSampler(Vec<Piece>);

impl MagnitudeSampler {
    /// The magnitude below which the share `u` of the objects lies.
    pub fn quantile(&self, u: f64) -> f64 {
        let mut left = u * self.0.iter().map(|p| p.n).sum::<f64>();
        for (i, piece) in self.0.iter().enumerate() {
            if left < piece.n || i + 1 == self.0.len() {
                let share = (left / piece.n).clamp(0.0, 1.0);
                let k = piece.ratio.ln();
                let t = if k.abs() < 1e-9 { share } else { (share * k.exp_m1()).ln_1p() / k };
                return piece.low + t * (piece.high - piece.low);
            }
            left -= piece.n;
        }
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral against a sum over small steps, and the quantile against the integral.
    #[test]
    fn integral_and_quantile_agree() {
        let range = [17.2, 26.8];
        for counts in [GALAXIES, STARS, QUASARS] {
            let sum: f64 = (0..9600).map(|i| counts.density(17.2 + 1e-3 * (f64::from(i) + 0.5)) * 1e-3).sum();
            assert!((counts.between(range) / sum - 1.0).abs() < 1e-5);
            let sampler = counts.sampler(range);
            for u in [0.0, 0.1, 0.5, 0.99, 1.0] {
                let m = sampler.quantile(u);
                assert!((counts.between([17.2, m]) / counts.between(range) - u).abs() < 1e-9, "{u} {m}");
            }
        }
    }
}
