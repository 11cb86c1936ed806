//! Whether a miner may be sampled, as far as this process knows: one answer for the API and the
//! pages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::board::{Judged, Report, ReportedMiner, majority};
use crate::site::{ApiError, Site};
use crate::view::{GossipedReport, HotkeyText, Miner, Snapshot, Validity, View};

/// The reason of a blacklisted miner, as a validator's own check has it.
const BLACKLISTED: &str = "blacklisted";

/// What the validators on the allowlist report about the miners, and who is blacklisted here.
#[derive(Debug)]
pub(crate) struct Validities {
    reported: BTreeMap<String, Judged>,
    blacklisted: BTreeSet<String>,
}

/// What is known about one miner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    /// Whether it may be sampled.
    pub(crate) validity: Validity,
    /// When that was found out, in seconds since 1970.
    pub(crate) at: Option<i64>,
    /// What validators report about it.
    pub(crate) reported: Option<&'a ReportedMiner>,
}

impl Validities {
    /// Reads the blacklist, and the reports that count now, posted here or gossiped over the mesh.
    pub(crate) async fn read(site: &Site, view: &View) -> Result<Self, ApiError> {
        let (posted, blacklist) = match site.board()? {
            Some(board) => (board.reports().await?, board.blacklist().await?),
            None => (Vec::new(), Vec::new()),
        };
        let mut reports = newest(posted, gossiped(&view.snapshot));
        reports.retain(|report| view.is_listed(&report.validator));
        let blacklisted = blacklist.into_iter().map(|entry| entry.hotkey).collect();
        Ok(Self { reported: majority(&reports, site.now()), blacklisted })
    }

    /// What is known about `miner`: our own check, and where there is none, what a strict majority
    /// of the reports says. Nobody asks a miner without a slot, so reports do not count for it. The
    /// blacklist of this process comes before both: `leoma api` checks no miner, and a validator
    /// checks them only every few minutes.
    pub(crate) fn of(&self, view: &View, miner: &Miner) -> Known<'_> {
        let judged = self.reported.get(&*miner.hotkey).filter(|_| miner.uid.is_some());
        let (validity, at) = match (&miner.validity, judged) {
            (Validity::Unknown, Some(judged)) => (judged.validity(), Some(judged.at)),
            (own, _) => {
                let at = miner.checked_at.and_then(|block| view.snapshot.time_of(block));
                (own.clone(), at)
            }
        };
        let validity = match self.blacklisted.contains(&*miner.hotkey) {
            true => Validity::Invalid(BLACKLISTED.to_owned()),
            false => validity,
        };
        Known { validity, at, reported: judged.map(|judged| &judged.miner) }
    }
}

/// What validators gossip about the miners that were not checked here; what they say of others does
/// not count.
fn gossiped(snapshot: &Snapshot) -> Vec<Report> {
    let has_slot = snapshot.miners.iter().filter(|miner| miner.uid.is_some());
    let unknown = has_slot.filter(|miner| miner.validity == Validity::Unknown);
    let unknown: HashMap<&str, &Miner> = unknown.map(|miner| (&*miner.hotkey, miner)).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let report = |gossiped: &GossipedReport| {
        // Its validator's head may be ahead of ours.
        let at = snapshot.time_of(gossiped.block.min(snapshot.head))?;
        let named = |(hotkey, reason): &(HotkeyText, Option<String>)| {
            let miner = unknown.get(&**hotkey)?;
            Some(ReportedMiner {
                uid: miner.uid.unwrap_or_default(),
                miner_hotkey: hotkey.to_string(),
                model_name: None,
                model_revision: None,
                model_hash: None,
                chute_id: None,
                chute_slug: None,
                block: miner.commit_block,
                is_valid: reason.is_none(),
                invalid_reason: reason.clone(),
            })
        };
        let miners = gossiped.miners.iter().filter_map(named).collect();
        Some(Report { validator: gossiped.validator.to_string(), at, miners })
    };
    snapshot.reports.iter().filter_map(report).collect()
}

/// One report of each validator: the newest.
fn newest(posted: Vec<Report>, gossiped: Vec<Report>) -> Vec<Report> {
    let mut reports = posted;
    for report in gossiped {
        match reports.iter_mut().find(|known| known.validator == report.validator) {
            Some(known) if known.at >= report.at => {}
            Some(known) => *known = report,
            None => reports.push(report),
        }
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scale, subnet};

    #[test]
    fn of_each_validator_the_newest_report_counts_wherever_it_was_heard() {
        let report = |validator: &str, at: i64| Report {
            validator: validator.to_owned(),
            at,
            miners: Vec::new(),
        };
        let posted = vec![report("a", 1000), report("b", 1000)];
        let gossiped = vec![report("a", 1001), report("b", 999), report("c", 5)];
        let found: Vec<(String, i64)> =
            newest(posted, gossiped).into_iter().map(|one| (one.validator, one.at)).collect();
        let expected = [("a", 1001), ("b", 1000), ("c", 5)];
        assert_eq!(found, expected.map(|(validator, at)| (validator.to_owned(), at)));
    }

    #[test]
    fn gossip_is_heard_of_miners_that_were_not_checked_here_alone() {
        let mut snapshot = subnet(Scale { miners: 3, tasks: 2, validators: 2 });
        let [unknown, checked] = [0, 1].map(|index: usize| snapshot.miners[index].hotkey.clone());
        let reason = Some("chute_not_running".to_owned());
        let validator = snapshot.validators[0].hotkey.clone();
        let miners = vec![(unknown.clone(), reason.clone()), (checked, None)];
        // 50 blocks of 12 seconds ago.
        let block = snapshot.head - 50;
        snapshot.reports = vec![GossipedReport { validator, block, miners }];
        assert!(gossiped(&snapshot).is_empty());
        snapshot.miners[0].validity = Validity::Unknown;
        let reports = gossiped(&snapshot);
        assert_eq!((reports.len(), reports[0].at), (1, snapshot.head_seen_at - 600));
        let [miner] = reports[0].miners.as_slice() else { panic!("{reports:?}") };
        assert_eq!((&*miner.miner_hotkey, miner.is_valid), (&*unknown, false));
        assert_eq!(miner.invalid_reason, reason);
        // Of one that has left no report counts.
        let mut gone = snapshot.clone();
        gone.miners[0].uid = None;
        assert!(gossiped(&gone).is_empty());
        // Without the time that a block takes, the age of a report is unknown.
        snapshot.block_ms = None;
        assert!(gossiped(&snapshot).is_empty());
    }
}
