//! End to end: the real binary under the real launcher, one story a file.

mod architecture;
mod assess;
mod bad_input;
mod commands;
mod failures;
mod launch;
mod layout;
mod ranks;
mod real_data;
mod reuse;
mod truth;
