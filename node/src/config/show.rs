//! `leoma config show`: every setting with its value and the value's source, and what is wrong with
//! it; secrets are hidden.

use std::collections::BTreeMap;

use leoma_chain::without_keys;
use serde::Serialize;

use super::values::Values;
use super::{ConfigError, faults, settings};

/// One line of the listing.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    /// Its value; `(hidden)` for a secret that is set.
    pub(crate) value: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) help: &'static str,
    pub(crate) accepted: &'static str,
    /// What is wrong with its value.
    pub(crate) problem: Option<String>,
}

/// What is wrong with a setting, and with several together.
#[derive(Debug)]
pub(crate) struct Problems {
    by_name: BTreeMap<&'static str, String>,
    /// What belongs to no value, such as settings that others need.
    pub(crate) others: Vec<String>,
}

/// Everything that is wrong with the settings.
pub(crate) fn problems(values: &Values) -> Problems {
    let mut problems = Problems { by_name: BTreeMap::new(), others: Vec::new() };
    for fault in faults(values) {
        match fault {
            ConfigError::Value { name, .. } => {
                drop(problems.by_name.insert(name, fault.to_string()))
            }
            other => problems.others.push(other.to_string()),
        }
    }
    problems
}

/// The listing of all settings.
pub(crate) fn show(values: &Values) -> Vec<Shown> {
    let mut problems = problems(values);
    settings()
        .map(|setting| {
            let found = values.get(setting);
            let value = found.map(|found| {
                if setting.secret { "(hidden)".to_owned() } else { without_keys(&found.text) }
            });
            let source = found.map(|found| found.source.clone());
            Shown {
                name: setting.name,
                value,
                source,
                help: setting.help,
                accepted: setting.accepted,
                problem: problems.by_name.remove(setting.name),
            }
        })
        .collect()
}

impl Shown {
    /// Name, value and source, for a page.
    pub(super) fn columns(self) -> [String; 3] {
        let text = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        [self.name.to_owned(), text(self.value), text(self.source)]
    }
}
