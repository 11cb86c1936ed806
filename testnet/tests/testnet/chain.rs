//! The local chain as production's client meets it: subxt, by name, over its WebSocket.

use crate::chains::{
    self, Client, Key, NETUID, commitment, final_number, include, reach, set_weights, weights_of,
    words,
};
use codec::Decode;
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, Endowment, GenesisConfig, SubnetGenesis,
};
use node_subtensor_runtime::AccountId;
use node_subtensor_runtime::commitments::{Data, Registration};
use node_subtensor_runtime::subtensor::metagraph::SelectiveMetagraph;
use sp_core::Pair as _;
use std::path::Path;
use subxt::config::DefaultExtrinsicParamsBuilder as Params;
use subxt::dynamic::{self, Value};
use subxt::rpcs::{RpcClient, rpc_params};
use subxt::utils::AccountId32;

fn subnet() -> SubnetGenesis<AccountId> {
    SubnetGenesis { weights_version_key: 3, ..chains::five_neurons() }
}

fn genesis(subnet: SubnetGenesis<AccountId>) -> GenesisConfig {
    let rich = Endowment { account: Key::new("rich").account(), free: 50_000_000_000 };
    GenesisConfig { subnets: vec![subnet], balances: vec![rich], ..chains::genesis() }
}

async fn start(dir: &Path, genesis: Option<GenesisConfig>) -> (ChainHandle, Client) {
    let (handle, client, _) = chains::start(chains::ticking(dir, genesis)).await;
    (handle, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_read_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    let at = client.at_current_block().await.unwrap();
    let storage = at.storage();

    let keys = dynamic::storage::<(u16, u16), AccountId32>("SubtensorModule", "Keys");
    let first = storage.fetch(keys, (NETUID, 1_u16)).await.unwrap().decode().unwrap();
    assert_eq!(first.0, Key::new("first").0.public().0);
    let uids = dynamic::storage::<(u16, AccountId32), u16>("SubtensorModule", "Uids");
    assert_eq!(storage.fetch(uids, (NETUID, first)).await.unwrap().decode().unwrap(), 1);
    let permits = dynamic::storage::<(u16,), Vec<bool>>("SubtensorModule", "ValidatorPermit");
    let permits = storage.fetch(permits, (NETUID,)).await.unwrap().decode().unwrap();
    assert_eq!(permits, [false, true, true, false, false]);
    let owner = dynamic::storage::<(u16,), AccountId32>("SubtensorModule", "SubnetOwnerHotkey");
    assert_eq!(
        storage.fetch(owner, (NETUID,)).await.unwrap().decode().unwrap().0,
        Key::new("owner").0.public().0
    );
    for (name, value) in [
        ("SubnetworkN", 5_u64),
        ("Tempo", 360),
        ("WeightsSetRateLimit", 100),
        ("WeightsVersionKey", 3),
    ] {
        let entry = dynamic::storage::<(u16,), u64>("SubtensorModule", name);
        assert_eq!(
            storage.fetch(entry, (NETUID,)).await.unwrap().decode().unwrap(),
            value,
            "{name}"
        );
    }
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_stored_scaled_and_a_second_vector_is_too_fast() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    let key = Key::new("first");
    include(&client, &key, &set_weights(&[3, 4], &[1, 2], 3)).await.unwrap();
    assert_eq!(weights_of(&client, None, 1).await, [(3, 32_768), (4, u16::MAX)]);

    let error = include(&client, &key, &set_weights(&[3], &[1], 3)).await.unwrap_err();
    assert!(error.contains("1010") && error.contains("Custom error: 6"), "{error}");
    assert_eq!(weights_of(&client, None, 1).await, [(3, 32_768), (4, u16::MAX)]);
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_the_chains_names() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    let (first, second) = (Key::new("first"), Key::new("second"));
    let cases = [
        (Key::new("miner"), set_weights(&[3, 4], &[1, 2], 3), "NeuronNoValidatorPermit"),
        (Key::new("rich"), set_weights(&[3], &[1], 3), "Custom error: 19"),
        (first.clone(), set_weights(&[3], &[1], 2), "IncorrectWeightVersionKey"),
        (first.clone(), set_weights(&[3, 3], &[1, 2], 3), "DuplicateUids"),
        (first.clone(), set_weights(&[3, 9], &[1, 2], 3), "UidVecContainInvalidOne"),
        (first.clone(), set_weights(&[3, 4], &[1], 3), "WeightVecNotEqualSize"),
        (second, set_weights(&[0, 1, 2, 3, 4, 5], &[1; 6], 3), "UidsLengthExceedUidsInSubNet"),
        (first, set_weights(&[], &[], 3), "WeightVecLengthIsLow"),
    ];
    for (key, call, name) in cases {
        let error = include(&client, &key, &call).await.unwrap_err();
        assert!(error.contains(name), "expected {name}: {error}");
    }
    assert_eq!(weights_of(&client, None, 1).await, []);
    // The owner needs no permit, and anybody may vote for itself.
    include(&client, &Key::new("owner"), &set_weights(&[3], &[9], 3)).await.unwrap();
    include(&client, &Key::new("miner"), &set_weights(&[3], &[9], 3)).await.unwrap();
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_weights_are_refused_where_they_must_be_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) =
        start(dir.path(), Some(genesis(SubnetGenesis { commit_reveal: true, ..subnet() }))).await;
    let error =
        include(&client, &Key::new("first"), &set_weights(&[3], &[1], 3)).await.unwrap_err();
    assert!(error.contains("CommitRevealEnabled"), "{error}");
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hotkey_without_stake_is_refused_by_the_pool() {
    let dir = tempfile::tempdir().unwrap();
    let config = GenesisConfig { stake_threshold: 45, ..genesis(subnet()) };
    let (handle, client) = start(dir.path(), Some(config)).await;
    let error =
        include(&client, &Key::new("second"), &set_weights(&[3], &[1], 3)).await.unwrap_err();
    assert!(error.contains("Custom error: 1"), "{error}");
    include(&client, &Key::new("first"), &set_weights(&[3], &[1], 3)).await.unwrap();
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commitments_replace_each_other_and_have_a_space_limit() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    let key = Key::new("owner");
    let entry = || dynamic::storage::<(u16, AccountId32), Value>("Commitments", "CommitmentOf");
    let account = AccountId32(key.0.public().0);
    let mut last = 0;
    for text in ["leoma:allowlist:v1:0000", "leoma:allowlist:v1:1111 and then some"] {
        include(&client, &key, &commitment(text)).await.unwrap();
        let at = client.at_current_block().await.unwrap();
        let stored = at.storage().fetch(entry(), (NETUID, account)).await.unwrap();
        let registration = Registration::decode(&mut stored.bytes()).unwrap();
        assert_eq!(
            registration.info.fields.to_vec(),
            [Data::Raw(text.as_bytes().to_vec().try_into().unwrap())]
        );
        assert!(registration.block > last && u64::from(registration.block) <= at.block_number());
        last = registration.block;
    }
    let error = include(&client, &Key::new("rich"), &commitment("stranger")).await.unwrap_err();
    assert!(error.contains("AccountNotAllowedCommit"), "{error}");
    // Each call costs at least 100 of the epoch's 3100 bytes; two are spent.
    let at = client.at_current_block().await.unwrap();
    let mut nonce = at.transactions().account_nonce(&account).await.unwrap();
    let mut last = None;
    for _ in 2..31 {
        let params = Params::new().nonce(nonce).build();
        last = Some(
            at.transactions()
                .sign_and_submit_then_watch(&commitment("x"), &key, params)
                .await
                .unwrap(),
        );
        nonce += 1;
    }
    last.unwrap().wait_for_finalized_success().await.unwrap();
    let error = include(&client, &key, &commitment("x")).await.unwrap_err();
    assert!(error.contains("SpaceLimitExceeded"), "{error}");
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn selective_metagraph_holds_the_asked_fields_and_commitments() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    include(&client, &Key::new("miner"), &commitment("model")).await.unwrap();
    let at = client.at_current_block().await.unwrap();
    let asked: Vec<u16> =
        vec![5, 7, 8, 26, 27, 46, 47, 52, 53, 55, 56, 57, 59, 66, 67, 68, 69, 72, 73];
    let call = dynamic::runtime_api_call::<_, Value>(
        "SubnetInfoRuntimeApi",
        "get_selective_metagraph",
        (NETUID, asked),
    );
    let arguments = at.runtime_apis().encode_args(&call).unwrap();
    let bytes = at
        .runtime_apis()
        .call_raw("SubnetInfoRuntimeApi_get_selective_metagraph", Some(&arguments))
        .await
        .unwrap();
    let metagraph =
        Option::<SelectiveMetagraph<AccountId>>::decode(&mut &bytes[..]).unwrap().unwrap();
    assert_eq!(metagraph.owner_hotkey, Some(Key::new("owner").account()));
    assert_eq!(metagraph.block.unwrap().0, at.block_number());
    assert_eq!(metagraph.hotkeys.unwrap()[3], Key::new("miner").account());
    assert_eq!(metagraph.validator_permit.unwrap(), [false, true, true, false, false]);
    let validators: Vec<u16> = metagraph.validators.unwrap().into_iter().map(|uid| uid.0).collect();
    assert_eq!(validators, [1, 2]);
    let stakes: Vec<u64> =
        metagraph.total_stake.unwrap().into_iter().map(|stake| stake.0).collect();
    assert_eq!(stakes, [0, 50, 40, 0, 0]);
    assert_eq!(metagraph.name, None);
    let (account, bytes) = metagraph.commitments.unwrap().remove(0);
    assert_eq!(account, Key::new("miner").account());
    let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte.0).collect();
    let registration = Registration::decode(&mut &bytes[..]).unwrap();
    assert_eq!(registration.info.fields[0], Data::Raw(b"model".to_vec().try_into().unwrap()));

    // The same by the names in the metadata.
    let value = at.runtime_apis().call(call).await.unwrap().to_string();
    for name in [
        "hotkeys",
        "validator_permit",
        "commitments",
        "block_at_registration",
        "commit_reveal_period",
    ] {
        assert!(value.contains(&format!("{name}: Some")), "{name} in {value}");
    }
    let missing =
        dynamic::runtime_api_call::<_, Value>("SubnetInfoRuntimeApi", "get_metagraph", (99_u16,));
    assert!(at.runtime_apis().call(missing).await.unwrap().to_string().contains("None"));
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_states_stay_readable() {
    let dir = tempfile::tempdir().unwrap();
    let subnet = SubnetGenesis { weights_rate_limit: 1, ..subnet() };
    let (handle, client) = start(dir.path(), Some(genesis(subnet))).await;
    let key = Key::new("first");
    let mut seen = Vec::new();
    for target in [3, 4] {
        include(&client, &key, &set_weights(&[target], &[1], 3)).await.unwrap();
        seen.push((final_number(&client).await, vec![(target, u16::MAX)]));
    }
    reach(&client, seen[1].0 + 3).await;
    assert_eq!(weights_of(&client, Some(0), 1).await, []);
    for (number, weights) in seen {
        assert_eq!(weights_of(&client, Some(number), 1).await, weights, "at block {number}");
    }
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_and_state_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    include(&client, &Key::new("first"), &set_weights(&[4], &[1], 3)).await.unwrap();
    let (number, genesis_hash) = (final_number(&client).await, handle.genesis_hash);
    let hash = client.at_block(number).await.unwrap().block_hash();
    handle.stop().await.unwrap();

    // A torn record, as a kill in the middle of a write leaves it.
    let journal = dir.path().join("chain.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes.extend_from_slice(&[200, 0, 0, 0, 1, 2, 3]);
    std::fs::write(&journal, bytes).unwrap();

    let (handle, client) = start(dir.path(), None).await;
    assert_eq!(handle.genesis_hash, genesis_hash);
    assert_eq!(client.at_block(number).await.unwrap().block_hash(), hash);
    assert_eq!(weights_of(&client, None, 1).await, [(4, u16::MAX)]);
    reach(&client, number + 3).await;
    include(&client, &Key::new("second"), &set_weights(&[3], &[1], 3)).await.unwrap();
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_refuses_another_genesis() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, _client) = start(dir.path(), Some(genesis(subnet()))).await;
    let first = handle.genesis_hash;
    let mut busy = ChainConfig::new(dir.path(), genesis(subnet()));
    let error = chain::spawn(busy.clone()).await.unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    handle.stop().await.unwrap();

    busy.genesis = Some(GenesisConfig { name: "another".to_owned(), ..genesis(subnet()) });
    let error = chain::spawn(busy).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{first:?}")), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let again = chain::spawn(ChainConfig::new(empty.path(), genesis(subnet()))).await.unwrap();
    assert_eq!(again.genesis_hash, first, "the same document makes the same chain");
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_pays_the_agreed_miner() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) =
        start(dir.path(), Some(genesis(SubnetGenesis { tempo: 10, ..subnet() }))).await;
    for name in ["first", "second"] {
        include(&client, &Key::new(name), &set_weights(&[4], &[1], 3)).await.unwrap();
    }
    let number = final_number(&client).await + 11;
    reach(&client, number).await;
    let at = client.at_block(number).await.unwrap();
    let incentive = dynamic::storage::<(u16,), Vec<u16>>("SubtensorModule", "Incentive");
    let incentive = at.storage().fetch(incentive, (NETUID,)).await.unwrap().decode().unwrap();
    assert_eq!(incentive, [0, 0, 0, 0, u16::MAX]);
    let epochs = dynamic::storage::<(u16,), u64>("SubtensorModule", "SubnetEpochIndex");
    assert!(at.storage().fetch(epochs, (NETUID,)).await.unwrap().decode().unwrap() >= 1);
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_neuron_registers_and_announces_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    let (coldkey, hotkey) = (Key::new("rich"), Key::new("newcomer"));
    let account = AccountId32(hotkey.0.public().0);
    let register = dynamic::tx("SubtensorModule", "burned_register", (NETUID, account));
    include(&client, &coldkey, &register).await.unwrap();
    // It holds nothing and pays nothing.
    let axon = (NETUID, 1_u32, 0x7f00_0001_u128, 9_000_u16, 4_u8, 4_u8, 0_u8, 0_u8);
    include(&client, &hotkey, &dynamic::tx("SubtensorModule", "serve_axon", axon)).await.unwrap();
    let at = client.at_current_block().await.unwrap();
    let uids = dynamic::storage::<(u16, AccountId32), u16>("SubtensorModule", "Uids");
    assert_eq!(at.storage().fetch(uids, (NETUID, account)).await.unwrap().decode().unwrap(), 5);
    let axons = dynamic::storage::<(u16, AccountId32), Value>("SubtensorModule", "Axons");
    let stored = at.storage().fetch(axons, (NETUID, account)).await.unwrap();
    let stored = node_subtensor_runtime::subtensor::AxonInfo::decode(&mut stored.bytes()).unwrap();
    assert_eq!((stored.ip, stored.port), (0x7f00_0001, 9_000));
    let error = include(&client, &hotkey, &dynamic::tx("SubtensorModule", "serve_axon", axon))
        .await
        .unwrap_err();
    assert!(error.contains("Custom error: 12"), "{error}");
    handle.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_speaks_the_known_errors() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Some(genesis(subnet()))).await;
    let rpc = RpcClient::from_insecure_url(&handle.ws_url).await.unwrap();
    let key = Key::new("miner");
    let at = client.at_current_block().await.unwrap();
    let address = key.account().to_string();
    let next: u64 =
        rpc.request("system_accountNextIndex", rpc_params![address.clone()]).await.unwrap();
    assert_eq!(next, 0);
    // A gap: both wait until nonce 0 comes. Watched, as `sign_and_submit` only returns once the gap
    // is filled.
    let later = Params::new().nonce(1).build();
    at.transactions().sign_and_submit_then_watch(&commitment("one"), &key, later).await.unwrap();
    let rival = Params::new().nonce(1).build();
    let error =
        at.transactions().sign_and_submit(&commitment("two"), &key, rival).await.unwrap_err();
    assert!(words(&error).contains("1014"), "{}", words(&error));
    let first = Params::new().nonce(0).build();
    at.transactions().sign_and_submit(&commitment("zero"), &key, first).await.unwrap();
    reach(&client, final_number(&client).await + 3).await;
    let next: u64 = rpc.request("system_accountNextIndex", rpc_params![address]).await.unwrap();
    assert_eq!(next, 2);
    let stale = Params::new().nonce(0).build();
    let error =
        at.transactions().sign_and_submit(&commitment("late"), &key, stale).await.unwrap_err();
    assert!(words(&error).contains("Transaction is outdated"), "{}", words(&error));
    let nonsense =
        rpc.request::<String>("author_submitExtrinsic", rpc_params!["0x0102"]).await.unwrap_err();
    assert!(nonsense.to_string().contains("1001"), "{nonsense}");
    let unknown =
        rpc.request::<String>("state_call", rpc_params!["No_such", "0x"]).await.unwrap_err();
    assert!(unknown.to_string().contains("not found"), "{unknown}");
    // Arguments that do not decode panic the runtime; the node goes on.
    let panicked = rpc
        .request::<String>("state_call", rpc_params!["AccountNonceApi_account_nonce", "0x01"])
        .await;
    assert!(panicked.is_err());
    reach(&client, final_number(&client).await + 2).await;
    handle.stop().await.unwrap();
}
