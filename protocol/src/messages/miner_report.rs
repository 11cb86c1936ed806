//! Which miners a validator found valid, so that validators can see where their checks differ.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Context, MAX_VALIDATORS, MessageError};
use crate::codec::{self, Decode, Encode, wire};
use crate::signing::{Domain, HotkeySigner, Signature};
use crate::{BlockNumber, Hotkey, Network};

/// Most miners in a report: a subnet has 256 uids.
const MAX_REPORTED_MINERS: usize = MAX_VALIDATORS;
/// Longest reason word.
const MAX_REASON_BYTES: usize = 48;
/// Blocks by which a report may be older or newer than our head: one epoch of 180, and room for
/// differing heads.
const MAX_REPORT_AGE_BLOCKS: u64 = 360;

/// One miner in a report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReportedMiner {
    /// The miner.
    pub hotkey: Hotkey,
    /// Whether it may be asked for videos.
    pub valid: bool,
    /// The reason, if it may not; one word, cut to 48 bytes.
    pub reason: String,
}

/// A validator's findings about the miners at a block, for people and dashboards. Weights do not
/// depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MinerReport {
    /// Chain and subnet.
    pub network: Network,
    /// The validator.
    pub reporter: Hotkey,
    /// The block at which commitments and metagraph were read.
    pub block: BlockNumber,
    /// Ascending by hotkey, each once.
    pub miners: Vec<ReportedMiner>,
    /// The reporter's signature over all of the above.
    pub signature: Signature,
}
wire!(MinerReport, 32 * 1024);

impl MinerReport {
    fn signed_part(&self) -> Vec<u8> {
        codec::payload(&(self.network, self.reporter, self.block, &self.miners))
    }

    /// Whether the report is recent enough to count at `head`.
    pub const fn is_fresh(&self, head: BlockNumber) -> bool {
        self.block.0.abs_diff(head.0) <= MAX_REPORT_AGE_BLOCKS
    }

    /// Checks that the reporter said this, and recently.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        context.check_network(self.network)?;
        if self.miners.len() > MAX_REPORTED_MINERS
            || !self.miners.is_sorted_by(|a, b| a.hotkey < b.hotkey)
        {
            return Err(MessageError::Nonsense("miners are not ascending, each once"));
        }
        if self.miners.iter().any(|miner| miner.reason.len() > MAX_REASON_BYTES) {
            return Err(MessageError::Nonsense("a reason is too long"));
        }
        if !self.is_fresh(context.head) {
            return Err(MessageError::Expired { expires: self.block, head: context.head });
        }
        context.check_member(self.reporter)?;
        context.check_signature(
            Domain::MinerReport,
            &self.signed_part(),
            &self.signature,
            self.reporter,
        )
    }
}

/// Everything in a report except who signs it.
#[derive(Clone, Debug)]
pub struct MinerReportDraft {
    /// Chain and subnet.
    pub network: Network,
    /// The block at which commitments and metagraph were read.
    pub block: BlockNumber,
    /// The miners; sorted here, those beyond 256 left out.
    pub miners: Vec<ReportedMiner>,
}

/// What the fresh reports say of one miner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MinerTally {
    /// Reports that call it valid.
    pub valid: usize,
    /// Reports that call it invalid.
    pub invalid: usize,
    /// All fresh reports, those that do not mention it included.
    pub reports: usize,
}

impl MinerTally {
    /// What a strict majority of the fresh reports says; `None` without one.
    pub const fn majority(&self) -> Option<bool> {
        if self.valid * 2 > self.reports {
            Some(true)
        } else if self.invalid * 2 > self.reports {
            Some(false)
        } else {
            None
        }
    }
}

/// Counts the reports that are fresh at `head`. A reporter must occur once.
pub fn tally<'a>(
    reports: impl IntoIterator<Item = &'a MinerReport>,
    head: BlockNumber,
) -> BTreeMap<Hotkey, MinerTally> {
    let mut miners: BTreeMap<Hotkey, MinerTally> = BTreeMap::new();
    let mut fresh = 0;
    for report in reports.into_iter().filter(|report| report.is_fresh(head)) {
        fresh += 1;
        for miner in &report.miners {
            let tally = miners.entry(miner.hotkey).or_default();
            *(if miner.valid { &mut tally.valid } else { &mut tally.invalid }) += 1;
        }
    }
    miners.values_mut().for_each(|tally| tally.reports = fresh);
    miners
}

impl HotkeySigner {
    /// Signs a miner report.
    #[must_use]
    pub fn sign_miner_report(&self, draft: MinerReportDraft) -> MinerReport {
        let MinerReportDraft { network, block, mut miners } = draft;
        miners.sort_by_key(|miner| miner.hotkey);
        miners.dedup_by_key(|miner| miner.hotkey);
        miners.truncate(MAX_REPORTED_MINERS);
        for miner in &mut miners {
            let end = miner.reason.floor_char_boundary(MAX_REASON_BYTES);
            miner.reason.truncate(end);
        }
        let mut report = MinerReport {
            network,
            reporter: self.hotkey(),
            block,
            miners,
            signature: Signature([0; 64]),
        };
        report.signature = self.sign_domain(Domain::MinerReport, &report.signed_part());
        report
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::codec::Wire as _;
    use crate::{Digest, MemoryGuard, Netuid};

    #[test]
    fn the_largest_report_fits() {
        let signer =
            HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()));
        let miners = (0..=255u8).map(|byte| ReportedMiner {
            hotkey: Hotkey::from_bytes([byte; 32]),
            valid: false,
            reason: "é".repeat(100),
        });
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        let draft = MinerReportDraft { network, block: BlockNumber(5), miners: miners.collect() };
        let report = signer.sign_miner_report(draft);
        assert_eq!(report.miners.len(), MAX_REPORTED_MINERS);
        assert_eq!(MinerReport::from_wire(&report.to_wire().unwrap()).unwrap(), report);
    }

    #[test]
    fn only_a_strict_majority_of_the_fresh_reports_decides() {
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        let report = |by: u8, block, said: &[(u8, bool)]| {
            let pair = sr25519::Pair::from_seed(&[by; 32]);
            let miner = |(byte, valid): &(u8, bool)| ReportedMiner {
                hotkey: Hotkey::from_bytes([*byte; 32]),
                valid: *valid,
                reason: String::new(),
            };
            let miners = said.iter().map(miner).collect();
            HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
                .sign_miner_report(MinerReportDraft { network, block: BlockNumber(block), miners })
        };
        let reports = [
            report(1, 1000, &[(1, true), (2, true), (3, false)]),
            report(2, 900, &[(1, true), (2, false), (3, false)]),
            report(3, 1010, &[(1, false)]),
            report(4, 1000, &[(1, true)]),
            report(5, 100, &[(2, true), (3, true)]),
        ];
        let tallies = tally(&reports, BlockNumber(1000));
        let of = |byte: u8| tallies[&Hotkey::from_bytes([byte; 32])];
        assert_eq!(of(1), MinerTally { valid: 3, invalid: 1, reports: 4 });
        assert_eq!([1, 2, 3].map(|miner| of(miner).majority()), [Some(true), None, None]);
        assert_eq!(tally(&reports[..1], BlockNumber(1000)).len(), 3);
        assert!(tally(&reports, BlockNumber(9000)).is_empty());
    }
}
