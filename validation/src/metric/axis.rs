//! What figures are given against: the quantities, their bins, and the names of the bins.

use crate::scene::{Detection, Scene, Truth, magnitude};
use crate::survey::Survey;
use fathom::catalog::Table;

/// A binned quantity: `<name> <low>-<high> <unit>` names a bin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    /// Name, first word of the regime.
    pub name: &'static str,
    /// Unit, last word of the regime; empty for a pure number.
    pub unit: &'static str,
    /// For the axis of a plot.
    pub label: &'static str,
    /// Edges of the bins; values outside are in none.
    pub edges: &'static [f64],
}

/// True S/N of catalogs.
pub(crate) const SNR: Axis = Axis {
    name: "snr",
    unit: "",
    label: "true S/N",
    edges: &[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0, 100.0, 300.0],
};
/// True S/N of the object's own matched filter.
pub(crate) const OPTIMAL_SNR: Axis = Axis { name: "optimal_snr", label: "S/N of the object's matched filter", ..SNR };
/// Significance of detections.
pub(crate) const DETECT_SNR: Axis = Axis {
    name: "detect_snr",
    unit: "",
    label: "significance",
    edges: &[4.0, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 1000.0],
};
/// Half-light radius.
pub(crate) const SIZE: Axis = Axis {
    name: "size",
    unit: "arcsec",
    label: "half-light radius [arcsec]",
    edges: &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0, 10.0],
};
/// Mean surface brightness inside the half-light radius.
pub(crate) const SURFACE_BRIGHTNESS: Axis = Axis {
    name: "surface_brightness",
    unit: "mag/arcsec2",
    label: "surface brightness [mag/arcsec²]",
    edges: &[16.0, 18.0, 19.0, 20.0, 21.0, 22.0, 22.5, 23.0, 23.5, 24.0, 24.5, 25.0, 25.5, 26.0, 26.5, 27.0, 28.0, 30.0],
};
/// Colour of the first and the last band.
pub(crate) const COLOUR: Axis = Axis {
    name: "colour",
    unit: "mag",
    label: "colour, first - last band [mag]",
    edges: &[-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0],
};
/// Objects around.
pub(crate) const DENSITY: Axis = Axis {
    name: "density",
    unit: "1/arcmin2",
    label: "local density [arcmin⁻²]",
    edges: &[0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0, 3000.0],
};
/// Distance of the nearest brighter object.
pub(crate) const BRIGHTER: Axis = Axis {
    name: "brighter_neighbour",
    unit: "FWHM",
    label: "distance of the nearest brighter object [FWHM]",
    edges: &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0],
};
/// Distance of the nearest patch border.
pub(crate) const PATCH_BORDER: Axis = Axis {
    name: "patch_border",
    unit: "arcsec",
    label: "distance of the nearest patch border [arcsec]",
    edges: &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0],
};
/// Distance of the nearest border of a detector.
pub(crate) const DETECTOR_BORDER: Axis = Axis {
    name: "detector_border",
    unit: "arcsec",
    label: "distance of the nearest detector border [arcsec]",
    edges: &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0],
};
/// Distance of the nearest detectable neighbour.
pub(crate) const SEPARATION: Axis = Axis {
    name: "separation",
    unit: "FWHM",
    label: "separation [FWHM]",
    edges: &[0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0],
};
/// Flux of an object over that of its neighbour.
pub(crate) const FLUX_RATIO: Axis = Axis {
    name: "flux_ratio",
    unit: "",
    label: "flux / flux of the neighbour",
    edges: &[0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 30.0, 100.0],
};
/// Share of other objects' light.
pub(crate) const BLENDEDNESS: Axis =
    Axis { name: "blendedness", unit: "", label: "blendedness", edges: &[0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0] };
/// Bins of S/N of residuals.
pub(crate) const RESIDUAL_SNR: Axis =
    Axis { name: "snr", unit: "", label: "true S/N", edges: &[5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0, 10000.0] };

impl Axis {
    /// Number of the bin that holds a value.
    pub fn bin(&self, value: f64) -> Option<i32> {
        let above = self.edges.partition_point(|&e| e <= value);
        (value.is_finite() && above > 0 && above < self.edges.len()).then(|| above as i32 - 1)
    }

    /// Number of bins.
    pub fn n_bins(&self) -> i32 {
        self.edges.len() as i32 - 1
    }

    fn ends(&self, bin: i32) -> (f64, f64) {
        (self.edges[bin as usize], self.edges[bin as usize + 1])
    }

    /// Name of a bin: `snr 5-10`, `colour -0.5 to 0 mag`.
    pub fn regime(&self, bin: i32) -> String {
        let (low, high) = self.ends(bin);
        // A minus sign beside a dash could not be read.
        let between = if low < 0.0 { " to " } else { "-" };
        format!("{} {low}{between}{high} {}", self.name, self.unit).trim_end().to_owned()
    }
}

/// `snr 5-10`.
pub(crate) fn snr_regime(low: f64, high: f64) -> String {
    format!("snr {low}-{high}")
}

/// `mag 24.25`.
pub(crate) fn magnitude_regime(centre: f64, width: f64) -> String {
    let digits = if width < 0.1 { 3 } else { 2 };
    format!("mag {centre:.digits$}")
}

/// Axes of one object that are not of a band: of truth for completeness, of detections for purity.
pub(crate) const OBJECT_AXES: [Axis; 8] = [OPTIMAL_SNR, SURFACE_BRIGHTNESS, SIZE, COLOUR, DENSITY, BRIGHTER, PATCH_BORDER, DETECTOR_BORDER];

/// Columns with distances to borders, which the caller joins to truth and catalog \[arcsec\].
const BORDERS: [&str; 2] = ["patch_border", "detector_border"];

fn borders(table: &Table) -> [Option<&[f64]>; 2] {
    BORDERS.map(|name| table.f64(name).ok())
}

/// Values of [`OBJECT_AXES`] of truth objects; NaN where not known.
pub(crate) struct TruthValues<'a> {
    scene: &'a Scene<'a>,
    fwhm: f64,
    borders: [Option<&'a [f64]>; 2],
}

impl<'a> TruthValues<'a> {
    pub fn new(survey: &Survey<'a>, arm: usize, scene: &'a Scene<'a>) -> Self {
        Self { scene, fwhm: survey.fwhm, borders: borders(&survey.input.arms[arm].truth) }
    }

    pub fn of(&self, i: usize, truth: &Truth) -> [f64; 8] {
        let bands = &self.scene.truth_bands;
        let optimal = bands.iter().filter_map(|b| b.snr_optimal).map(|s| s[i].max(0.0).powi(2)).sum::<f64>().sqrt();
        let size = truth.half_light_radius;
        // Half of the flux inside the radius: μ = m + 2.5 log10(2 π r²).
        let brightness = self.scene.true_magnitude(i, None) + 2.5 * (std::f64::consts::TAU * size * size).log10();
        let colour = match bands.as_slice() {
            [first, .., last] => magnitude(first.flux[i]) - magnitude(last.flux[i]),
            _ => f64::NAN,
        };
        let border = |k: usize| self.borders[k].map_or(f64::NAN, |b| b[i]);
        let known = if bands.iter().any(|b| b.snr_optimal.is_some()) { optimal } else { f64::NAN };
        [known, brightness, size, colour, truth.density, truth.brighter_arcsec / self.fwhm, border(0), border(1)]
    }
}

/// Values of [`OBJECT_AXES`] of detections, by what the catalog says; NaN where it does not.
pub(crate) struct DetectionValues<'a> {
    scene: &'a Scene<'a>,
    fwhm: f64,
    borders: [Option<&'a [f64]>; 2],
    moments: Vec<[&'a [f64]; 2]>,
}

/// Neighbours of a detection within this many FWHM make the local density.
const SURROUNDINGS_FWHM: f64 = 10.0;

impl<'a> DetectionValues<'a> {
    pub fn new(survey: &Survey<'a>, arm: usize, scene: &'a Scene<'a>) -> Self {
        let table = &survey.input.arms[arm].catalog;
        let moment = |b: &String, k: &str| table.f64(&format!("{b}_moment_{k}")).ok();
        let moments = survey.input.bands.iter().filter_map(|b| Some([moment(b, "xx")?, moment(b, "yy")?])).collect();
        Self { scene, fwhm: survey.fwhm, borders: borders(table), moments }
    }

    pub fn of(&self, detection: &Detection) -> [f64; 8] {
        let row = detection.row;
        // Gaussian half-light radius of the mean moment, PSF included.
        let traces = || self.moments.iter().map(|[xx, yy]| 0.5 * (xx[row] + yy[row])).filter(|t| *t > 0.0);
        let n = traces().count();
        let size = if n == 0 { f64::NAN } else { 1.177_41 * (traces().sum::<f64>() / n as f64).sqrt() };
        let brightness = self.scene.measured_magnitude(detection, None) + 2.5 * (std::f64::consts::TAU * size * size).log10();
        let last = self.scene.measured.len().saturating_sub(1);
        let colour = if last == 0 {
            f64::NAN
        } else {
            self.scene.measured_magnitude(detection, Some(0)) - self.scene.measured_magnitude(detection, Some(last))
        };
        let (mut n_near, mut brighter) = (0u32, f64::INFINITY);
        let radius = SURROUNDINGS_FWHM * self.fwhm;
        self.scene.detections_near.each_within(detection.point, radius, |d, distance| {
            let other = &self.scene.detections[d];
            if other.row != row {
                n_near += 1;
                if other.snr > detection.snr {
                    brighter = brighter.min(distance);
                }
            }
        });
        let density = f64::from(n_near) / (std::f64::consts::PI * (radius / 60.0).powi(2));
        let border = |k: usize| self.borders[k].map_or(f64::NAN, |b| b[row]);
        [f64::NAN, brightness, size, colour, density, brighter / self.fwhm, border(0), border(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_and_their_names() {
        assert_eq!(RESIDUAL_SNR.bin(5.0), Some(0));
        assert_eq!(RESIDUAL_SNR.bin(4.99), None);
        assert_eq!(RESIDUAL_SNR.bin(1e4), None);
        assert_eq!(RESIDUAL_SNR.bin(f64::NAN), None);
        assert_eq!(RESIDUAL_SNR.regime(0), snr_regime(5.0, 10.0));
        assert_eq!(SEPARATION.regime(2), "separation 0.5-0.75 FWHM");
        assert_eq!(COLOUR.regime(1), "colour -0.5 to -0.25 mag");
        assert_eq!(magnitude_regime(24.25, 0.25), "mag 24.25");
    }
}
