//! Deblending: one trait, several deblenders, one function that apportions the pixels.

mod apportion;
mod blend;
mod nnls;
mod symmetric;
#[cfg(test)]
mod tests;

pub use apportion::apportion;
pub use blend::{Blend, BlendBand, DeblendConfig, DeblendError, DeblendParent, Deblended, Deblender, Template, Templates};
pub use symmetric::{SymmetricConfig, SymmetricDeblender};
