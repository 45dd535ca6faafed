//! End to end: the real binary under the real launcher, one story a file.

mod architecture;
mod artifacts;
mod assess;
mod association;
mod background;
mod bad_input;
mod catalog_access;
mod coadd;
mod combine;
mod commands;
mod comparison;
mod detection;
mod failures;
mod launch;
mod layout;
mod psf_matched;
mod ranks;
mod real_data;
mod report;
mod requirements;
mod reuse;
mod truth;
