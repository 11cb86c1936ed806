//! Configuration, read in layers and parsed once into [`Config`].
//!
//! Each concern has a file, in which a setting's name, accepted form, default, help and field stand
//! together. This file lists the concerns.

mod api;
mod buckets;
mod chain;
mod declare;
mod dotenv;
mod elsewhere;
mod error;
mod judging;
mod layers;
mod log;
mod machine;
mod mechanism;
mod mesh;
mod oracle;
mod sampling;
mod services;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod values;
mod wallet;

use leoma_chain::ChainSettings;
use leoma_protocol::{Hotkey, Netuid};
use leoma_wallet::WalletSettings;

pub(crate) use chain::name_of;
pub use error::ConfigError;
pub use layers::Sources;
pub(crate) use mechanism::Plug;
pub(crate) use oracle::OracleConfig;
pub(crate) use sampling::SamplingConfig;
pub(crate) use services::ServicesConfig;
pub use setting::Setting;
pub(crate) use show::{problems, show};

/// Every setting, in the order in which `leoma config show` prints them.
pub(crate) fn settings() -> impl Iterator<Item = &'static Setting> {
    let concerns = [
        chain::SETTINGS,
        mechanism::SETTINGS,
        wallet::SETTINGS,
        machine::SETTINGS,
        mesh::SETTINGS,
        judging::SETTINGS,
        sampling::SETTINGS,
        services::SETTINGS,
        oracle::SETTINGS,
        buckets::SETTINGS,
        api::SETTINGS,
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
    pub(crate) expected_owner: Option<Hotkey>,
    pub(crate) mechanism: mechanism::MechanismConfig,
    pub(crate) wallet: WalletSettings,
    pub(crate) machine: machine::MachineConfig,
    pub(crate) mesh: mesh::MeshAddresses,
    pub(crate) judging: judging::JudgingConfig,
    /// Why that judge judges, for the log.
    pub(crate) why_this_judge: &'static str,
    pub(crate) services: ServicesConfig,
    pub(crate) oracle: OracleConfig,
    pub(crate) sampling: SamplingConfig,
    pub(crate) buckets: buckets::BucketsConfig,
    pub(crate) api: api::ApiConfig,
    pub(crate) log: log::LogConfig,
    /// Every setting as it is shown: name, value (never a secret's) and where it was found.
    pub(crate) shown: Vec<[String; 3]>,
    /// Names that were given and are not used, with the reason or what may be meant.
    pub(crate) notes: Vec<String>,
}

type Reader = fn(&values::Values) -> Result<(), ConfigError>;

/// What reads each concern's settings.
const READERS: [Reader; 16] = [
    |values| chain::read(values).map(drop),
    |values| chain::netuid(values).map(drop),
    |values| chain::expected_owner(values).map(drop),
    |values| mechanism::MechanismConfig::read(values).map(drop),
    |values| wallet::read(values).map(drop),
    |values| machine::MachineConfig::read(values).map(drop),
    |values| mesh::MeshAddresses::read(values).map(drop),
    |values| judging::JudgingConfig::read(values).map(drop),
    judging::check_task,
    |values| ServicesConfig::read(values).map(drop),
    |values| OracleConfig::read(values).map(drop),
    |values| sampling::SamplingConfig::read(values).map(drop),
    |values| buckets::BucketsConfig::read(values).map(drop),
    |values| buckets::peers(values).map(drop),
    |values| api::ApiConfig::read(values).map(drop),
    |values| log::LogConfig::read(values).map(drop),
];

/// Everything that is wrong with the settings, where [`Config::load`] stops at the first fault.
pub(crate) fn faults(values: &values::Values) -> Vec<ConfigError> {
    let mut faults = Vec::new();
    for read in READERS {
        let mut values = values.clone();
        while let Err(error) = read(&values) {
            // A malformed value hides those after it, until it is out of the way.
            let reset = match &error {
                ConfigError::Value { name, .. } => {
                    find_setting(name).is_some_and(|setting| values.reset(setting))
                }
                _ => false,
            };
            faults.push(error);
            if !reset {
                break;
            }
        }
    }
    faults
}

impl Config {
    /// The index of the mechanism that is served, which is the subnet's number for video.
    pub(crate) fn index(&self) -> Netuid {
        self.mechanism.index(self.netuid)
    }

    fn read(values: &values::Values, shown: Vec<[String; 3]>) -> Result<Self, ConfigError> {
        judging::check_task(values)?;
        Ok(Self {
            chain: chain::read(values)?,
            netuid: chain::netuid(values)?,
            expected_owner: chain::expected_owner(values)?,
            mechanism: mechanism::MechanismConfig::read(values)?,
            wallet: wallet::read(values)?,
            machine: machine::MachineConfig::read(values)?,
            mesh: mesh::MeshAddresses::read(values)?,
            judging: judging::JudgingConfig::read(values)?,
            why_this_judge: judging::why_this_judge(values),
            services: ServicesConfig::read(values)?,
            oracle: OracleConfig::read(values)?,
            sampling: SamplingConfig::read(values)?,
            buckets: buckets::BucketsConfig::read(values)?,
            api: api::ApiConfig::read(values)?,
            log: log::LogConfig::read(values)?,
            shown,
            notes: values.notes.clone(),
        })
    }
}
