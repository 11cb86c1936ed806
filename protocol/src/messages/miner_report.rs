//! Which miners a validator found valid, so that validators can see where their checks differ.

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
        if self.block.0.abs_diff(context.head.0) > MAX_REPORT_AGE_BLOCKS {
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
}
