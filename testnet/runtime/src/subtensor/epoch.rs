//! When a subnet's epoch is due, what it reads and what it writes.

use super::pallet::*;
use super::yuma;
use std::collections::BTreeMap;

impl<T: Config> Pallet<T> {
    /// Whether the subnet's epoch runs in block `now`: its tempo is over, or one was asked for
    /// earlier.
    pub(crate) fn epoch_is_due(netuid: u16, now: u64) -> bool {
        let tempo = u64::from(Tempo::<T>::get(netuid));
        let pending = PendingEpochAt::<T>::get(netuid);
        let asked = pending > 0 && now >= pending;
        let overdue = BlocksSinceLastStep::<T>::get(netuid) > tempo;
        tempo > 0
            && (asked || overdue || now.saturating_sub(LastEpochBlock::<T>::get(netuid)) >= tempo)
    }

    /// The epoch that the current block belongs to. In the block of an epoch that counts before it
    /// has run.
    pub(crate) fn epoch_with_lookahead(netuid: u16) -> u64 {
        let due = Self::epoch_is_due(netuid, Self::block());
        SubnetEpochIndex::<T>::get(netuid).saturating_add(u64::from(due))
    }

    /// Runs the epoch of every subnet whose epoch is due.
    pub(super) fn run_due_epochs() {
        let now = Self::block();
        let netuids: Vec<u16> = NetworksAdded::<T>::iter_keys().collect();
        for netuid in netuids {
            // One more than the tempo says that it is overdue, and no more is said.
            let most = u64::from(Tempo::<T>::get(netuid)).saturating_add(1);
            BlocksSinceLastStep::<T>::mutate(netuid, |blocks| {
                *blocks = blocks.saturating_add(1).min(most)
            });
            if Self::epoch_is_due(netuid, now) {
                Self::run_epoch(netuid, now);
            }
        }
    }

    fn run_epoch(netuid: u16, now: u64) {
        for mechanism in 0..MechanismCountCurrent::<T>::get(netuid) {
            let index = Self::storage_index(netuid, mechanism);
            let outcome = yuma::epoch(&Self::epoch_input(netuid, index, now));
            Incentive::<T>::insert(index, &outcome.incentive);
            for (uid, bonds) in (0_u16..).zip(&outcome.bonds) {
                Bonds::<T>::insert(index, uid, bonds);
            }
            // A subnet has one set of these; its first mechanism decides them.
            if mechanism == 0 {
                Active::<T>::insert(netuid, outcome.active);
                Consensus::<T>::insert(netuid, outcome.consensus);
                Dividends::<T>::insert(netuid, outcome.dividends);
                ValidatorTrust::<T>::insert(netuid, outcome.validator_trust);
                ValidatorPermit::<T>::insert(netuid, outcome.permits);
                Emission::<T>::insert(netuid, outcome.emission);
            }
        }
        LastEpochBlock::<T>::insert(netuid, now);
        LastMechansimStepBlock::<T>::insert(netuid, now);
        BlocksSinceLastStep::<T>::insert(netuid, 0);
        PendingEpochAt::<T>::remove(netuid);
        SubnetEpochIndex::<T>::mutate(netuid, |epoch| *epoch = epoch.saturating_add(1));
    }

    fn epoch_input(netuid: u16, index: u16, now: u64) -> yuma::Input {
        let permits = ValidatorPermit::<T>::get(netuid);
        let updates = LastUpdate::<T>::get(index);
        let commits = Self::oldest_commits(netuid, index);
        let neuron = |uid: u16| {
            let seat = usize::from(uid);
            yuma::NeuronInput {
                stake: TotalHotkeyAlpha::<T>::get(Keys::<T>::get(netuid, uid), netuid),
                permit: permits.get(seat).copied().unwrap_or(false),
                last_update: updates.get(seat).copied().unwrap_or(0),
                registered: BlockAtRegistration::<T>::get(netuid, uid),
                oldest_commit: commits.get(&uid).copied(),
                weights: Weights::<T>::get(index, uid),
                bonds: Bonds::<T>::get(index, uid),
            }
        };
        let tempo = u64::from(Tempo::<T>::get(netuid));
        yuma::Input {
            now,
            bonds_since: match LastMechansimStepBlock::<T>::get(netuid) {
                0 => now.saturating_sub(tempo),
                last => last.saturating_add(1),
            },
            activity_cutoff: u64::from(ActivityCutoff::<T>::get(netuid)),
            kappa: Kappa::<T>::get(netuid),
            bonds_moving_average: BondsMovingAverage::<T>::get(netuid),
            bonds_penalty: BondsPenalty::<T>::get(netuid),
            max_validators: MaxAllowedValidators::<T>::get(netuid),
            stake_threshold: StakeThreshold::<T>::get(),
            owner: Uids::<T>::get(netuid, SubnetOwnerHotkey::<T>::get(netuid)),
            neurons: (0..SubnetworkN::<T>::get(netuid)).map(neuron).collect(),
        }
    }

    /// Block of each uid's oldest commit that can still be revealed, hashes and timelocked vectors
    /// alike.
    fn oldest_commits(netuid: u16, index: u16) -> BTreeMap<u16, u64> {
        if !CommitRevealWeightsEnabled::<T>::get(netuid) {
            return BTreeMap::new();
        }
        let epoch = Self::epoch_with_lookahead(netuid);
        let open = |committed: u64| Self::reveal_epoch(netuid, committed) >= epoch;
        let hashes = WeightCommits::<T>::iter_prefix(index).flat_map(|(who, commits)| {
            let blocks = commits.into_iter().filter(|(_, committed, ..)| open(*committed));
            blocks.map(move |(_, _, block, _)| (who.clone(), block)).collect::<Vec<_>>()
        });
        let timelocked = TimelockedWeightCommits::<T>::iter_prefix(index)
            .filter(|(committed, _)| open(*committed))
            .flat_map(|(_, commits)| commits.into_iter().map(|(who, block, ..)| (who, block)));
        let mut oldest = BTreeMap::new();
        for (who, block) in hashes.chain(timelocked) {
            if let Some(uid) = Uids::<T>::get(netuid, who) {
                oldest
                    .entry(uid)
                    .and_modify(|known: &mut u64| *known = block.min(*known))
                    .or_insert(block);
            }
        }
        oldest
    }
}
