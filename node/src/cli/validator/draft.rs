//! The owner's draft of the next allowlist: a file in the state folder, with the hash of the list
//! that it began from.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use leoma_protocol::Hotkey;
use leoma_rotation::Allowlist;
use leoma_rotation::allowlist::MAX_ALLOWLIST_BYTES;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Largest draft: a list and a hash, with room for line breaks.
const MAX_DRAFT_BYTES: u64 = 2 * MAX_ALLOWLIST_BYTES as u64;

/// A list that is not published yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// The hash that the chain named when the draft was begun; `None` where it named none.
    pub(super) base: Option<String>,
    pub(super) allowlist: Allowlist,
}

impl Draft {
    /// Whether the chain, which names the list with the hash `named`, has moved on since the draft
    /// was begun. Publishing the draft itself without dropping it is not such a move.
    pub(super) fn is_outdated(&self, named: Option<&str>) -> bool {
        self.base.as_deref() != named && named != Some(self.allowlist.digest().to_string().as_str())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftJson {
    base: Option<String>,
    interval: u64,
    validators: Vec<Hotkey>,
}

/// Where the draft lies, whether there is one or not.
#[derive(Debug)]
pub(super) struct DraftFile {
    path: PathBuf,
}

impl DraftFile {
    /// The draft file for the configured subnet: one machine may own several.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            path: config.machine.state_dir.join(format!("allowlist-draft-{}.json", config.netuid)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn place(&self) -> String {
        format!("the draft {}", self.path.display())
    }

    /// The draft; `None` where there is none.
    pub(super) fn read(&self) -> anyhow::Result<Option<Draft>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| self.place())?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_DRAFT_BYTES).read_to_end(&mut bytes).with_context(|| self.place())?;
        let damaged =
            || format!("{} is damaged (drop it with `leoma validator discard`)", self.place());
        let DraftJson { base, interval, validators } =
            serde_json::from_slice(&bytes).with_context(damaged)?;
        let allowlist = Allowlist::new(interval, validators).with_context(damaged)?;
        Ok(Some(Draft { base, allowlist }))
    }

    /// Written aside and moved into place, so that a crash leaves the old draft or the new one.
    pub(super) fn write(&self, draft: &Draft) -> anyhow::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).with_context(|| self.place())?;
        }
        let (base, interval) = (draft.base.clone(), draft.allowlist.interval());
        let json = DraftJson { base, interval, validators: draft.allowlist.validators().to_vec() };
        let aside = self.path.with_extension("json.new");
        std::fs::write(&aside, serde_json::to_string_pretty(&json)?)
            .with_context(|| self.place())?;
        std::fs::rename(&aside, &self.path).with_context(|| self.place())
    }

    /// Removes the draft if it still is `published`; returns whether it is gone. One that was
    /// edited since is kept.
    pub(super) fn discard_published(&self, published: &Draft) -> anyhow::Result<bool> {
        match self.read()? {
            Some(found) if found != *published => Ok(false),
            _ => self.discard().map(|_| true),
        }
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
        let file = DraftFile { path: folder.path().join("state/allowlist-draft-7.json") };
        assert_eq!(file.read().unwrap(), None);
        assert!(!file.discard().unwrap());
        let allowlist = Allowlist::new(5, [Hotkey::from_bytes([1; 32])]).unwrap();
        for base in [None, Some("ab".repeat(32))] {
            let draft = Draft { base, allowlist: allowlist.clone() };
            file.write(&draft).unwrap();
            assert_eq!(file.read().unwrap(), Some(draft));
        }
        assert!(file.discard().unwrap());
        for damaged in
            ["{}", "", r#"{"interval":0,"validators":[]}"#, r#"{"interval":5,"validators":["5x"]}"#]
        {
            std::fs::write(&file.path, damaged).unwrap();
            assert!(
                format!("{:#}", file.read().unwrap_err()).contains("leoma validator discard"),
                "{damaged}"
            );
        }
    }

    #[test]
    fn a_draft_is_outdated_by_another_list_and_not_by_itself() {
        let allowlist = Allowlist::new(5, [Hotkey::from_bytes([1; 32])]).unwrap();
        let own = allowlist.digest().to_string();
        let draft = |base: Option<&str>| Draft {
            base: base.map(str::to_owned),
            allowlist: allowlist.clone(),
        };
        for (base, named, outdated) in [
            (None, None, false),
            (Some("a"), Some("a"), false),
            (None, Some("a"), true),
            (Some("a"), Some("b"), true),
            (Some("a"), None, true),
            (None, Some(own.as_str()), false),
            (Some("a"), Some(own.as_str()), false),
        ] {
            assert_eq!(draft(base).is_outdated(named), outdated, "{base:?} {named:?}");
        }
    }

    #[test]
    fn a_draft_that_was_edited_while_it_was_published_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = DraftFile { path: folder.path().join("draft.json") };
        let draft = |seed| Draft {
            base: None,
            allowlist: Allowlist::new(5, [Hotkey::from_bytes([seed; 32])]).unwrap(),
        };
        file.write(&draft(2)).unwrap();
        assert!(!file.discard_published(&draft(1)).unwrap());
        assert_eq!(file.read().unwrap(), Some(draft(2)));
        assert!(file.discard_published(&draft(2)).unwrap());
        assert!(file.discard_published(&draft(2)).unwrap(), "gone already");
        assert_eq!(file.read().unwrap(), None);
    }
}
