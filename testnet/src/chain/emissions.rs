//! `leoma-testnet chain emissions`: what everyone on a subnet earned in its last epoch, read over
//! RPC.

use anyhow::Context;
use codec::{Decode, Encode};
use leoma_protocol::Hotkey;
use node_subtensor_runtime::AccountId;
use node_subtensor_runtime::subtensor::metagraph::SelectiveMetagraph;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use subxt::rpcs::{RpcClient, rpc_params};

/// Fields of the metagraph that are read: block, block of the last epoch, hotkeys, permits,
/// updates, and what was earned.
const FIELDS: [u16; 8] = [7, 9, 52, 57, 59, 60, 61, 62];
/// What all emissions of an epoch add up to, but for rounding.
const WHOLE: u64 = 1_000_000_000;

/// Prints what everyone on a subnet earned in its last epoch.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct EmissionsArgs {
    /// The chain, e.g. ws://127.0.0.1:9944; `leoma-testnet chain` prints it.
    #[arg(long)]
    url: String,
    /// The subnet.
    #[arg(long)]
    netuid: u16,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What everyone on a subnet earned in its last epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emissions {
    /// The subnet.
    pub netuid: u16,
    /// The block at which this was read.
    pub block: u64,
    /// The block of the epoch; 0 where there was none yet.
    pub epoch_block: u64,
    /// In the order of their uids.
    pub neurons: Vec<NeuronEmission>,
}

/// What one neuron earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeuronEmission {
    /// Its place on the subnet.
    pub uid: u16,
    /// Who sits there.
    pub hotkey: Hotkey,
    /// Share of what miners earn, parts of 65535.
    pub incentive: u16,
    /// Share of what validators earn, parts of 65535.
    pub dividends: u16,
    /// Share of everything, parts of 10⁹.
    pub emission: u64,
    /// Whether it may set weights.
    pub validator_permit: bool,
    /// Block of its last weights or commit.
    pub last_update: u64,
}

/// Why emissions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EmissionsError {
    /// The node did not answer, or with an error.
    #[error("reading emissions: {0}")]
    Rpc(#[from] subxt::rpcs::Error),
    /// The answer is not hexadecimal.
    #[error("reading emissions: {0}")]
    Hex(#[from] hex::FromHexError),
    /// The answer is not a metagraph of this runtime.
    #[error("reading emissions: {0}")]
    Answer(#[from] codec::Error),
    /// The subnet does not exist.
    #[error("subnet {0} does not exist on this chain")]
    NoSubnet(u16),
}

impl EmissionsArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let rpc = RpcClient::from_insecure_url(&self.url).await;
        let rpc = rpc.with_context(|| format!("connecting to {}", self.url))?;
        let emissions = Emissions::read(&rpc, self.netuid).await?;
        let text =
            if self.json { serde_json::to_string_pretty(&emissions)? } else { emissions.table() };
        println!("{}", text.trim_end());
        Ok(())
    }
}

impl Emissions {
    /// Reads the newest block of a chain with this workspace's runtime.
    ///
    /// # Errors
    /// When the node does not answer or the subnet does not exist.
    pub async fn read(rpc: &RpcClient, netuid: u16) -> Result<Self, EmissionsError> {
        let arguments = format!("0x{}", hex::encode((netuid, FIELDS.to_vec()).encode()));
        let params = rpc_params!["SubnetInfoRuntimeApi_get_selective_metagraph", arguments];
        let answer: String = rpc.request("state_call", params).await?;
        let bytes = hex::decode(answer.trim_start_matches("0x"))?;
        let metagraph = Option::<SelectiveMetagraph<AccountId>>::decode(&mut &bytes[..])?;
        Ok(Self::of(metagraph.ok_or(EmissionsError::NoSubnet(netuid))?))
    }

    fn of(metagraph: SelectiveMetagraph<AccountId>) -> Self {
        let hotkeys = metagraph.hotkeys.unwrap_or_default();
        let (permits, updates) = (
            metagraph.validator_permit.unwrap_or_default(),
            metagraph.last_update.unwrap_or_default(),
        );
        let (incentives, dividends) =
            (metagraph.incentives.unwrap_or_default(), metagraph.dividends.unwrap_or_default());
        let emissions = metagraph.emission.unwrap_or_default();
        let neuron = |(uid, hotkey): (u16, AccountId)| {
            let at = usize::from(uid);
            NeuronEmission {
                uid,
                hotkey: Hotkey::from_bytes(hotkey.into()),
                incentive: incentives.get(at).map_or(0, |part| part.0),
                dividends: dividends.get(at).map_or(0, |part| part.0),
                emission: emissions.get(at).map_or(0, |part| part.0),
                validator_permit: permits.get(at).copied().unwrap_or(false),
                last_update: updates.get(at).map_or(0, |block| block.0),
            }
        };
        Self {
            netuid: metagraph.netuid.0,
            block: metagraph.block.map_or(0, |block| block.0),
            epoch_block: metagraph.last_step.map_or(0, |block| block.0),
            neurons: (0..).zip(hotkeys).map(neuron).collect(),
        }
    }

    /// What the neuron on a uid earned.
    pub(crate) fn of_uid(&self, uid: u16) -> Option<&NeuronEmission> {
        self.neurons.iter().find(|neuron| neuron.uid == uid)
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let mut text = match self.epoch_block {
            0 => format!("subnet {} at block {}: no epoch yet\n", self.netuid, self.block),
            epoch => {
                format!("subnet {} at block {}: epoch of block {epoch}\n", self.netuid, self.block)
            }
        };
        let _ = writeln!(
            text,
            "{:>4}  {:<48} {:>6} {:>10} {:>10} {:>10} {:>11}",
            "uid", "hotkey", "permit", "incentive", "dividends", "emission", "last update"
        );
        for neuron in &self.neurons {
            let of_parts = |parts: u16| percent(u64::from(parts), u64::from(u16::MAX));
            let _ = writeln!(
                text,
                "{:>4}  {:<48} {:>6} {:>10} {:>10} {:>10} {:>11}",
                neuron.uid,
                neuron.hotkey.to_string(),
                if neuron.validator_permit { "yes" } else { "no" },
                of_parts(neuron.incentive),
                of_parts(neuron.dividends),
                neuron.share(),
                neuron.last_update
            );
        }
        text
    }
}

impl NeuronEmission {
    /// Its share of everything as a table shows it.
    pub(crate) fn share(&self) -> String {
        percent(self.emission, WHOLE)
    }
}

/// A share with two digits after the point, rounded to the nearest.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = (u128::from(part) * 10_000 + u128::from(whole) / 2) / u128::from(whole);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emissions(epoch_block: u64) -> Emissions {
        let neuron = NeuronEmission {
            uid: 3,
            hotkey: Hotkey::from_bytes([3; 32]),
            incentive: u16::MAX,
            dividends: 0,
            emission: 499_999_999,
            validator_permit: false,
            last_update: 17,
        };
        Emissions { netuid: 99, block: 400, epoch_block, neurons: vec![neuron] }
    }

    #[test]
    fn the_table_shows_shares_and_says_where_there_was_no_epoch() {
        let table = emissions(360).table();
        assert!(
            table.contains("epoch of block 360")
                && table.contains("100.00 %")
                && table.contains("50.00 %"),
            "{table}"
        );
        assert!(emissions(0).table().contains("no epoch yet"));
        assert_eq!(percent(1, 3), "33.33 %");
    }

    #[test]
    fn the_json_has_the_promised_names() {
        let json = serde_json::to_value(emissions(360)).unwrap();
        assert_eq!(json["epoch_block"], 360);
        let names = [
            "uid",
            "hotkey",
            "incentive",
            "dividends",
            "emission",
            "validator_permit",
            "last_update",
        ];
        for name in names {
            assert!(json["neurons"][0].get(name).is_some(), "{name}");
        }
    }
}
