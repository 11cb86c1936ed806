//! What the transaction pool refuses before a block is built, with the numbers clients know.

use super::pallet::*;
use crate::drand::{PulseSource, RoundNumber};
use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::{DispatchInfo, PostDispatchInfo};
use frame_support::traits::IsSubType;
use frame_support::weights::Weight;
use scale_info::TypeInfo;
use sp_core::H256;
use sp_runtime::traits::{
    AsSystemOriginSigner, DispatchInfoOf, DispatchOriginOf, Dispatchable, Implication,
    TransactionExtension, ValidateResult,
};
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionSource, TransactionValidityError, ValidTransaction,
};
use std::fmt;
use std::marker::PhantomData;

/// The number in `Custom error: N` of RPC error 1010.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InvalidCode {
    /// Stake below the threshold.
    StakeTooLow = 1,
    /// Weights or commit within the rate limit.
    RateLimit = 6,
    /// `serve_axon` by a hotkey that is not registered.
    NotRegisteredInNetwork = 10,
    /// `serve_axon` with an unusable address.
    InvalidAddress = 11,
    /// `serve_axon` within the rate limit.
    ServingRateLimit = 12,
    /// `serve_axon` with port 0.
    InvalidPort = 13,
    /// A timelocked commit for a round that is past.
    InvalidRevealRound = 15,
    /// A reveal without its commit.
    CommitNotFound = 16,
    /// A reveal outside its epoch.
    RevealTooEarly = 17,
    /// Uids and values differ in length.
    LengthsUnequal = 18,
    /// Weights or commit by a hotkey that has no uid on the subnet.
    UidNotFound = 19,
    /// Everything else.
    Other = 255,
}

impl From<InvalidCode> for TransactionValidityError {
    fn from(code: InvalidCode) -> Self {
        InvalidTransaction::Custom(code as u8).into()
    }
}

/// Refuses at the pool what would fail for stake, rate or lateness, so that nobody pays for a block
/// slot.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct SubtensorTransactionExtension<T: Config + Send + Sync>(PhantomData<T>);

impl<T: Config + Send + Sync> fmt::Debug for SubtensorTransactionExtension<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SubtensorTransactionExtension")
    }
}

impl<T: Config + Send + Sync> SubtensorTransactionExtension<T> {
    /// The only value there is.
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// Priority of the call, or the code it is refused with.
    fn judge(who: &T::AccountId, call: &Call<T>) -> Result<u64, InvalidCode> {
        match call {
            Call::set_weights { netuid, .. } => Self::judge_rate(who, *netuid, 0, true),
            Call::set_mechanism_weights { netuid, mecid, .. } => {
                Self::judge_rate(who, *netuid, *mecid, true)
            }
            Call::commit_weights { netuid, .. } => Self::judge_rate(who, *netuid, 0, false),
            Call::commit_mechanism_weights { netuid, mecid, .. } => {
                Self::judge_rate(who, *netuid, *mecid, false)
            }
            Call::reveal_weights { netuid, uids, values, salt, version_key } => {
                Self::judge_reveal(who, *netuid, 0, (uids, values, salt, *version_key))
            }
            Call::reveal_mechanism_weights { netuid, mecid, uids, values, salt, version_key } => {
                Self::judge_reveal(who, *netuid, *mecid, (uids, values, salt, *version_key))
            }
            Call::commit_timelocked_weights { netuid, reveal_round, .. }
            | Call::commit_timelocked_mechanism_weights { netuid, reveal_round, .. } => {
                Self::judge_timelocked(who, *netuid, *reveal_round)
            }
            Call::serve_axon { .. } => Self::judge_axon(who, call),
            _ => Ok(0),
        }
    }

    /// Vectors that waited longer come first.
    fn judge_rate(
        who: &T::AccountId,
        netuid: u16,
        mechanism: u8,
        plain: bool,
    ) -> Result<u64, InvalidCode> {
        if !Pallet::<T>::has_stake_for_weights(who, netuid) {
            return Err(InvalidCode::StakeTooLow);
        }
        // Where plain weights are refused as a kind, say that instead of the rate.
        if plain && CommitRevealWeightsEnabled::<T>::get(netuid) {
            return Ok(0);
        }
        let uid = Uids::<T>::get(netuid, who).ok_or(InvalidCode::UidNotFound)?;
        let now = Pallet::<T>::block();
        if !Pallet::<T>::passes_rate_limit(netuid, mechanism, uid, now) {
            return Err(InvalidCode::RateLimit);
        }
        let updates = LastUpdate::<T>::get(Pallet::<T>::storage_index(netuid, mechanism));
        Ok(now.saturating_sub(updates.get(usize::from(uid)).copied().unwrap_or(0)))
    }

    fn judge_reveal(
        who: &T::AccountId,
        netuid: u16,
        mechanism: u8,
        (uids, values, salt, version_key): (&[u16], &[u16], &[u16], u64),
    ) -> Result<u64, InvalidCode> {
        if uids.len() != values.len() {
            return Err(InvalidCode::LengthsUnequal);
        }
        let index = Pallet::<T>::storage_index(netuid, mechanism);
        let hash: H256 = Pallet::<T>::commit_hash(who, index, uids, values, salt, version_key);
        Pallet::<T>::check_reveal(who, netuid, mechanism, hash).map(|()| 0).map_err(|error| {
            match error {
                Error::NoWeightsCommitFound | Error::InvalidRevealCommitHashNotMatch => {
                    InvalidCode::CommitNotFound
                }
                Error::RevealTooEarly | Error::ExpiredWeightCommit => InvalidCode::RevealTooEarly,
                _ => InvalidCode::Other,
            }
        })
    }

    /// The rate is judged by the call alone, as on the live chain: one that is too fast is included
    /// and fails.
    fn judge_timelocked(
        who: &T::AccountId,
        netuid: u16,
        reveal_round: RoundNumber,
    ) -> Result<u64, InvalidCode> {
        if !Pallet::<T>::has_stake_for_weights(who, netuid) {
            return Err(InvalidCode::StakeTooLow);
        }
        if reveal_round < T::Drand::last_stored_round() {
            return Err(InvalidCode::InvalidRevealRound);
        }
        Ok(0)
    }

    fn judge_axon(who: &T::AccountId, call: &Call<T>) -> Result<u64, InvalidCode> {
        let Call::serve_axon {
            netuid,
            version,
            ip,
            port,
            ip_type,
            protocol,
            placeholder1,
            placeholder2,
        } = call
        else {
            return Ok(0);
        };
        let axon = super::AxonInfo {
            block: Pallet::<T>::block(),
            version: *version,
            ip: *ip,
            port: *port,
            ip_type: *ip_type,
            protocol: *protocol,
            placeholder1: *placeholder1,
            placeholder2: *placeholder2,
        };
        Pallet::<T>::check_axon(who, *netuid, &axon).map(|()| 0).map_err(|error| match error {
            Error::HotKeyNotRegisteredInNetwork => InvalidCode::NotRegisteredInNetwork,
            Error::InvalidIpType | Error::InvalidIpAddress => InvalidCode::InvalidAddress,
            Error::InvalidPort => InvalidCode::InvalidPort,
            Error::ServingRateLimitExceeded => InvalidCode::ServingRateLimit,
            _ => InvalidCode::Other,
        })
    }
}

impl<T: Config + Send + Sync> TransactionExtension<T::RuntimeCall>
    for SubtensorTransactionExtension<T>
where
    T::RuntimeCall:
        Dispatchable<Info = DispatchInfo, PostInfo = PostDispatchInfo> + IsSubType<Call<T>>,
    DispatchOriginOf<T::RuntimeCall>: AsSystemOriginSigner<T::AccountId> + Clone,
{
    const IDENTIFIER: &'static str = "SubtensorTransactionExtension";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    fn weight(&self, _call: &T::RuntimeCall) -> Weight {
        Weight::zero()
    }

    fn validate(
        &self,
        origin: DispatchOriginOf<T::RuntimeCall>,
        call: &T::RuntimeCall,
        _info: &DispatchInfoOf<T::RuntimeCall>,
        _len: usize,
        _self_implicit: Self::Implicit,
        _inherited_implication: &impl Implication,
        source: TransactionSource,
    ) -> ValidateResult<Self::Val, T::RuntimeCall> {
        let judged = match (origin.as_system_origin_signer(), call.is_sub_type()) {
            // In a block the call itself checks again and fails with a named error.
            (Some(who), Some(call)) if source != TransactionSource::InBlock => {
                Self::judge(who, call)?
            }
            _ => 0,
        };
        Ok((ValidTransaction { priority: judged, ..ValidTransaction::default() }, (), origin))
    }

    fn prepare(
        self,
        _val: Self::Val,
        _origin: &DispatchOriginOf<T::RuntimeCall>,
        _call: &T::RuntimeCall,
        _info: &DispatchInfoOf<T::RuntimeCall>,
        _len: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        Ok(())
    }
}
