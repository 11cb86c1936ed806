//! Revealing timelocked fields of commitments once the pulses that open them are there.

use super::pallet::*;
use super::{CommitmentInfo, Data, MAX_REVEALED};
use crate::drand::{PulseSource, timelock};
use frame_support::BoundedVec;
use sp_runtime::traits::UniqueSaturatedInto;

/// A timelocked field after a look at the beacon.
enum Field {
    /// It stays as it is.
    Kept(Data),
    /// It opened.
    Revealed(Vec<u8>),
    /// Its pulse is there and does not open it, or it is empty.
    Failed(Data),
}

impl<T: Config> Pallet<T> {
    /// Looks at every commitment that has a timelocked field. A field that its pulse opens leaves
    /// the commitment, and a commitment without fields is removed; as on the live chain, a field
    /// that does not open stays for good, as one that failed.
    pub(super) fn reveal_timelocked() {
        for (netuid, who) in TimelockedIndex::<T>::get() {
            let Some(mut registration) = CommitmentOf::<T>::get(netuid, &who) else {
                TimelockedIndex::<T>::mutate(|index| index.remove(&(netuid, who)));
                continue;
            };
            let mut is_changed = false;
            let mut kept = Vec::new();
            for field in registration.info.fields.into_iter().map(Self::look_at) {
                match field {
                    Field::Kept(data) => kept.push(data),
                    Field::Revealed(bytes) => {
                        Self::note_revealed(netuid, &who, bytes);
                        is_changed = true;
                    }
                    Field::Failed(data) => {
                        kept.push(data);
                        is_changed = true;
                    }
                }
            }
            if !is_changed {
                continue;
            }
            if kept.is_empty() {
                CommitmentOf::<T>::remove(netuid, &who);
            } else {
                registration.info = CommitmentInfo { fields: BoundedVec::truncate_from(kept) };
                CommitmentOf::<T>::insert(netuid, &who, &registration);
            }
            Self::index_timelocked(netuid, who);
        }
    }

    fn look_at(data: Data) -> Field {
        let Data::TimelockEncrypted { encrypted, reveal_round } = data else {
            return Field::Kept(data);
        };
        match T::Drand::signature(reveal_round) {
            None => Field::Kept(Data::TimelockEncrypted { encrypted, reveal_round }),
            Some(signature) => match timelock::open(&encrypted, &signature) {
                Ok(bytes) if !bytes.is_empty() => Field::Revealed(bytes),
                _ => Field::Failed(Data::TimelockRevealFailed { encrypted, reveal_round }),
            },
        }
    }

    fn note_revealed(netuid: u16, who: &T::AccountId, bytes: Vec<u8>) {
        let block: u64 = frame_system::Pallet::<T>::block_number().unique_saturated_into();
        let mut revealed = RevealedCommitments::<T>::get(netuid, who).unwrap_or_default();
        revealed.push((bytes, block));
        let surplus = revealed.len().saturating_sub(MAX_REVEALED);
        revealed.drain(..surplus);
        RevealedCommitments::<T>::insert(netuid, who, revealed);
        Self::deposit_event(Event::CommitmentRevealed { netuid, who: who.clone() });
    }

    /// Brings the index of timelocked commitments up to date with this one.
    pub(super) fn index_timelocked(netuid: u16, who: T::AccountId) {
        let timelocked = CommitmentOf::<T>::get(netuid, &who).is_some_and(|stored| {
            stored.info.fields.iter().any(|field| matches!(field, Data::TimelockEncrypted { .. }))
        });
        let entry = (netuid, who);
        if TimelockedIndex::<T>::get().contains(&entry) != timelocked {
            TimelockedIndex::<T>::mutate(|index| {
                if timelocked { index.insert(entry) } else { index.remove(&entry) }
            });
        }
    }
}
