//! Files that were signed too late for an epoch.
//!
//! Validators compute an epoch a few blocks apart. A file that was signed just before the boundary
//! may reach one of them before it computes and another after, so it counts for neither.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use leoma_protocol::{Digest, FileId};

use super::{LeftOut, WindowRange};
use crate::{Certificates, TaskVerdicts};

/// What was there when the last file that counts was signed.
pub(crate) struct InTime<'a> {
    pub(crate) files: Vec<&'a TaskVerdicts>,
    pub(crate) certificates: Certificates,
    pub(crate) left_out: BTreeSet<(FileId, LeftOut)>,
}

impl<'a> InTime<'a> {
    /// Leaves out the files of settled tasks that were signed too late. The certificate of a late
    /// file goes with it, and so does any other file in its place: the epoch must not depend on
    /// which of the two a validator has seen.
    pub(crate) fn select<F: Borrow<TaskVerdicts>>(
        range: &WindowRange<'_>,
        files: &'a [F],
        certificates: &Certificates,
    ) -> Self {
        let is_late = |file: &&TaskVerdicts| {
            range.check(file.id.task_id).is_ok() && range.check_signed(file.signed_at).is_err()
        };
        let files = files.iter().map(Borrow::borrow);
        let (late, mut files): (Vec<&TaskVerdicts>, Vec<_>) = files.partition(is_late);
        let mut left_out: BTreeSet<_> = late
            .iter()
            .map(|file| (file.id, LeftOut::SignedLate { signed_at: file.signed_at }))
            .collect();
        let late_certified: BTreeMap<FileId, Digest> = late
            .iter()
            .filter(|file| certificates.get(&file.id) == Some(file.digest))
            .map(|file| (file.id, file.digest))
            .collect();
        files.retain(|file| match late_certified.get(&file.id) {
            Some(&certified) => {
                left_out.insert((file.id, LeftOut::NotTheCertified { certified }));
                false
            }
            None => true,
        });
        let certificates =
            certificates.iter().filter(|(file, _)| !late_certified.contains_key(file)).collect();
        Self { files, certificates, left_out }
    }
}
