//! Why a configuration cannot be used.

use std::path::PathBuf;

use leoma_scoring::TaskType;

use super::setting::Setting;

/// Why a configuration cannot be used. Never holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is malformed or out of range.
    #[error("{name} ({found_in}) is {shown}, but must be {accepted}")]
    Value {
        /// The setting.
        name: &'static str,
        /// The accepted form.
        accepted: &'static str,
        /// Where the value was found.
        found_in: String,
        /// The value, or a description where it is secret.
        shown: String,
    },
    /// A setting that the command needs is not set.
    #[error(
        "{name} is not set: {help}; it must be {accepted}. Set it in the environment, in .env or in the file given with --config"
    )]
    Missing {
        /// The setting.
        name: &'static str,
        /// The accepted form.
        accepted: &'static str,
        /// What it is for.
        help: &'static str,
    },
    /// Several settings that belong together are not set.
    #[error(
        "{} are not set: set them in the environment, in .env or in the file given with --config",
        names.join(", ")
    )]
    MissingAll {
        /// Their names.
        names: Vec<&'static str>,
    },
    /// Nothing could write the prompts of the tasks.
    #[error(
        "LEOMA_TASK is {task}, which needs prompts that describe the clips: set LEOMA_JUDGE to gemini or both"
    )]
    NoDescriber {
        /// What miners are given.
        task: TaskType,
    },
}

impl ConfigError {
    /// Settings that are all needed; at least one.
    pub(super) fn missing_all(settings: &[&'static Setting]) -> Self {
        match settings {
            [setting] => Self::missing(setting),
            _ => Self::MissingAll { names: settings.iter().map(|setting| setting.name).collect() },
        }
    }

    pub(super) fn missing(setting: &Setting) -> Self {
        Self::Missing { name: setting.name, accepted: setting.accepted, help: setting.help }
    }
}
