//! Deblending: one trait, several deblenders, one function that apportions the pixels.

mod apportion;
mod blend;
mod symmetric;

pub use apportion::apportion;
pub use blend::{Blend, BlendBand, DeblendConfig, DeblendError, DeblendParent, Deblended, Deblender, Templates};
pub use symmetric::{SymmetricConfig, SymmetricDeblender};
