//! Commit-reveal of weights, version 4: the vector is encrypted to a future round of the randomness
//! beacon, and the chain itself reveals it once that round's pulse is there.
//!
//! As on the live chain: a commit of epoch `n` is tried in every block of epoch `n` +
//! `RevealPeriodEpochs`, beginning with the block in which that epoch begins and before its
//! consensus runs. While the pulse is missing the commit waits; once the epoch is over it is
//! dropped. A commit whose pulse is there is gone after the first try, whatever came of it, and
//! only success leaves a trace: the weights and an event.

use super::pallet::*;
use super::terms::{ROOT_NETUID, TimelockedWeights};
use crate::drand::{PulseSource, RoundNumber, timelock};
use codec::{Decode, Encode};
use frame_support::ensure;
use sp_runtime::DispatchResult;
use sp_runtime::traits::{BlakeTwo256, Hash};

/// Commits of one hotkey in one epoch, as on the live chain.
const MAX_UNREVEALED: usize = 10;

/// What a timelocked commit hides.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WeightsTlockPayload {
    /// The committing hotkey's 32 bytes: nobody can commit a copy of what another one has
    /// encrypted.
    pub hotkey: Vec<u8>,
    /// Targets.
    pub uids: Vec<u16>,
    /// Their weights.
    pub values: Vec<u16>,
    /// Version key, as in `set_weights`.
    pub version_key: u64,
}

/// What the first clients hid, without a hotkey; the live chain still takes it.
#[derive(Decode)]
struct LegacyPayload {
    uids: Vec<u16>,
    values: Vec<u16>,
    version_key: u64,
}

impl<T: Config> Pallet<T> {
    pub(super) fn do_commit_timelocked(
        hotkey: T::AccountId,
        netuid: u16,
        mechanism: u8,
        commit: TimelockedWeights,
        reveal_round: RoundNumber,
        version: u16,
    ) -> DispatchResult {
        ensure!(netuid != ROOT_NETUID, Error::<T>::CanNotSetRootNetworkWeights);
        ensure!(
            Self::has_stake_for_weights(&hotkey, netuid),
            Error::<T>::NotEnoughStakeToSetWeights
        );
        ensure!(reveal_round >= T::Drand::last_stored_round(), Error::<T>::InvalidRevealRound);
        Self::ensure_mechanism(netuid, mechanism)?;
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        ensure!(
            version == CommitRevealWeightsVersion::<T>::get(),
            Error::<T>::IncorrectCommitRevealVersion
        );
        let uid = Uids::<T>::get(netuid, &hotkey).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        let now = Self::block();
        ensure!(
            Self::passes_rate_limit(netuid, mechanism, uid, now),
            Error::<T>::CommittingWeightsTooFast
        );

        let index = Self::storage_index(netuid, mechanism);
        let epoch = Self::epoch_with_lookahead(netuid);
        let mut commits = TimelockedWeightCommits::<T>::get(index, epoch);
        let own = commits.iter().filter(|(who, ..)| *who == hotkey).count();
        ensure!(own < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
        let hash = BlakeTwo256::hash(&commit);
        commits.push((hotkey.clone(), now, commit, reveal_round));
        TimelockedWeightCommits::<T>::insert(index, epoch, commits);
        Self::touch(index, uid, now);
        Self::deposit_event(Event::TimelockedWeightsCommitted(hotkey, index, hash, reveal_round));
        Ok(())
    }

    /// Reveals, in every subnet, the commits whose epoch and pulse have come.
    pub(super) fn reveal_timelocked() {
        let netuids: Vec<u16> = NetworksAdded::<T>::iter_keys().collect();
        for netuid in netuids {
            let epoch = Self::epoch_with_lookahead(netuid);
            let Some(due) = epoch.checked_sub(RevealPeriodEpochs::<T>::get(netuid)) else {
                continue;
            };
            for mechanism in 0..MechanismCountCurrent::<T>::get(netuid) {
                Self::reveal_commits_of(netuid, mechanism, due);
            }
        }
    }

    fn reveal_commits_of(netuid: u16, mechanism: u8, due: u64) {
        let index = Self::storage_index(netuid, mechanism);
        let missed: Vec<u64> = TimelockedWeightCommits::<T>::iter_key_prefix(index)
            .filter(|epoch| *epoch < due)
            .collect();
        for epoch in missed {
            TimelockedWeightCommits::<T>::remove(index, epoch);
        }
        let commits = TimelockedWeightCommits::<T>::get(index, due);
        let waiting_before = commits.len();
        let mut waiting = Vec::new();
        for (who, block, commit, round) in commits {
            match T::Drand::signature(round) {
                Some(signature) => {
                    Self::reveal_timelocked_commit(netuid, mechanism, who, &commit, &signature)
                }
                None => waiting.push((who, block, commit, round)),
            }
        }
        if waiting.is_empty() {
            TimelockedWeightCommits::<T>::remove(index, due);
        } else if waiting.len() < waiting_before {
            TimelockedWeightCommits::<T>::insert(index, due, waiting);
        }
    }

    fn reveal_timelocked_commit(
        netuid: u16,
        mechanism: u8,
        who: T::AccountId,
        commit: &[u8],
        signature: &[u8],
    ) {
        let Some(LegacyPayload { uids, values, version_key }) =
            Self::timelocked_payload(&who, commit, signature)
        else {
            return;
        };
        if Self::store_weights(&who, netuid, mechanism, uids, values, version_key, true).is_ok() {
            Self::deposit_event(Event::TimelockedWeightsRevealed(
                Self::storage_index(netuid, mechanism),
                who,
            ));
        }
    }

    /// What a commit hides, unless it does not open, is no payload, or names another hotkey than
    /// the committer's.
    fn timelocked_payload(
        who: &T::AccountId,
        commit: &[u8],
        signature: &[u8],
    ) -> Option<LegacyPayload> {
        let opened = timelock::open(commit, signature).ok()?;
        let signed = WeightsTlockPayload::decode(&mut &opened[..]).and_then(|payload| {
            T::AccountId::decode(&mut &payload.hotkey[..]).map(|hotkey| (hotkey, payload))
        });
        match signed {
            Ok((hotkey, WeightsTlockPayload { uids, values, version_key, .. })) => {
                (hotkey == *who).then_some(LegacyPayload { uids, values, version_key })
            }
            Err(_) => LegacyPayload::decode(&mut &opened[..]).ok(),
        }
    }
}
