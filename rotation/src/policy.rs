//! A policy record applied to the files of a window: who counts, what each pool says about them,
//! and the weights that follow.
//!
//! | step | rule | where |
//! |---|---|---|
//! | 1 | who is eligible: as for video | `rank.rs` |
//! | 2 | each pool's scores of the eligible miners | `fold/` |
//! | 3 | each pool's shares by its scores, and their sum | `shares.rs` |
//! | 4 | weights as the chain takes them | `limits.rs` |

use std::collections::BTreeMap;

use leoma_protocol::verdict::Name;
use leoma_protocol::{Hotkey, Nano};
use num_rational::BigRational;
use num_traits::{One, ToPrimitive as _, Zero};

use crate::limits::{self, ChainLimits};
use crate::rank::{Ineligible, Ranked, by_commitment, rank, required_validators};
use crate::record::{Fold, exact};
use crate::score::Score;
use crate::shares::shares;
use crate::window::producers;
use crate::{
    EpochSnapshot, PolicyRecord, TaskObservations, TaskVerdicts, WeightEntry, WeightVector,
    aggregate, fold,
};

/// The outcome of a record for a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyOutcome {
    /// The eligible miners, ranked as for video by the verdicts.
    pub ranks: Vec<Ranked>,
    /// The others, sorted, each with its reason.
    pub ineligible: Vec<(Hotkey, Ineligible)>,
    /// One for each of the record's pools.
    pub pools: Vec<PoolOutcome>,
    /// Each eligible miner's share of the whole, in the order of commitments; miners without a
    /// share are left out.
    pub shares: Vec<(Hotkey, BigRational)>,
}

/// What one pool says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOutcome {
    /// The pool.
    pub name: Name,
    /// The eligible miners' scores, the oldest commitment first. A miner that nobody observed in
    /// the pool is not listed.
    pub scores: Vec<(Hotkey, Score)>,
}

/// Why an outcome cannot be set as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unallocated {
    /// A part is to be burned, and there is nowhere to burn it.
    #[error("a part of the weight is to be burned, and the subnet owner has no uid")]
    NoOwnerSlot,
    /// The chain limits each weight to less than an equal share.
    #[error(
        "the chain allows at most {max_weight} of 65535 for each weight, and only {weights} are \
         above zero"
    )]
    Limit {
        /// The chain's limit.
        max_weight: u16,
        /// Weights above zero.
        weights: usize,
    },
}

/// Applies a record to the files that are in the window of the snapshot's block. The same files
/// give the same outcome in any order.
#[must_use]
pub fn policy_outcome(
    record: &PolicyRecord,
    snapshot: &EpochSnapshot,
    files: &[&TaskObservations],
) -> PolicyOutcome {
    let truths = record.truths();
    let verdicts: Vec<TaskVerdicts> = files.iter().map(|file| file.verdicts(&truths)).collect();
    let ids: Vec<_> = files.iter().map(|file| file.id).collect();
    let params = record.params();
    let required = required_validators(&params, producers(&ids).len());
    let aggregates = aggregate(&verdicts.iter().collect::<Vec<_>>());
    let ranking = rank(&params, &aggregates, &snapshot.commit_blocks(), required);

    let mut eligible: Vec<&Ranked> = ranking.ranks.iter().collect();
    eligible.sort_unstable_by(|a, b| {
        by_commitment((a.commit_block, &a.miner), (b.commit_block, &b.miner))
    });
    let miners: Vec<Hotkey> = eligible.iter().map(|ranked| ranked.miner).collect();
    let mut totals = vec![BigRational::zero(); miners.len()];
    let mut pools = Vec::with_capacity(record.pools.len());
    for pool in &record.pools {
        let scores: Vec<Option<Score>> = if pool.fold == Fold::PassRate {
            eligible.iter().map(|ranked| Some(Score::from(&ranked.rate))).collect()
        } else {
            let scores = fold::scores(pool, files, &miners, snapshot.block);
            scores.into_iter().map(|score| score.map(Score::from_parts)).collect()
        };
        for (total, part) in totals.iter_mut().zip(shares(pool.weights, &scores)) {
            *total += part * exact(pool.share);
        }
        let named = miners.iter().zip(scores);
        let scores = named.filter_map(|(miner, score)| Some((*miner, score?))).collect();
        pools.push(PoolOutcome { name: pool.name, scores });
    }
    let shares = miners.into_iter().zip(totals).filter(|(_, share)| !share.is_zero()).collect();
    let (ranks, ineligible) = (ranking.ranks, ranking.ineligible);
    PolicyOutcome { ranks, ineligible, pools, shares }
}

/// What the forecasts of each pool are ranked against in a window of these files: moments in seconds
/// since 1970, and the lower median of what the validators read there. Only moments that enough of
/// them read; only pools of ranked forecasts.
#[must_use]
pub fn truths(
    record: &PolicyRecord,
    files: &[&TaskObservations],
) -> BTreeMap<Name, BTreeMap<u64, Nano>> {
    let ranked = record.pools.iter().filter(|pool| pool.fold.truth().is_some());
    ranked.map(|pool| (pool.name, fold::truth(pool, files))).collect()
}

impl PolicyOutcome {
    /// Each share as the nearest float, for people. Never compare these.
    pub fn shares_f64(&self) -> Vec<(Hotkey, f64)> {
        let float =
            |(miner, share): &(Hotkey, BigRational)| (*miner, share.to_f64().unwrap_or(0.0));
        self.shares.iter().map(float).collect()
    }

    /// The weights: each miner's share under the chain's limits, and the rest on the subnet owner,
    /// whose incentive the chain withholds.
    ///
    /// # Errors
    /// [`Unallocated`] if the chain would refuse every such vector, or has nowhere to burn a rest.
    pub fn weights(
        &self,
        snapshot: &EpochSnapshot,
        chain: ChainLimits,
    ) -> Result<WeightVector, Unallocated> {
        let claimed: BigRational = self.shares.iter().map(|(_, share)| share).sum();
        let burned = BigRational::one() - claimed;
        let mut shares: Vec<_> = self
            .shares
            .iter()
            .filter_map(|(miner, share)| Some((snapshot.slot_of(miner)?, share.clone())))
            .collect();
        if !burned.is_zero() {
            let owner = snapshot.owner.ok_or(Unallocated::NoOwnerSlot)?;
            match shares.iter_mut().find(|(slot, _)| slot.uid == owner.uid) {
                Some((_, share)) => *share += burned,
                None => shares.push((owner, burned)),
            }
        }
        shares.sort_unstable_by_key(|(slot, _)| slot.uid);
        let exact: Vec<&BigRational> = shares.iter().map(|(_, share)| share).collect();
        let weights = limits::capped(&exact, chain.max_weight)
            .ok_or(Unallocated::Limit { max_weight: chain.max_weight, weights: shares.len() })?;
        let entry = |((slot, _), share): (&(crate::Slot, BigRational), u16)| WeightEntry {
            hotkey: slot.hotkey,
            uid: slot.uid,
            share,
        };
        let mut entries: Vec<WeightEntry> = shares.iter().zip(weights).map(entry).collect();
        entries.retain(|entry| entry.share > 0);
        self.pad(&mut entries, snapshot, chain.min_weights);
        Ok(WeightVector { entries })
    }

    /// Adds the least weight that there is until the chain's number is reached: to the owner, then
    /// to eligible miners without one by rank, then to the others by uid.
    fn pad(&self, entries: &mut Vec<WeightEntry>, snapshot: &EpochSnapshot, least: u16) {
        let least = usize::from(least).min(snapshot.miners.len());
        if entries.len() >= least {
            return;
        }
        let ranked = self.ranks.iter().filter_map(|ranked| snapshot.slot_of(&ranked.miner));
        let mut others: Vec<_> = snapshot.miners.iter().map(|miner| (miner.uid, miner)).collect();
        others.sort_unstable_by_key(|(uid, _)| *uid);
        let others =
            others.into_iter().map(|(uid, miner)| crate::Slot { hotkey: miner.hotkey, uid });
        for slot in snapshot.owner.into_iter().chain(ranked).chain(others) {
            if entries.len() >= least {
                break;
            }
            if entries.iter().all(|entry| entry.uid != slot.uid) {
                entries.push(WeightEntry { hotkey: slot.hotkey, uid: slot.uid, share: 1 });
            }
        }
        entries.sort_unstable_by_key(|entry| entry.uid);
    }
}
