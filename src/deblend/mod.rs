//! Deblending: one trait, several deblenders, one function that apportions the pixels.

mod apportion;
mod blend;
mod nnls;
mod symmetric;
// Exact sums are the point.
#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests;

pub use apportion::apportion;
pub use blend::{Blend, BlendBand, DeblendConfig, DeblendError, DeblendParent, Deblended, Deblender, Template, Templates};
pub use symmetric::{SymmetricConfig, SymmetricDeblender};
