//! Configuration: one table of settings, read in layers, parsed once into [`Config`].

mod error;
mod layers;
mod model;
mod parse;
pub mod settings;
mod show;
#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub(crate) use error::missing;
pub use layers::{Found, Sources, Values};
pub use model::{Config, MeshAddresses, SamplingConfig, ServicesConfig};
pub use show::{Shown, show};
