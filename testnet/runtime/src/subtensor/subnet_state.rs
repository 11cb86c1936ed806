//! A subnet's columns in one runtime call, as the Python client's metagraph asks for them.

use super::pallet::*;
use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;

/// A subnet's columns, one entry per uid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(missing_docs, reason = "fields carry the live chain's names")]
pub struct SubnetState<AccountId> {
    pub netuid: Compact<u16>,
    pub hotkeys: Vec<AccountId>,
    pub coldkeys: Vec<AccountId>,
    pub active: Vec<bool>,
    pub validator_permit: Vec<bool>,
    pub pruning_score: Vec<Compact<u16>>,
    pub last_update: Vec<Compact<u64>>,
    pub emission: Vec<Compact<u64>>,
    pub dividends: Vec<Compact<u16>>,
    pub incentives: Vec<Compact<u16>>,
    pub consensus: Vec<Compact<u16>>,
    pub trust: Vec<Compact<u16>>,
    pub rank: Vec<Compact<u16>>,
    pub block_at_registration: Vec<Compact<u64>>,
    pub alpha_stake: Vec<Compact<u64>>,
    pub tao_stake: Vec<Compact<u64>>,
    pub total_stake: Vec<Compact<u64>>,
    /// Always empty: nothing here remembers past epochs.
    pub emission_history: Vec<Vec<Compact<u64>>>,
}

impl<T: Config> Pallet<T> {
    /// The columns; `None` where there is no such subnet.
    pub(crate) fn subnet_state(netuid: u16) -> Option<SubnetState<T::AccountId>> {
        let whole = Self::metagraph(netuid, 0)?;
        Some(SubnetState {
            netuid: whole.netuid,
            hotkeys: whole.hotkeys,
            coldkeys: whole.coldkeys,
            active: whole.active,
            validator_permit: whole.validator_permit,
            pruning_score: whole.pruning_score,
            last_update: whole.last_update,
            emission: whole.emission,
            dividends: whole.dividends,
            incentives: whole.incentives,
            consensus: whole.consensus,
            trust: whole.trust,
            rank: whole.rank,
            block_at_registration: whole.block_at_registration,
            alpha_stake: whole.alpha_stake,
            tao_stake: whole.tao_stake,
            total_stake: whole.total_stake,
            emission_history: Vec::new(),
        })
    }
}
