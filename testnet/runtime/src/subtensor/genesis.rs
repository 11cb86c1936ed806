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

/// Mechanisms of a subnet.
const MECHANISMS: u8 = 1;

/// Seats of a local subnet, and permits at an epoch: fewer than the live chain's.
const SEATS: u16 = 256;
const PERMITS: u16 = 64;

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
    /// Its mechanisms, each with weights of its own; one or two, as on the live chain, or more.
    #[serde(default = "byte::<MECHANISMS>")]
    pub mechanisms: u8,
    /// Whether weights must be committed first.
    #[serde(default)]
    pub commit_reveal: bool,
    /// Epochs from a commit to its reveal.
    #[serde(default = "long::<REVEAL_PERIOD>")]
    pub reveal_period: u64,
    /// Blocks a validator waits between two weight vectors.
    #[serde(default = "long::<WEIGHTS_RATE_LIMIT>")]
    pub weights_rate_limit: u64,
    /// Lowest version key accepted; 0 accepts all.
    #[serde(default)]
    pub weights_version_key: u64,
    /// Blocks a neuron waits between two `serve_axon`.
    #[serde(default = "long::<SERVING_RATE_LIMIT>")]
    pub serving_rate_limit: u64,
    /// Seats.
    #[serde(default = "short::<SEATS>")]
    pub max_allowed_uids: u16,
    /// Most validators that get a permit at an epoch.
    #[serde(default = "short::<PERMITS>")]
    pub max_allowed_validators: u16,
    /// Blocks a new neuron cannot be replaced.
    #[serde(default = "short::<IMMUNITY_PERIOD>")]
    pub immunity_period: u16,
    /// Price of a seat, rao.
    #[serde(default = "long::<BURN>")]
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
            mechanisms: MECHANISMS,
            commit_reveal: false,
            reveal_period: REVEAL_PERIOD,
            weights_rate_limit: WEIGHTS_RATE_LIMIT,
            weights_version_key: 0,
            serving_rate_limit: SERVING_RATE_LIMIT,
            max_allowed_uids: SEATS,
            max_allowed_validators: PERMITS,
            immunity_period: IMMUNITY_PERIOD,
            burn: BURN,
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

/// A default as serde takes it.
fn long<const NUMBER: u64>() -> u64 {
    NUMBER
}

/// The same of 8 bits.
fn byte<const NUMBER: u8>() -> u8 {
    NUMBER
}

/// The same of 16 bits.
fn short<const NUMBER: u16>() -> u16 {
    NUMBER
}
