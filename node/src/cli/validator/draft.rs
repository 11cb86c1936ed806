//! The owner's draft of the next allowlist: a file in the state folder, in the form of the published one.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use leoma_rotation::Allowlist;
use leoma_rotation::allowlist::MAX_ALLOWLIST_BYTES;

use crate::config::Config;

/// Where the draft lies, whether there is one or not.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
}

impl Draft {
    /// The draft for the configured subnet: one machine may own several.
    pub(super) fn of(config: &Config) -> Self {
        Self { path: config.state_dir.join(format!("allowlist-draft-{}.json", config.netuid)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The draft; `None` where there is none.
    pub(super) fn read(&self) -> anyhow::Result<Option<Allowlist>> {
        let place = || format!("the draft {}", self.path.display());
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(place)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_ALLOWLIST_BYTES as u64 + 1).read_to_end(&mut bytes).with_context(place)?;
        let damaged = || format!("{} (drop it with `leoma validator discard`)", place());
        Allowlist::parse(&bytes).map(Some).with_context(damaged)
    }

    /// Written aside and moved into place, so that a crash leaves the old draft or the new one.
    pub(super) fn write(&self, allowlist: &Allowlist) -> anyhow::Result<()> {
        let place = || format!("the draft {}", self.path.display());
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).with_context(place)?;
        }
        let aside = self.path.with_extension("json.new");
        std::fs::write(&aside, allowlist.canonical_json()).with_context(place)?;
        std::fs::rename(&aside, &self.path).with_context(place)
    }

    /// Removes the draft; returns whether there was one.
    pub(super) fn discard(&self) -> anyhow::Result<bool> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("the draft {}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_kept_read_and_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let draft = Draft { path: folder.path().join("state/allowlist-draft-7.json") };
        assert_eq!(draft.read().unwrap(), None);
        assert!(!draft.discard().unwrap());
        let list = Allowlist::new(5, [leoma_protocol::Hotkey::from_bytes([1; 32])]).unwrap();
        draft.write(&list).unwrap();
        assert_eq!(draft.read().unwrap(), Some(list));
        assert!(draft.discard().unwrap());
        std::fs::write(&draft.path, "{}").unwrap();
        assert!(format!("{:#}", draft.read().unwrap_err()).contains("leoma validator discard"));
    }
}
