//! Configuration, read in layers and parsed once into [`Config`].
//!
//! Each concern has a file, in which a setting's name, accepted form, default, help and field stand
//! together. This file lists the concerns.

mod buckets;
mod chain;
mod declare;
mod error;
mod judging;
mod layers;
mod log;
mod machine;
mod mesh;
mod sampling;
mod services;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod values;
mod wallet;

use leoma_chain::ChainSettings;
use leoma_protocol::Netuid;
use leoma_wallet::WalletSettings;

pub use error::ConfigError;
pub use layers::Sources;
pub(crate) use sampling::SamplingConfig;
pub(crate) use services::ServicesConfig;
pub use setting::Setting;
pub(crate) use show::show;

/// Every setting, in the order in which `leoma config show` prints them.
pub(crate) fn settings() -> impl Iterator<Item = &'static Setting> {
    let concerns = [
        chain::SETTINGS,
        wallet::SETTINGS,
        machine::SETTINGS,
        mesh::SETTINGS,
        judging::SETTINGS,
        sampling::SETTINGS,
        services::SETTINGS,
        buckets::SETTINGS,
        log::SETTINGS,
    ];
    concerns.into_iter().flatten()
}

/// The setting with this environment name.
#[must_use]
pub fn find_setting(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.name == name)
}

/// All settings, parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain's nodes.
    pub chain: ChainSettings,
    pub(crate) netuid: Netuid,
    pub(crate) wallet: WalletSettings,
    pub(crate) machine: machine::MachineConfig,
    pub(crate) mesh: mesh::MeshAddresses,
    pub(crate) judging: judging::JudgingConfig,
    pub(crate) services: ServicesConfig,
    pub(crate) sampling: SamplingConfig,
    pub(crate) buckets: buckets::BucketsConfig,
    pub(crate) log: log::LogConfig,
}

impl Config {
    fn read(values: &values::Values) -> Result<Self, ConfigError> {
        Ok(Self {
            chain: chain::read(values)?,
            netuid: chain::netuid(values)?,
            wallet: wallet::read(values)?,
            machine: machine::MachineConfig::read(values)?,
            mesh: mesh::MeshAddresses::read(values)?,
            judging: judging::JudgingConfig::read(values)?,
            services: ServicesConfig::read(values)?,
            sampling: SamplingConfig::read(values)?,
            buckets: buckets::BucketsConfig::read(values)?,
            log: log::LogConfig::read(values)?,
        })
    }
}
