//! Everything that an epoch follows from, in one file.

use anyhow::{Context as _, bail};
use leoma_protocol::{
    BlockNumber, ConsensusSchedule, Digest, Hotkey, Network, TaskId, Uid, Witness,
};
use leoma_rotation::{
    Allowlist, AllowlistHistory, ChainLimits, EpochSnapshot, Miner, WitnessCommitment,
};
use serde::{Deserialize, Serialize};

use crate::verdicts::report::AttestedFile;
use crate::weights::SetRow;

/// The format of the file.
pub(super) const SCHEMA: &str = "leoma.epoch/1";

/// An epoch's inputs, and what each validator set. Everything is sorted, so that the same inputs
/// give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpochFile {
    pub(super) schema: String,
    pub(super) network: Network,
    pub(super) epoch_block: BlockNumber,
    pub(super) block_hash: Digest,
    /// Digest of the consensus constants in force at the boundary.
    pub(super) params: Digest,
    /// The owner's lists up to the boundary, oldest first.
    pub(super) allowlists: Vec<ListRow>,
    pub(super) owner: Option<Hotkey>,
    pub(super) neurons: Vec<NeuronRow>,
    /// What the chain demands of weights, where a policy record shares them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<LimitsRow>,
    /// Every commitment at the boundary that begins like a witness.
    pub(super) witnesses: Vec<WitnessRow>,
    pub(super) attestations: Vec<AttestedFile>,
    /// The verdict files that count, as they were found.
    pub(super) files: Vec<FileRow>,
    pub(super) set: Vec<SetRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ListRow {
    pub(super) committed_at: BlockNumber,
    /// The list in its canonical bytes.
    pub(super) list: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NeuronRow {
    pub(super) uid: Uid,
    pub(super) hotkey: Hotkey,
    pub(super) commit_block: Option<BlockNumber>,
}

/// What the chain demands of weights at the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LimitsRow {
    /// As [`ChainLimits::max_weight`].
    pub(super) max_weight: u16,
    /// As [`ChainLimits::min_weights`].
    pub(super) min_weights: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WitnessRow {
    pub(super) hotkey: Hotkey,
    pub(super) committed_at: BlockNumber,
    /// The commitment's bytes, in hexadecimal.
    pub(super) bytes: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FileRow {
    pub(super) task_id: TaskId,
    pub(super) producer: Hotkey,
    pub(super) text: String,
}

impl EpochFile {
    /// The consensus constants of this build at the boundary.
    ///
    /// # Errors
    /// When the file is of another format, or was made under other constants.
    pub(super) fn check(&self, consensus: &ConsensusSchedule) -> anyhow::Result<()> {
        if self.schema != SCHEMA {
            bail!("the snapshot is of format {:?}, this build reads {SCHEMA:?}", self.schema);
        }
        let ours = consensus.digest_at(self.epoch_block);
        if ours != self.params {
            bail!(
                "the epoch was made under consensus parameters {}, this build has {} at block {}: use the release of that time",
                self.params.short(),
                ours.short(),
                self.epoch_block
            );
        }
        Ok(())
    }

    /// What the chain demands of weights; nothing where the file does not say it.
    pub(super) fn limits(&self) -> ChainLimits {
        let of = |row: LimitsRow| ChainLimits {
            max_weight: row.max_weight,
            min_weights: row.min_weights,
        };
        self.limits.map_or_else(ChainLimits::default, of)
    }

    pub(super) fn history(&self) -> anyhow::Result<AllowlistHistory> {
        let mut history = AllowlistHistory::default();
        for ListRow { committed_at, list } in &self.allowlists {
            let list = Allowlist::parse(list.as_bytes())
                .with_context(|| format!("the allowlist committed at block {committed_at}"))?;
            history.commit(*committed_at, list)?;
        }
        Ok(history)
    }

    pub(super) fn snapshot(&self) -> anyhow::Result<EpochSnapshot> {
        let miner = |row: &NeuronRow| Miner {
            hotkey: row.hotkey,
            uid: row.uid,
            commit_block: row.commit_block,
        };
        let mut snapshot = EpochSnapshot {
            block: self.epoch_block,
            miners: self.neurons.iter().map(miner).collect(),
            owner: None,
            witnesses: Default::default(),
        };
        snapshot.owner = self.owner.and_then(|owner| snapshot.slot_of(&owner));
        for row in &self.witnesses {
            let bytes = hex::decode(&row.bytes)
                .with_context(|| format!("the witness of {} is not hexadecimal", row.hotkey))?;
            let mecid = self.network.netuid.mecid();
            if let Some(Ok(witness)) = Witness::decode_of(mecid, &bytes) {
                let committed_at = row.committed_at;
                snapshot.witnesses.insert(row.hotkey, WitnessCommitment { committed_at, witness });
            }
        }
        Ok(snapshot)
    }
}
