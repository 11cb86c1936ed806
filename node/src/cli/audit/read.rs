//! Files of an audit that lie on this machine.

use std::path::Path;

use anyhow::{Context as _, bail};
use leoma_rotation::Allowlist;

/// The largest input file of an audit: a snapshot of a hundred full verdict files.
const MAX_INPUT_BYTES: u64 = 1 << 30;

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > MAX_INPUT_BYTES {
        bail!("{} has {size} bytes, more than {MAX_INPUT_BYTES}", path.display());
    }
    std::fs::read(path).with_context(|| path.display().to_string())
}

pub(super) fn read_allowlist(path: &Path) -> anyhow::Result<Allowlist> {
    Allowlist::parse(&read(path)?).with_context(|| path.display().to_string())
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_slice(&read(path)?).with_context(|| format!("{} is malformed", path.display()))
}
