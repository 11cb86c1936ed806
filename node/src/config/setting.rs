//! What a setting is.

/// One setting. In the environment it has the name below; in a file the same name in lower case.
#[derive(Debug)]
pub struct Setting {
    /// Name in the environment.
    pub name: &'static str,
    /// What values are accepted, completing "must be …".
    pub accepted: &'static str,
    /// Value when nothing sets it; `None` means unset.
    pub default: Option<&'static str>,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether it is taken to the letter, quotes and spaces included.
    pub untouched: bool,
    /// Its purpose.
    pub help: &'static str,
}

pub(super) const fn setting(accepted: &'static str, default: Option<&'static str>) -> Setting {
    Setting { name: "", accepted, default, secret: false, untouched: false, help: "" }
}

pub(super) const fn secret(accepted: &'static str) -> Setting {
    Setting { secret: true, ..setting(accepted, None) }
}

/// A secret that may have quotes or spaces at its ends.
pub(super) const fn password(accepted: &'static str) -> Setting {
    Setting { untouched: true, ..secret(accepted) }
}
