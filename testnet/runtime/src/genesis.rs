//! The state a chain starts with, as a JSON document describes it.

use crate::{
    AccountId, Balance, EXISTENTIAL_DEPOSIT, RuntimeGenesisConfig, SubnetGenesis, aura, subtensor,
};
use frame_support::traits::Get;
use serde::{Deserialize, Serialize};
use sp_core::storage::Storage;
use sp_runtime::BuildStorage;
use std::collections::{BTreeMap, BTreeSet};

/// Raw storage key under which the chain's name lies, so that two chains that differ in name alone
/// differ in hash.
pub(crate) const CHAIN_NAME_KEY: &[u8] = b":leoma:chain_name";

/// What every account named in a subnet owns at least at genesis, rao: one token.
const POCKET_MONEY: Balance = 1_000_000_000;

/// Most mechanisms of a subnet: their indices have 16 bits.
const MAX_MECHANISMS: u8 = 16;

/// Most epochs from a commit to its reveal, as on the live chain.
const MAX_REVEAL_PERIOD: u64 = 100;

/// What a chain starts with. Accounts are SS58 addresses in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Genesis {
    /// Any name; part of the genesis hash.
    pub name: String,
    /// Subnets with their neurons.
    pub subnets: Vec<SubnetGenesis<AccountId>>,
    /// Balances beyond the one token that every account named in a subnet gets.
    pub balances: Vec<Endowment>,
    /// Stake below which a hotkey may not set weights, rao.
    pub stake_threshold: u64,
    /// Whether `serve_axon` takes 127.0.0.1 and ::1, which the live chain refuses.
    pub loopback_axons: bool,
    /// The version that timelocked commits of weights must name.
    pub commit_reveal_version: u16,
    /// Milliseconds of a block, which clients read to foretell when a future block will be; the
    /// live chain's 12 000 where nothing is said. The node's own clock is set when it starts.
    pub slot_milliseconds: u64,
}

/// Balance of one account at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endowment {
    /// Account.
    pub account: AccountId,
    /// Free balance, rao.
    pub free: Balance,
}

impl Default for Genesis {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            subnets: Vec::new(),
            balances: Vec::new(),
            stake_threshold: 0,
            loopback_axons: true,
            commit_reveal_version: subtensor::DefaultCommitRevealVersion::get(),
            slot_milliseconds: aura::DefaultSlotMilliseconds::get(),
        }
    }
}

/// A genesis that describes no chain.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Netuid 0 is the root network.
    #[error("genesis: subnet 0 is the root network and cannot be founded")]
    Root,
    /// One netuid, two subnets.
    #[error("genesis: subnet {0} is listed twice")]
    DuplicateSubnet(u16),
    /// One hotkey, two uids.
    #[error("genesis: hotkey {hotkey} is listed twice on subnet {netuid}")]
    DuplicateHotkey { netuid: u16, hotkey: AccountId },
    /// One hotkey, two owners.
    #[error("genesis: hotkey {hotkey} has two coldkeys")]
    TwoColdkeys { hotkey: AccountId },
    /// More neurons than seats.
    #[error("genesis: subnet {netuid} has {neurons} neurons but max_allowed_uids is {seats}")]
    TooManyNeurons { netuid: u16, neurons: usize, seats: u16 },
    /// Commits that are never revealed, or at once.
    #[error(
        "genesis: subnet {netuid} has a reveal period of {period} epochs, not 1 to \
         {MAX_REVEAL_PERIOD}"
    )]
    RevealPeriod { netuid: u16, period: u64 },
    /// No mechanism, or more than the chain has room for.
    #[error("genesis: subnet {netuid} has {mechanisms} mechanisms, not 1 to {MAX_MECHANISMS}")]
    Mechanisms { netuid: u16, mechanisms: u8 },
    /// Less than an account must hold.
    #[error(
        "genesis: balance of {account} is below the existential deposit of \
         {EXISTENTIAL_DEPOSIT} rao"
    )]
    BalanceTooLow { account: AccountId },
    /// One account, two balances.
    #[error("genesis: balance of {account} is listed twice")]
    DuplicateBalance { account: AccountId },
    /// The runtime could not build its state.
    #[error("genesis: building the state failed: {0}")]
    Build(String),
}

impl Genesis {
    /// The state as key-value pairs.
    ///
    /// # Errors
    /// Names the first subnet, hotkey or account that contradicts itself.
    pub fn storage(&self) -> Result<Storage, GenesisError> {
        self.check_subnets()?;
        let config = RuntimeGenesisConfig {
            balances: pallet_balances::GenesisConfig {
                balances: self.endowments()?,
                dev_accounts: None,
            },
            aura: aura::GenesisConfig {
                slot_milliseconds: self.slot_milliseconds,
                ..Default::default()
            },
            subtensor_module: subtensor::GenesisConfig {
                subnets: self.subnets.clone(),
                stake_threshold: self.stake_threshold,
                loopback_axons: self.loopback_axons,
                commit_reveal_version: self.commit_reveal_version,
            },
            ..RuntimeGenesisConfig::default()
        };
        let mut storage = config.build_storage().map_err(GenesisError::Build)?;
        storage.top.insert(CHAIN_NAME_KEY.to_vec(), self.name.clone().into_bytes());
        Ok(storage)
    }

    fn check_subnets(&self) -> Result<(), GenesisError> {
        let mut netuids = BTreeSet::new();
        let mut owners = BTreeMap::new();
        for subnet in &self.subnets {
            let netuid = subnet.netuid;
            if netuid == subtensor::ROOT_NETUID {
                return Err(GenesisError::Root);
            }
            if !netuids.insert(netuid) {
                return Err(GenesisError::DuplicateSubnet(netuid));
            }
            let (neurons, seats) = (subnet.neurons.len(), subnet.max_allowed_uids);
            if neurons > usize::from(seats) {
                return Err(GenesisError::TooManyNeurons { netuid, neurons, seats });
            }
            let period = subnet.reveal_period;
            if !(1..=MAX_REVEAL_PERIOD).contains(&period) {
                return Err(GenesisError::RevealPeriod { netuid, period });
            }
            let mechanisms = subnet.mechanisms;
            if !(1..=MAX_MECHANISMS).contains(&mechanisms) {
                return Err(GenesisError::Mechanisms { netuid, mechanisms });
            }
            let mut hotkeys = BTreeSet::new();
            for neuron in &subnet.neurons {
                let hotkey = neuron.hotkey.clone();
                if !hotkeys.insert(&neuron.hotkey) {
                    return Err(GenesisError::DuplicateHotkey { netuid, hotkey });
                }
                if owners
                    .insert(&neuron.hotkey, &neuron.coldkey)
                    .is_some_and(|other| *other != neuron.coldkey)
                {
                    return Err(GenesisError::TwoColdkeys { hotkey });
                }
            }
        }
        Ok(())
    }

    fn endowments(&self) -> Result<Vec<(AccountId, Balance)>, GenesisError> {
        let mut listed = BTreeMap::new();
        for Endowment { account, free } in &self.balances {
            if *free < EXISTENTIAL_DEPOSIT {
                return Err(GenesisError::BalanceTooLow { account: account.clone() });
            }
            if listed.insert(account.clone(), *free).is_some() {
                return Err(GenesisError::DuplicateBalance { account: account.clone() });
            }
        }
        for subnet in &self.subnets {
            let neurons =
                subnet.neurons.iter().flat_map(|neuron| [&neuron.hotkey, &neuron.coldkey]);
            for account in neurons.chain([&subnet.owner_coldkey, &subnet.owner_hotkey]) {
                listed.entry(account.clone()).or_insert(POCKET_MONEY);
            }
        }
        Ok(listed.into_iter().collect())
    }
}
