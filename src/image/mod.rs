//! What a camera delivers and what calibrates it: exposures, masks, PSFs, photometric calibration.

mod ap_corr;
mod chebyshev;
mod exposure;
mod mask;
mod photo_calib;
pub mod psf;
pub mod spline;
mod true_background;

pub use ap_corr::{ApCorr, ApCorrMap};
pub use chebyshev::Chebyshev2;
pub use exposure::{Exposure, ExposureError, ExposureId, ExposureMeta, PixelCounts};
pub use mask::MaskPlane;
pub use photo_calib::{PhotoCalib, ab_magnitude, flux_njy};
pub use psf::{Psf, PsfError};
pub use true_background::{Glow, TrueBackground};
