//! Variance of the background of one exposure: smooth, so that it is correlated with no pixel.

use crate::geometry::PixelPoint;
use crate::image::Chebyshev2;
use serde::{Deserialize, Serialize};

/// Smooth model of the variance of source-free pixels (sky and read noise) \[ADU²\].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackgroundVariance {
    /// Low-order polynomial.
    pub model_adu2: Chebyshev2,
}

impl BackgroundVariance {
    /// Variance \[ADU²\] at a position; positive everywhere on the exposure.
    #[must_use]
    pub fn at(&self, p: PixelPoint) -> f64 {
        self.model_adu2.at(p)
    }
}
