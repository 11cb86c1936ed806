//! The settings of a command.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::{Config, ConfigError, Sources};

/// Loads the configuration of a command with its flags.
pub(super) fn load(
    file: Option<PathBuf>,
    flags: BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    Config::load(&Sources::of_process(file, flags))
}
