//! Everything about a subnet that follows from its options and seed, before anything runs.

use std::path::Path;

use serde_json::{Value, json};

use super::Result;
use super::accounts::{Account, mesh_key};
use super::mechanism::Mechanism;
use super::options::Options;
use super::played::Played;
use super::weights::WeightMode;
use crate::axons::{Dancer, Place as Worth, dancers};
use crate::forecasters::{self, Forecaster};
use crate::miners::{Role, cast};
use crate::seed::Seed;
use crate::services::MinerEntry;
use crate::storage::{BucketKeys, KeyPair};

/// The subnet's number.
pub const NETUID: u16 = 99;
/// Stake of each validator, rao: 10 000 of the subnet's token.
const VALIDATOR_STAKE: u64 = 10_000_000_000_000;
/// The source bucket's name.
const SOURCE_BUCKET: &str = "leoma-source";
/// The spare bucket's name.
const SPARE_BUCKET: &str = "leoma-spare";

/// A bucket whose keys follow from the seed.
fn bucket(seed: &Seed, name: &str) -> BucketKeys {
    let pair = |kind: &str| KeyPair {
        access: seed.hex(&format!("{kind}-access/{name}"))[..32].to_owned(),
        secret: seed.hex(&format!("{kind}-secret/{name}")),
    };
    BucketKeys { bucket: name.to_owned(), write: pair("write"), read: pair("read") }
}

/// A validator before it runs.
#[derive(Clone, Debug)]
pub struct ValidatorPlan {
    /// Its keys on the chain.
    pub account: Account,
    /// Its place on the subnet.
    pub uid: u16,
    /// Its own bucket.
    pub bucket: BucketKeys,
    /// Its mesh key, hexadecimal.
    pub mesh_key: String,
    /// Its peer id.
    pub peer_id: Option<libp2p::PeerId>,
}

/// Where a validator serves one mechanism.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Of its folder and log.
    pub(super) name: String,
    /// Its own bucket.
    pub(super) bucket: BucketKeys,
    /// Its mesh key, hexadecimal.
    pub(super) mesh_key: String,
    /// Its peer id.
    pub(super) peer_id: Option<libp2p::PeerId>,
}

/// A miner before it runs.
#[derive(Clone, Debug)]
pub struct MinerPlan {
    /// Its keys on the chain.
    pub account: Account,
    /// Its place on the subnet.
    pub uid: u16,
    /// Its entry in the services' configuration.
    pub entry: MinerEntry,
    /// Its kind on a subnet whose miners are asked through their axons.
    pub dancer: Option<Dancer>,
    /// Its kind on a subnet whose miners forecast a price.
    pub forecaster: Option<Forecaster>,
}

impl MinerPlan {
    /// What it is.
    pub const fn played(&self) -> Played {
        match (self.dancer, self.forecaster) {
            (Some(dancer), _) => Played::Motion(dancer),
            (None, Some(forecaster)) => Played::Oracle(forecaster),
            (None, None) => Played::Video(self.entry.role),
        }
    }
}

/// A whole subnet before it runs.
#[derive(Clone, Debug)]
pub struct SubnetPlan {
    /// The seed that everything is drawn from.
    pub seed: Seed,
    /// The subnet's owner, uid 0.
    pub owner: Account,
    /// Validators, uids from 1.
    pub validators: Vec<ValidatorPlan>,
    /// Miners in the order in which they commit.
    pub miners: Vec<MinerPlan>,
    /// The bucket of source clips.
    pub source: BucketKeys,
    /// A bucket that no honest validator uses.
    pub spare: BucketKeys,
    /// How weights are set.
    pub weights: WeightMode,
    /// Milliseconds of a block.
    pub block_time: u64,
    /// Blocks per task.
    pub interval: u64,
    /// What the validators serve.
    pub mechanisms: Vec<Mechanism>,
}

impl SubnetPlan {
    /// The subnet of these options.
    pub fn draw(options: &Options) -> Self {
        let seed = Seed::new(options.seed.clone());
        let count = u16::try_from(options.validators).unwrap_or(u16::MAX);
        let validators = (1..=count).map(|uid| validator(&seed, uid)).collect();
        let mut miners = miners(&seed, options.miners, count + 1);
        if options.mechanisms.contains(&Mechanism::Oracle) {
            let kinds = forecasters::cast(&seed, options.miners);
            for (miner, forecaster) in miners.iter_mut().zip(kinds) {
                miner.forecaster = Some(forecaster);
            }
        }
        if options.mechanisms.contains(&Mechanism::Motion) {
            for (miner, dancer) in miners.iter_mut().zip(dancers(&seed, options.miners)) {
                miner.dancer = Some(dancer);
            }
        }
        let owner = Account::draw(&seed, "owner");
        let [source, spare] = [SOURCE_BUCKET, SPARE_BUCKET].map(|name| bucket(&seed, name));
        let Options { weights, block_time, interval, .. } = *options;
        let mechanisms = options.mechanisms.clone();
        Self {
            seed,
            owner,
            validators,
            miners,
            source,
            spare,
            weights,
            block_time,
            interval,
            mechanisms,
        }
    }

    /// Where a validator serves a mechanism: the first one of the subnet at the validator's own
    /// place, each other at one whose names and keys follow from the mechanism's.
    pub(super) fn place(&self, validator: &ValidatorPlan, mechanism: Mechanism) -> Place {
        let name = &validator.account.wallet;
        if self.mechanisms.first() == Some(&mechanism) {
            return Place {
                name: name.clone(),
                bucket: validator.bucket.clone(),
                mesh_key: validator.mesh_key.clone(),
                peer_id: validator.peer_id,
            };
        }
        let name = format!("{name}-{mechanism}");
        let (mesh_key, peer_id) = mesh_key(&self.seed, &name);
        Place { bucket: bucket(&self.seed, &format!("leoma-{name}")), name, mesh_key, peer_id }
    }

    /// The places of all validators for a mechanism.
    pub(super) fn places(&self, mechanism: Mechanism) -> Vec<Place> {
        self.validators.iter().map(|validator| self.place(validator, mechanism)).collect()
    }

    /// Whether miners are asked through their axons, and not through Chutes.
    pub(super) fn asks_axons(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.asks_axons())
    }

    /// The miner that must win.
    pub(crate) fn expected_winner(&self) -> Option<&MinerPlan> {
        let wins = |miner: &&MinerPlan| match miner.played() {
            Played::Video(role) => role == Role::Good,
            Played::Motion(dancer) => dancer.place() == Worth::First,
            Played::Oracle(forecaster) => forecaster == Forecaster::Oracle,
        };
        self.miners.iter().find(wins)
    }

    /// Writes the wallets of everyone on the subnet.
    pub(super) fn write_wallets(&self, folder: &Path) -> Result<()> {
        let validators = self.validators.iter().map(|validator| &validator.account);
        let miners = self.miners.iter().map(|miner| &miner.account);
        validators.chain(miners).chain([&self.owner]).try_for_each(|one| one.write_wallet(folder))
    }

    /// Everyone on the subnet in the order of their uids.
    fn neurons(&self) -> Vec<Value> {
        let neuron = |account: &Account, stake: u64| {
            json!({
                "hotkey": account.hotkey,
                "coldkey": account.coldkey,
                "stake": stake,
                "validator_permit": stake > 0,
            })
        };
        let mut miners: Vec<_> = self.miners.iter().collect();
        miners.sort_by_key(|miner| miner.uid);
        let owner = std::iter::once(neuron(&self.owner, 0));
        let validators =
            self.validators.iter().map(|validator| neuron(&validator.account, VALIDATOR_STAKE));
        owner
            .chain(validators)
            .chain(miners.into_iter().map(|miner| neuron(&miner.account, 0)))
            .collect()
    }

    /// The chain's first state, as `leoma-testnet chain` reads it.
    pub fn genesis(&self) -> Value {
        json!({
            "name": format!("local-{}", &self.seed.hex("chain")[..8]),
            "slot_milliseconds": self.block_time,
            "commit_reveal_version": self.weights.commit_reveal_version(),
            "subnets": [{
                "netuid": NETUID,
                "owner_coldkey": self.owner.coldkey,
                "owner_hotkey": self.owner.hotkey,
                "tempo": self.weights.tempo(),
                "commit_reveal": self.weights.commits(),
                // Ids up to the highest one that is served.
                "mechanisms": self.mechanisms.iter().map(|one| one.mecid() + 1).max().unwrap_or(1),
                "neurons": self.neurons(),
            }],
        })
    }
}

fn validator(seed: &Seed, uid: u16) -> ValidatorPlan {
    let name = format!("validator-{uid}");
    let (key, peer_id) = mesh_key(seed, &name);
    let bucket = bucket(seed, &format!("leoma-{name}"));
    ValidatorPlan { account: Account::draw(seed, &name), uid, bucket, mesh_key: key, peer_id }
}

/// Miners in the order in which they commit. Names, uids and addresses are drawn, so that none of
/// them tells a role.
fn miners(seed: &Seed, count: usize, first_uid: u16) -> Vec<MinerPlan> {
    let places =
        seed.shuffled("miner-uids", (0..u16::try_from(count).unwrap_or(u16::MAX)).collect());
    let mut miners: Vec<MinerPlan> = Vec::with_capacity(count);
    for (role, place) in cast(seed, count).into_iter().zip(places) {
        let slug = format!("miner-{}", place + 1);
        let account = Account::draw(seed, &slug);
        let own: Vec<String> =
            (0..3).map(|part| seed.hex(&format!("weights/{slug}/{part}"))).collect();
        let copied = miners
            .iter()
            .find(|miner| miner.entry.role == Role::Good)
            .map(|m| m.entry.weights_sha256.clone());
        let weights_sha256 = if role == Role::Copycat { copied.unwrap_or(own) } else { own };
        let id = seed.hex(&format!("chute/{slug}"));
        let entry = MinerEntry {
            chute_id: format!(
                "{}-{}-{}-{}-{}",
                &id[..8],
                &id[8..12],
                &id[12..16],
                &id[16..20],
                &id[20..32]
            ),
            model_name: format!("{slug}/leoma-{}", account.hotkey),
            model_revision: seed.hex(&format!("revision/{slug}"))[..40].to_owned(),
            weights_sha256,
            slug,
            role,
        };
        miners.push(MinerPlan {
            account,
            uid: first_uid + place,
            entry,
            dancer: None,
            forecaster: None,
        });
    }
    miners
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn plan() -> SubnetPlan {
        SubnetPlan::draw(&Options::default())
    }

    #[test]
    fn uids_are_places_in_the_genesis() {
        let plan = plan();
        let genesis = plan.genesis();
        let neurons = genesis["subnets"][0]["neurons"].as_array().unwrap();
        assert_eq!(neurons.len(), 1 + 4 + 6);
        assert_eq!(neurons[0]["hotkey"], plan.owner.hotkey.to_string());
        for validator in &plan.validators {
            assert_eq!(
                neurons[usize::from(validator.uid)]["hotkey"],
                validator.account.hotkey.to_string()
            );
            assert_eq!(neurons[usize::from(validator.uid)]["validator_permit"], true);
        }
        for miner in &plan.miners {
            assert_eq!(neurons[usize::from(miner.uid)]["hotkey"], miner.account.hotkey.to_string());
            assert_eq!(neurons[usize::from(miner.uid)]["validator_permit"], false);
        }
    }

    #[test]
    fn the_genesis_is_one_of_the_chain_in_every_weight_mode() {
        for (weights, commits, version) in [
            (WeightMode::Plain, false, 4),
            (WeightMode::CommitReveal, true, 2),
            (WeightMode::Timelocked, true, 4),
        ] {
            let plan =
                SubnetPlan::draw(&Options { weights, block_time: 250, ..Options::default() });
            let genesis: crate::chain::GenesisConfig =
                serde_json::from_value(plan.genesis()).unwrap();
            assert_eq!(
                (genesis.subnets[0].commit_reveal, genesis.commit_reveal_version),
                (commits, version)
            );
            assert_eq!(genesis.slot_milliseconds, 250);
        }
    }

    #[test]
    fn each_mechanism_has_places_of_its_own_and_an_id_on_the_chain() {
        let mechanisms = vec![Mechanism::Video, Mechanism::I2v];
        let plan = SubnetPlan::draw(&Options { mechanisms, ..Options::default() });
        assert_eq!(plan.genesis()["subnets"][0]["mechanisms"], 3);
        let of = |mechanism| plan.places(mechanism);
        let all: Vec<Place> = [Mechanism::Video, Mechanism::I2v].into_iter().flat_map(of).collect();
        assert_eq!(all[0].bucket.bucket, plan.validators[0].bucket.bucket);
        let distinct = |of: fn(&Place) -> String| all.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(|place| place.name.clone()), 8);
        assert_eq!(distinct(|place| place.bucket.bucket.clone()), 8);
        assert_eq!(distinct(|place| place.mesh_key.clone()), 8);
    }

    #[test]
    fn a_motion_subnet_has_its_own_cast_and_its_honest_miner_has_to_win() {
        let mechanisms = vec![Mechanism::Motion];
        let plan = SubnetPlan::draw(&Options { mechanisms, miners: 9, ..Options::default() });
        let kinds: BTreeSet<String> =
            plan.miners.iter().map(|miner| miner.dancer.unwrap().to_string()).collect();
        assert_eq!(kinds.len(), 9);
        assert_eq!(plan.expected_winner().unwrap().dancer, Some(Dancer::Honest));
        assert!(self::plan().miners.iter().all(|miner| miner.dancer.is_none()));
    }

    #[test]
    fn an_oracles_subnet_has_forecasters_of_whom_the_one_that_knows_commits_first() {
        let mechanisms = vec![Mechanism::Oracle];
        let plan = SubnetPlan::draw(&Options { mechanisms, miners: 10, ..Options::default() });
        let kinds: BTreeSet<String> =
            plan.miners.iter().map(|miner| miner.played().to_string()).collect();
        assert_eq!(kinds.len(), 10);
        assert_eq!(plan.expected_winner().unwrap().uid, plan.miners[0].uid);
        assert_eq!(plan.miners[1].forecaster, Some(Forecaster::Copier));
    }

    #[test]
    fn only_the_copycat_shares_weights() {
        let plan = plan();
        let good = plan.expected_winner().unwrap();
        let distinct: BTreeSet<_> =
            plan.miners.iter().map(|miner| miner.entry.weights_sha256.clone()).collect();
        assert_eq!(distinct.len(), 5);
        let copy = plan.miners.iter().find(|miner| miner.entry.role == Role::Copycat).unwrap();
        assert_eq!(copy.entry.weights_sha256, good.entry.weights_sha256);
    }

    #[test]
    fn commitments_are_valid() {
        for miner in plan().miners {
            let entry = miner.entry;
            let text = leoma_protocol::MinerCommitment {
                model_name: entry.model_name,
                model_revision: entry.model_revision,
                chute_id: entry.chute_id,
            }
            .to_text();
            assert!(
                leoma_protocol::MinerCommitment::parse(&text, &miner.account.hotkey).is_ok(),
                "{text}"
            );
            assert!(text.len() <= 512, "longer than the chain's largest field");
        }
    }
}
