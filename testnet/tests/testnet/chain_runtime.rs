//! What the local chain's runtime does by itself, as clients see it: pulses of its beacon,
//! timelocked weights and commitments that it reveals, neurons, and what an epoch pays.

use crate::chains::{self, Client, Key, NETUID, final_number, include, reach, weights_of};
use codec::{Decode, Encode};
use leoma_chain::{ChainClient, Commitment};
use leoma_protocol::{Hotkey, Netuid};
use leoma_testnet::chain::{
    ChainHandle, Emissions, GenesisConfig, SubnetGenesis, beacon_public_key,
};
use node_subtensor_runtime::AccountId;
use node_subtensor_runtime::drand::{self, Pulse, beacon, timelock};
use node_subtensor_runtime::subtensor::WeightsTlockPayload;
use node_subtensor_runtime::subtensor::neurons::{NeuronInfo, NeuronInfoLite};
use sp_core::Pair as _;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use subxt::dynamic::{self, Value};
use subxt::rpcs::RpcClient;
use subxt::utils::AccountId32;

/// Blocks in which a round of three seconds must have passed, on a machine that makes blocks at a
/// third of their pace.
const ROUND_LIMIT: u32 = 100;
/// Rounds by which a commit is ahead: the chain refuses passed ones, and a busy machine takes its
/// time to send it.
const AHEAD: u64 = 5;
/// Version of timelocked commits.
const VERSION: u16 = 4;

/// Owner on uid 0, a validator on 1, a miner on 2.
fn genesis(tempo: u16) -> GenesisConfig {
    let subnet = chains::subnet(tempo, &[("owner", 0), ("validator", 50), ("miner", 0)]);
    let subnet = SubnetGenesis { commit_reveal: true, ..subnet };
    GenesisConfig { subnets: vec![subnet], slot_milliseconds: 100, ..GenesisConfig::default() }
}

async fn start(dir: &Path, genesis: GenesisConfig) -> (ChainHandle, Client) {
    let (handle, client, _) = chains::start(chains::ticking(dir, Some(genesis))).await;
    (handle, client)
}

fn now_round() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    beacon::round_at(u64::try_from(now.as_millis()).unwrap())
}

fn commit(hotkey: &Key, uid: u16, round: u64, version: u16) -> impl subxt::tx::Payload {
    let account = hotkey.0.public().0.to_vec();
    let payload =
        WeightsTlockPayload { hotkey: account, uids: vec![uid], values: vec![1], version_key: 0 };
    let sealed = timelock::seal(&payload.encode(), round, &beacon_public_key()).unwrap();
    dynamic::tx("SubtensorModule", "commit_timelocked_weights", (NETUID, sealed, round, version))
}

async fn round_of(client: &Client, entry: &str) -> u64 {
    let entry = dynamic::storage::<(), u64>("Drand", entry);
    client
        .at_current_block()
        .await
        .unwrap()
        .storage()
        .fetch(entry, ())
        .await
        .unwrap()
        .decode()
        .unwrap()
}

/// Reads after every block until `done`, for this many blocks.
async fn within<F: Future<Output = bool>>(
    client: &Client,
    blocks: u32,
    done: impl Fn() -> F,
) -> bool {
    let mut stream = client.stream_blocks().await.unwrap();
    for _ in 0..blocks {
        if done().await {
            return true;
        }
        stream.next().await.unwrap().unwrap();
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beacons_pulses_are_stored_and_a_pause_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), genesis(360)).await;
    reach(&client, 2).await;
    let (oldest, first) =
        (round_of(&client, "OldestStoredRound").await, round_of(&client, "LastStoredRound").await);
    assert!(now_round() - first <= 1, "the first pulse is the newest");
    assert!(
        within(&client, ROUND_LIMIT, || async {
            round_of(&client, "LastStoredRound").await > first
        })
        .await
    );

    let at = client.at_current_block().await.unwrap();
    let pulses = dynamic::storage::<(u64,), Value>("Drand", "Pulses");
    let pulse = at.storage().fetch(pulses, (first + 1,)).await.unwrap();
    let pulse = Pulse::decode(&mut pulse.bytes()).unwrap();
    assert_eq!(pulse, drand::pulse(first + 1));
    assert_eq!(beacon::verify(&beacon_public_key(), first + 1, &pulse.signature), Some(true));
    let config = dynamic::storage::<(), Value>("Drand", "BeaconConfig");
    let config = at.storage().fetch(config, ()).await.unwrap();
    // Its first field: the key, behind its length.
    assert_eq!(config.bytes()[2..98], beacon_public_key());

    handle.pause_beacon(true);
    reach(&client, final_number(&client).await + 2).await;
    let paused = round_of(&client, "LastStoredRound").await;
    reach(&client, final_number(&client).await + 40).await;
    assert_eq!(round_of(&client, "LastStoredRound").await, paused);
    handle.pause_beacon(false);
    assert!(
        within(&client, ROUND_LIMIT, || async {
            round_of(&client, "LastStoredRound").await > paused
        })
        .await
    );
    assert_eq!(round_of(&client, "OldestStoredRound").await, oldest);
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn timelocked_weights_are_revealed_by_the_chain_in_the_next_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), genesis(80)).await;
    let validator = Key::new("validator");
    reach(&client, 1).await;
    let error = include(&client, &validator, &commit(&validator, 2, now_round() - 9, VERSION))
        .await
        .unwrap_err();
    assert!(error.contains("Custom error: 15"), "{error}");
    let error = include(&client, &validator, &commit(&validator, 2, now_round() + AHEAD, 3))
        .await
        .unwrap_err();
    assert!(error.contains("IncorrectCommitRevealVersion"), "{error}");
    include(&client, &validator, &commit(&validator, 2, now_round() + AHEAD, VERSION))
        .await
        .unwrap();
    let error = include(&client, &validator, &commit(&validator, 2, now_round() + AHEAD, VERSION))
        .await
        .unwrap_err();
    assert!(error.contains("CommittingWeightsTooFast"), "{error}");
    assert_eq!(weights_of(&client, None, 1).await, []);
    reach(&client, 80).await;
    let revealed =
        within(&client, ROUND_LIMIT, || async { !weights_of(&client, None, 1).await.is_empty() })
            .await;
    assert!(revealed && weights_of(&client, None, 1).await == [(2, u16::MAX)]);
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_pulse_does_not_come_is_lost_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), genesis(20)).await;
    let validator = Key::new("validator");
    reach(&client, 2).await;
    handle.pause_beacon(true);
    include(&client, &validator, &commit(&validator, 2, now_round() + 1, VERSION)).await.unwrap();
    // Two epochs and one block: whichever epoch the commit fell into, its reveal epoch is over.
    reach(&client, final_number(&client).await + 41).await;
    handle.pause_beacon(false);
    let paused = round_of(&client, "LastStoredRound").await;
    assert!(
        within(&client, ROUND_LIMIT, || async {
            round_of(&client, "LastStoredRound").await > paused + 1
        })
        .await
    );
    assert_eq!(weights_of(&client, None, 1).await, []);
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_timelocked_commitment_is_read_and_a_later_open_one_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), genesis(360)).await;
    let (miner, round) = (Key::new("miner"), now_round() + 1);
    // As the official SDK seals it: with the text's SCALE length in front.
    let sealed = "model".encode();
    let encrypted = timelock::seal(&sealed, round, &beacon_public_key()).unwrap();
    let field = Value::named_variant(
        "TimelockEncrypted",
        [("encrypted", Value::from_bytes(encrypted)), ("reveal_round", Value::u128(round.into()))],
    );
    let info = Value::named_composite([("fields", Value::unnamed_composite([field]))]);
    include(&client, &miner, &dynamic::tx("Commitments", "set_commitment", (NETUID, info)))
        .await
        .unwrap();
    let account = AccountId32(miner.0.public().0);
    let revealed = || async {
        let entry = dynamic::storage::<(u16, AccountId32), Vec<(Vec<u8>, u64)>>(
            "Commitments",
            "RevealedCommitments",
        );
        let at = client.at_current_block().await.unwrap();
        let stored = at.storage().try_fetch(entry, (NETUID, account)).await.unwrap();
        stored.map(|stored| stored.decode().unwrap()).unwrap_or_default()
    };
    assert!(within(&client, ROUND_LIMIT, || async { !revealed().await.is_empty() }).await);
    let (text, block) = revealed().await.remove(0);
    assert_eq!(text, sealed);
    // As production reads it, with the rest of the subnet.
    let production = ChainClient::connect(&handle.ws_url, Netuid(NETUID)).await.unwrap();
    let metagraph = production.metagraph(production.head().await.unwrap()).await.unwrap();
    let read = metagraph.commitments.get(&Hotkey::from_bytes(account.0)).unwrap();
    assert_eq!(
        *read,
        Commitment {
            text: "model".to_owned(),
            block: leoma_protocol::BlockNumber(block),
            count: 1
        }
    );
    // A reveal stays on the chain for good, and hides no later commitment in the open.
    include(&client, &miner, &chains::commitment("open")).await.unwrap();
    let metagraph = production.metagraph(production.head().await.unwrap()).await.unwrap();
    let read = metagraph.commitments.get(&Hotkey::from_bytes(account.0)).unwrap();
    assert_eq!((read.text.as_str(), read.count), ("open", 2));
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neurons_and_constants_are_read_as_on_the_live_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), genesis(360)).await;
    let at = client.at_current_block().await.unwrap();
    let slot = at.constants().entry(dynamic::constant::<u64>("Aura", "SlotDuration")).unwrap();
    assert_eq!(slot, 100);

    let api = at.runtime_apis();
    let raw = |name: &'static str, arguments: Vec<u8>| {
        let api = at.runtime_apis();
        async move {
            api.call_raw(&format!("NeuronInfoRuntimeApi_{name}"), Some(&arguments)).await.unwrap()
        }
    };
    let lite = raw("get_neurons_lite", NETUID.encode()).await;
    let lite = Vec::<NeuronInfoLite<AccountId>>::decode(&mut &lite[..]).unwrap();
    assert_eq!(lite.len(), 3);
    assert_eq!((lite[1].hotkey.clone(), lite[1].uid.0), (Key::new("validator").account(), 1));
    assert_eq!(lite[1].stake, [(Key::new("coldkey").account(), codec::Compact(50))]);
    let one = raw("get_neuron_lite", (NETUID, 1_u16).encode()).await;
    assert_eq!(
        Option::<NeuronInfoLite<AccountId>>::decode(&mut &one[..]).unwrap().unwrap(),
        lite[1]
    );
    let whole = raw("get_neuron", (NETUID, 1_u16).encode()).await;
    let whole = Option::<NeuronInfo<AccountId>>::decode(&mut &whole[..]).unwrap().unwrap();
    assert_eq!(NeuronInfoLite::from(whole), lite[1]);
    assert_eq!(raw("get_neuron_lite", (NETUID, 9_u16).encode()).await, [0]);
    assert_eq!(raw("get_neurons_lite", 99_u16.encode()).await, [0]);

    // By the names in the metadata.
    let call = dynamic::runtime_api_call::<_, Value>(
        "NeuronInfoRuntimeApi",
        "get_neurons_lite",
        (NETUID,),
    );
    let value = api.call(call).await.unwrap().to_string();
    for name in ["prometheus_info", "validator_trust", "last_update", "pruning_score"] {
        assert!(value.contains(&format!("{name}: ")), "{name} in {value}");
    }
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn emissions_of_the_last_epoch_are_read_and_printed() {
    let dir = tempfile::tempdir().unwrap();
    let mut genesis = genesis(10);
    genesis.subnets[0].commit_reveal = false;
    let (handle, client) = start(dir.path(), genesis).await;
    let rpc = RpcClient::from_insecure_url(&handle.ws_url).await.unwrap();
    let validator = Key::new("validator");
    let vote = chains::set_weights(&[2], &[1], 0);
    include(&client, &validator, &vote).await.unwrap();
    reach(&client, final_number(&client).await + 11).await;
    let emissions = Emissions::read(&rpc, NETUID).await.unwrap();
    assert!(emissions.epoch_block >= 10 && emissions.epoch_block <= emissions.block);
    let earned: Vec<u64> = emissions.neurons.iter().map(|neuron| neuron.emission).collect();
    assert_eq!(earned, [0, 500_000_000, 500_000_000]);
    assert_eq!(
        (emissions.neurons[2].incentive, emissions.neurons[1].dividends),
        (u16::MAX, u16::MAX)
    );
    assert_eq!(
        emissions.neurons[2].hotkey.as_bytes(),
        AsRef::<[u8; 32]>::as_ref(&Key::new("miner").account())
    );
    assert!(
        Emissions::read(&rpc, 99)
            .await
            .unwrap_err()
            .to_string()
            .contains("subnet 99 does not exist")
    );

    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
        command
            .args(["chain", "emissions", "--url", &handle.ws_url, "--netuid", "7"])
            .args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed: Emissions = serde_json::from_str(&command(&["--json"])).unwrap();
    assert_eq!(printed.neurons.len(), 3);
    assert!(command(&[]).contains("50.00 %"));
    handle.stop().await.unwrap();
}
