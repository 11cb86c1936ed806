//! How much each validator may say: as an author, whoever passes its messages on, and as a peer
//! that sends to us.
//!
//! Both are kept by hotkey and outlive connections, so that a new peer id or a new connection
//! brings no new allowance. An author's allowance protects the peers that pass its messages on.
//! Without it, a validator that signs too fast would make honest peers look like floods to one
//! another.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::{
    AUTHOR_BURST, AUTHOR_PER_SECOND, Bucket, GOSSIP_BURST, GOSSIP_PER_SECOND, PROOF_BURST,
    PROOFS_PER_SECOND, REPORT_BURST, Timing,
};
use crate::Hotkey;
use crate::messages::{Pace, Topic};

#[derive(Debug)]
struct Allowance {
    /// Gossip that it sends to us, its own and others'.
    handed: Bucket,
    /// Its own announcements, attestations and disputes.
    statements: Bucket,
    /// Its own beacons and miner reports.
    reports: Bucket,
    /// Evidence against it.
    proofs: Bucket,
}

impl Allowance {
    fn bucket(&mut self, topic: Topic) -> &mut Bucket {
        match topic.pace() {
            Pace::Statements => &mut self.statements,
            Pace::Reports => &mut self.reports,
            Pace::Proofs => &mut self.proofs,
        }
    }
}

/// Allowances by hotkey. Only hotkeys of an allowlist have one.
#[derive(Debug, Default)]
pub(super) struct Allowances(BTreeMap<Hotkey, Allowance>);

impl Allowances {
    fn of(&mut self, hotkey: Hotkey, now: Duration, timing: &Timing) -> &mut Allowance {
        let beacons = (1.0 / timing.beacon_gap.as_secs_f64().max(0.001)).ceil() as u32;
        self.0.entry(hotkey).or_insert_with(|| Allowance {
            handed: Bucket::new(GOSSIP_BURST, GOSSIP_PER_SECOND, now),
            statements: Bucket::new(AUTHOR_BURST, AUTHOR_PER_SECOND, now),
            reports: Bucket::new(REPORT_BURST, beacons, now),
            proofs: Bucket::new(PROOF_BURST, PROOFS_PER_SECOND, now),
        })
    }

    /// How much gossip a validator may send to us.
    pub(super) fn handed(&mut self, hotkey: Hotkey, now: Duration, timing: &Timing) -> &mut Bucket {
        &mut self.of(hotkey, now, timing).handed
    }

    /// Whether an author has used up its allowance for now. This is asked before the signature is
    /// checked, to save that work. So it uses up nothing: anybody could have written the message.
    pub(super) fn is_spent(&mut self, author: &Hotkey, topic: Topic, now: Duration) -> bool {
        self.0.get_mut(author).is_some_and(|allowance| allowance.bucket(topic).is_spent(now))
    }

    /// Takes note of a valid, new message.
    pub(super) fn said(&mut self, author: Hotkey, topic: Topic, now: Duration, timing: &Timing) {
        self.of(author, now, timing).bucket(topic).take(now);
    }

    /// Forgets validators that are no longer listed.
    pub(super) fn retain(&mut self, is_listed: impl Fn(&Hotkey) -> bool) {
        self.0.retain(|hotkey, _| is_listed(hotkey));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_heard_up_to_its_allowance_and_again_later() {
        let (mut allowances, timing) = (Allowances::default(), Timing::default());
        let (author, now) = (Hotkey::from_bytes([1; 32]), Duration::from_secs(1));
        for _ in 0..REPORT_BURST {
            assert!(!allowances.is_spent(&author, Topic::Beacon, now));
            allowances.said(author, Topic::Beacon, now, &timing);
        }
        assert!(allowances.is_spent(&author, Topic::Beacon, now));
        assert!(allowances.is_spent(&author, Topic::MinerReport, now));
        assert!(
            !allowances.is_spent(&author, Topic::Attestation, now),
            "statements are counted apart"
        );
        assert!(!allowances.is_spent(&author, Topic::Beacon, now + timing.beacon_gap));
        assert!(!allowances.is_spent(&Hotkey::from_bytes([2; 32]), Topic::Beacon, now));
    }

    #[test]
    fn evidence_against_one_validator_has_an_allowance_of_its_own() {
        let (mut allowances, timing) = (Allowances::default(), Timing::default());
        let (accused, now) = (Hotkey::from_bytes([1; 32]), Duration::from_secs(1));
        let passed_on = (0..1000).filter(|_| {
            let spent = allowances.is_spent(&accused, Topic::Evidence, now);
            if !spent {
                allowances.said(accused, Topic::Evidence, now, &timing);
            }
            !spent
        });
        assert_eq!(passed_on.count(), PROOF_BURST as usize);
        assert!(!allowances.is_spent(&accused, Topic::Attestation, now));
        allowances.retain(|_| false);
        assert!(!allowances.is_spent(&accused, Topic::Evidence, now));
    }
}
