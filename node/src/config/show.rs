//! `leoma config show`: every setting with its value and the value's source; secrets are hidden.

use leoma_chain::without_keys;
use serde::Serialize;

use super::settings;
use super::values::Values;

/// One line of the listing.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    /// Its value; `(hidden)` for a secret that is set.
    pub(crate) value: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) help: &'static str,
    pub(crate) accepted: &'static str,
}

/// The listing of all settings.
pub(crate) fn show(values: &Values) -> Vec<Shown> {
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
            }
        })
        .collect()
}
