//! The subnets a chain starts with.

use serde::{Deserialize, Serialize};

/// The live chain's defaults: epochs from a commit to its reveal.
pub(super) const REVEAL_PERIOD: u64 = 1;
/// Blocks a validator waits between two weight vectors.
pub(super) const WEIGHTS_RATE_LIMIT: u64 = 100;
/// Blocks a neuron waits between two `serve_axon`.
pub(super) const SERVING_RATE_LIMIT: u64 = 50;
/// Blocks a new neuron cannot be replaced.
pub(super) const IMMUNITY_PERIOD: u16 = 4096;
/// Price of a seat, rao.
pub(super) const BURN: u64 = 100_000_000;

/// A subnet at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetGenesis<AccountId> {
    /// Its id; 0 is the root network and refused.
    pub netuid: u16,
    /// Coldkey of the owner.
    pub owner_coldkey: AccountId,
    /// Hotkey of the owner; incentive that goes to its uid is withheld.
    pub owner_hotkey: AccountId,
    /// Blocks between two epochs.
    pub tempo: u16,
    /// Whether weights must be committed first.
    #[serde(default)]
    pub commit_reveal: bool,
    /// Epochs from a commit to its reveal.
    #[serde(default = "default_reveal_period")]
    pub reveal_period: u64,
    /// Blocks a validator waits between two weight vectors.
    #[serde(default = "default_weights_rate_limit")]
    pub weights_rate_limit: u64,
    /// Lowest version key accepted; 0 accepts all.
    #[serde(default)]
    pub weights_version_key: u64,
    /// Blocks a neuron waits between two `serve_axon`.
    #[serde(default = "default_serving_rate_limit")]
    pub serving_rate_limit: u64,
    /// Seats.
    #[serde(default = "default_max_allowed_uids")]
    pub max_allowed_uids: u16,
    /// Most validators that get a permit at an epoch.
    #[serde(default = "default_max_allowed_validators")]
    pub max_allowed_validators: u16,
    /// Blocks a new neuron cannot be replaced.
    #[serde(default = "default_immunity_period")]
    pub immunity_period: u16,
    /// Price of a seat, rao.
    #[serde(default = "default_burn")]
    pub burn: u64,
    /// Neurons in uid order.
    pub neurons: Vec<NeuronGenesis<AccountId>>,
}

impl<AccountId> SubnetGenesis<AccountId> {
    /// A subnet with the chain's defaults in all that is not said here.
    pub fn new(
        netuid: u16,
        owner_coldkey: AccountId,
        owner_hotkey: AccountId,
        tempo: u16,
        neurons: Vec<NeuronGenesis<AccountId>>,
    ) -> Self {
        Self {
            netuid,
            owner_coldkey,
            owner_hotkey,
            tempo,
            commit_reveal: false,
            reveal_period: default_reveal_period(),
            weights_rate_limit: default_weights_rate_limit(),
            weights_version_key: 0,
            serving_rate_limit: default_serving_rate_limit(),
            max_allowed_uids: default_max_allowed_uids(),
            max_allowed_validators: default_max_allowed_validators(),
            immunity_period: default_immunity_period(),
            burn: default_burn(),
            neurons,
        }
    }
}

/// A neuron at genesis; its uid is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeuronGenesis<AccountId> {
    /// Hotkey.
    pub hotkey: AccountId,
    /// Coldkey that owns it.
    pub coldkey: AccountId,
    /// Stake on this subnet, rao.
    #[serde(default)]
    pub stake: u64,
    /// Whether it may set weights before the first epoch decides.
    #[serde(default)]
    pub validator_permit: bool,
}

fn default_reveal_period() -> u64 {
    REVEAL_PERIOD
}
fn default_weights_rate_limit() -> u64 {
    WEIGHTS_RATE_LIMIT
}
fn default_serving_rate_limit() -> u64 {
    SERVING_RATE_LIMIT
}
fn default_max_allowed_uids() -> u16 {
    256
}
fn default_max_allowed_validators() -> u16 {
    64
}
fn default_immunity_period() -> u16 {
    IMMUNITY_PERIOD
}
fn default_burn() -> u64 {
    BURN
}
