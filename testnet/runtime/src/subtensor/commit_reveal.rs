//! Commit-reveal of weights, version 2: a hash first, the vector in a later epoch.

use super::ROOT_NETUID;
use super::pallet::*;
use codec::Encode;
use frame_support::ensure;
use sp_core::H256;
use sp_runtime::DispatchResult;
use sp_runtime::traits::{BlakeTwo256, Hash};

/// Commits of one hotkey that may wait for their reveal at once, as on the live chain.
const MAX_UNREVEALED: usize = 10;

impl<T: Config> Pallet<T> {
    /// The hash that [`Pallet::commit_weights`] takes for a vector.
    pub fn commit_hash(
        hotkey: &T::AccountId,
        index: u16,
        uids: &[u16],
        values: &[u16],
        salt: &[u16],
        version_key: u64,
    ) -> H256 {
        BlakeTwo256::hash(&(hotkey, index, uids, values, salt, version_key).encode())
    }

    /// The only epoch in which a commit of `commit_epoch` may be revealed.
    pub(crate) fn reveal_epoch(netuid: u16, commit_epoch: u64) -> u64 {
        commit_epoch.saturating_add(RevealPeriodEpochs::<T>::get(netuid))
    }

    pub(super) fn do_commit_weights(
        hotkey: T::AccountId,
        netuid: u16,
        mechanism: u8,
        hash: H256,
    ) -> DispatchResult {
        ensure!(netuid != ROOT_NETUID, Error::<T>::CanNotSetRootNetworkWeights);
        Self::ensure_mechanism(netuid, mechanism)?;
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let uid = Uids::<T>::get(netuid, &hotkey).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        ensure!(
            Self::has_stake_for_weights(&hotkey, netuid),
            Error::<T>::NotEnoughStakeToSetWeights
        );
        let now = Self::block();
        ensure!(
            Self::passes_rate_limit(netuid, mechanism, uid, now),
            Error::<T>::CommittingWeightsTooFast
        );

        let index = Self::storage_index(netuid, mechanism);
        let epoch = Self::epoch_with_lookahead(netuid);
        let mut commits = WeightCommits::<T>::get(index, &hotkey).unwrap_or_default();
        commits.retain(|(_, committed, _, _)| Self::reveal_epoch(netuid, *committed) >= epoch);
        ensure!(commits.len() < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
        let epochs = RevealPeriodEpochs::<T>::get(netuid).saturating_add(1);
        let expiry = LastEpochBlock::<T>::get(netuid)
            .saturating_add(epochs.saturating_mul(u64::from(Tempo::<T>::get(netuid))));
        commits.push((hash, epoch, now, expiry));
        WeightCommits::<T>::insert(index, &hotkey, commits);
        Self::touch(index, uid, now);
        Self::deposit_event(Event::WeightsCommitted(hotkey, index, hash));
        Ok(())
    }

    /// Whether a reveal of `hash` would find its commit in time; the pool asks before the block
    /// does.
    pub(super) fn check_reveal(
        hotkey: &T::AccountId,
        netuid: u16,
        mechanism: u8,
        hash: H256,
    ) -> Result<(), Error<T>> {
        let commits = WeightCommits::<T>::get(Self::storage_index(netuid, mechanism), hotkey)
            .unwrap_or_default();
        ensure!(!commits.is_empty(), Error::<T>::NoWeightsCommitFound);
        let epoch = Self::epoch_with_lookahead(netuid);
        let found = commits.iter().find(|(committed, ..)| *committed == hash);
        let Some((_, commit_epoch, ..)) = found else {
            return Err(Error::<T>::InvalidRevealCommitHashNotMatch);
        };
        let reveal_epoch = Self::reveal_epoch(netuid, *commit_epoch);
        ensure!(epoch >= reveal_epoch, Error::<T>::RevealTooEarly);
        ensure!(epoch == reveal_epoch, Error::<T>::ExpiredWeightCommit);
        Ok(())
    }

    pub(super) fn do_reveal_weights(
        hotkey: T::AccountId,
        netuid: u16,
        mechanism: u8,
        uids: Vec<u16>,
        values: Vec<u16>,
        salt: Vec<u16>,
        version_key: u64,
    ) -> DispatchResult {
        ensure!(uids.len() == values.len(), Error::<T>::InputLengthsUnequal);
        Self::ensure_mechanism(netuid, mechanism)?;
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let index = Self::storage_index(netuid, mechanism);
        let hash = Self::commit_hash(&hotkey, index, &uids, &values, &salt, version_key);
        Self::check_reveal(&hotkey, netuid, mechanism, hash)?;
        // Revealing one commit drops the older ones too: they would overwrite newer weights.
        WeightCommits::<T>::mutate_exists(index, &hotkey, |entry| {
            let commits = entry.take().unwrap_or_default();
            let rest: Vec<_> =
                commits.into_iter().skip_while(|(other, ..)| *other != hash).skip(1).collect();
            *entry = (!rest.is_empty()).then_some(rest);
        });
        Self::store_weights(&hotkey, netuid, mechanism, uids, values, version_key, true)?;
        Self::deposit_event(Event::WeightsRevealed(hotkey, index, hash));
        Ok(())
    }
}
