//! Mask planes: the bits that say what is wrong with a pixel.

/// One bit of a `u32` mask. The names are stored in every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MaskPlane {
    /// Hot, dead or otherwise useless pixel.
    Bad = 0,
    /// Saturated, or bled into.
    Sat,
    /// Value interpolated from neighbours.
    Intrp,
    /// Cosmic ray.
    Cr,
    /// Too near an edge for the whole kernel.
    Edge,
    /// Part of a footprint.
    Detected,
    /// Part of a negative footprint.
    DetectedNegative,
    /// Value of doubtful accuracy.
    Suspect,
    /// No data at all.
    NoData,
    /// Left out of the coadd as an artifact.
    Clipped,
    /// Left out of the coadd because the input mask said so.
    Rejected,
    /// The coadd's PSF model is not exact here.
    InexactPsf,
    /// Under a very bright object.
    BrightObject,
    /// Near the physical edge of a sensor.
    SensorEdge,
    /// Holds a noticeable share of injected light.
    Injected,
}

impl MaskPlane {
    /// All planes, by bit.
    pub const ALL: [Self; 15] = [
        Self::Bad,
        Self::Sat,
        Self::Intrp,
        Self::Cr,
        Self::Edge,
        Self::Detected,
        Self::DetectedNegative,
        Self::Suspect,
        Self::NoData,
        Self::Clipped,
        Self::Rejected,
        Self::InexactPsf,
        Self::BrightObject,
        Self::SensorEdge,
        Self::Injected,
    ];

    /// The bit, as a mask.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The name that LSST uses, as written in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bad => "BAD",
            Self::Sat => "SAT",
            Self::Intrp => "INTRP",
            Self::Cr => "CR",
            Self::Edge => "EDGE",
            Self::Detected => "DETECTED",
            Self::DetectedNegative => "DETECTED_NEGATIVE",
            Self::Suspect => "SUSPECT",
            Self::NoData => "NO_DATA",
            Self::Clipped => "CLIPPED",
            Self::Rejected => "REJECTED",
            Self::InexactPsf => "INEXACT_PSF",
            Self::BrightObject => "BRIGHT_OBJECT",
            Self::SensorEdge => "SENSOR_EDGE",
            Self::Injected => "INJECTED",
        }
    }

    /// The plane of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plane| plane.name() == name)
    }

    /// Bits that make an exposure's pixel useless: it contributes nothing to any coadd.
    pub const UNUSABLE: u32 = Self::Bad.bit() | Self::Sat.bit() | Self::Cr.bit() | Self::NoData.bit() | Self::Clipped.bit();
}
