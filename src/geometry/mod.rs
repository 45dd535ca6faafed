//! Where things are: sky and pixel positions, boxes, world coordinates, and the sky map
//! (tract -> patches -> cells).

mod box2;
mod distortion;
mod point;
mod projection;
mod sky_map;
mod wcs;

pub use box2::Box2;
pub use point::{PixelPoint, SkyPoint};
pub use sky_map::{Cell, Patch, PatchId, SkyMapConfig, SkyMapError, Tract};
pub use wcs::{Card, Cards, Wcs, WcsError};
