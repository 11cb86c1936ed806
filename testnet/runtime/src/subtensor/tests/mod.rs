mod epochs;
mod timelocked;

use super::pallet::*;
use super::{NeuronGenesis, SubnetGenesis, weights};
use crate::{AccountId, Genesis, Runtime, RuntimeOrigin, SubtensorModule, System};
use frame_support::{assert_noop, assert_ok};
use proptest::prelude::*;

type Errors = Error<Runtime>;

const NETUID: u16 = 3;

fn account(seed: u8) -> AccountId {
    AccountId::new([seed; 32])
}

fn signed(seed: u8) -> RuntimeOrigin {
    RuntimeOrigin::signed(account(seed))
}

/// Hotkey `n` on uid `n - 1`, each with the coldkey 100: an owner, two validators, a miner.
fn subnet() -> SubnetGenesis<AccountId> {
    let neurons = [(1, 0), (2, 60), (3, 50), (4, 0)].map(|(seed, stake)| NeuronGenesis {
        hotkey: account(seed),
        coldkey: account(100),
        stake,
        validator_permit: stake > 0,
    });
    SubnetGenesis {
        netuid: NETUID,
        owner_coldkey: account(100),
        owner_hotkey: account(1),
        mechanisms: 1,
        tempo: 20,
        commit_reveal: false,
        reveal_period: 1,
        weights_rate_limit: 10,
        weights_version_key: 0,
        serving_rate_limit: 5,
        max_allowed_uids: 5,
        max_allowed_validators: 8,
        immunity_period: 30,
        burn: 1_000,
        neurons: neurons.to_vec(),
    }
}

fn run(subnet: SubnetGenesis<AccountId>, test: impl FnOnce()) {
    let genesis = Genesis { subnets: vec![subnet], loopback_axons: false, ..Genesis::default() };
    let mut state = sp_io::TestExternalities::new(genesis.storage().unwrap());
    state.execute_with(|| {
        go_to(1);
        test();
    });
}

/// Runs the hooks of every block up to `number`.
fn go_to(number: u32) {
    use frame_support::traits::OnInitialize;
    while System::block_number() < number {
        System::set_block_number(System::block_number() + 1);
        SubtensorModule::on_initialize(System::block_number());
    }
}

#[test]
fn rate_limit_ends_at_its_block() {
    run(subnet(), || {
        assert_ok!(SubtensorModule::set_weights(signed(2), NETUID, vec![3], vec![7], 0));
        go_to(10);
        let again = || SubtensorModule::set_weights(signed(2), NETUID, vec![3], vec![7], 0);
        assert_noop!(again(), Errors::SettingWeightsTooFast);
        go_to(11);
        assert_ok!(again());
        assert_eq!(Weights::<Runtime>::get(NETUID, 1), [(3, u16::MAX)]);
    });
}

#[test]
fn checks_come_in_the_chains_order() {
    run(subnet(), || {
        // Each call breaks a later rule too.
        let set = |seed, uids: &[u16], values: &[u16]| {
            SubtensorModule::set_weights(signed(seed), NETUID, uids.to_vec(), values.to_vec(), 0)
        };
        assert_noop!(set(9, &[0, 0], &[1]), Errors::WeightVecNotEqualSize);
        assert_noop!(set(9, &[0; 6], &[1; 6]), Errors::UidsLengthExceedUidsInSubNet);
        assert_noop!(set(9, &[0, 0], &[1, 1]), Errors::HotKeyNotRegisteredInSubNet);
        assert_noop!(set(4, &[0, 0], &[1, 1]), Errors::NeuronNoValidatorPermit);
        assert_noop!(set(2, &[9, 9], &[1, 1]), Errors::DuplicateUids);
        assert_noop!(set(2, &[9], &[1]), Errors::UidVecContainInvalidOne);
        let root = SubtensorModule::set_weights(signed(2), 0, vec![0], vec![1], 0);
        // The root network takes committed weights by default.
        assert_eq!(root.unwrap_err(), Errors::CommitRevealEnabled.into());
        let mechanism =
            SubtensorModule::set_mechanism_weights(signed(2), NETUID, 1, vec![0], vec![1], 0);
        assert_eq!(mechanism.unwrap_err(), Errors::MechanismDoesNotExist.into());
        MaxWeightsLimit::<Runtime>::insert(NETUID, 40_000);
        assert_noop!(set(2, &[2, 3], &[1, 9]), Errors::MaxWeightExceeded);
        assert_ok!(set(2, &[2, 3], &[5, 5]));
    });
}

#[test]
fn mechanisms_have_their_own_weights_and_rate() {
    run(subnet(), || {
        MechanismCountCurrent::<Runtime>::insert(NETUID, 2);
        assert_ok!(SubtensorModule::set_mechanism_weights(
            signed(2),
            NETUID,
            0,
            vec![3],
            vec![1],
            0
        ));
        assert_ok!(SubtensorModule::set_mechanism_weights(
            signed(2),
            NETUID,
            1,
            vec![2],
            vec![1],
            0
        ));
        assert_eq!(Weights::<Runtime>::get(NETUID, 1), [(3, u16::MAX)]);
        assert_eq!(Weights::<Runtime>::get(4096 + NETUID, 1), [(2, u16::MAX)]);
        go_to(20);
        let incentives = |mechanism| {
            let metagraph = SubtensorModule::metagraph(NETUID, mechanism).unwrap();
            metagraph.incentives.into_iter().map(|part| part.0).collect::<Vec<_>>()
        };
        assert_eq!(
            (incentives(0), incentives(1)),
            (vec![0, 0, 0, u16::MAX], vec![0, 0, u16::MAX, 0])
        );
        assert_eq!(SubtensorModule::metagraph(NETUID, 2), None);
    });
}

#[test]
fn a_commit_is_revealed_in_the_next_epoch_and_only_there() {
    run(SubnetGenesis { commit_reveal: true, ..subnet() }, || {
        let hash = |version| {
            SubtensorModule::commit_hash(&account(2), NETUID, &[3], &[9], &[4, 2], version)
        };
        let reveal = |version| {
            SubtensorModule::reveal_weights(
                signed(2),
                NETUID,
                vec![3],
                vec![9],
                vec![4, 2],
                version,
            )
        };
        assert_noop!(reveal(1), Errors::NoWeightsCommitFound);
        assert_ok!(SubtensorModule::commit_weights(signed(2), NETUID, hash(1)));
        let commit = |version| SubtensorModule::commit_weights(signed(2), NETUID, hash(version));
        assert_noop!(commit(2), Errors::CommittingWeightsTooFast);
        assert_noop!(reveal(1), Errors::RevealTooEarly);
        go_to(20);
        assert_noop!(reveal(2), Errors::InvalidRevealCommitHashNotMatch);
        assert_ok!(reveal(1));
        assert_eq!(Weights::<Runtime>::get(NETUID, 1), [(3, u16::MAX)]);
        assert_eq!(
            LastUpdate::<Runtime>::get(NETUID)[1],
            1,
            "the commit moved it, the reveal does not"
        );
        assert_noop!(reveal(1), Errors::NoWeightsCommitFound);

        assert_ok!(commit(5));
        go_to(60);
        assert_noop!(reveal(5), Errors::ExpiredWeightCommit);
    });
}

#[test]
fn a_full_subnet_replaces_who_earns_least_and_is_not_immune() {
    run(subnet(), || {
        let register = |seed| SubtensorModule::burned_register(signed(100), NETUID, account(seed));
        assert_ok!(register(5));
        assert_noop!(register(5), Errors::HotKeyAlreadyRegisteredInSubNet);
        assert_noop!(register(6), Errors::NoNeuronIdAvailable);
        go_to(30);
        Emission::<Runtime>::insert(NETUID, vec![0, 9, 9, 5, 0]);
        // Uid 0 is the owner's, uid 4 is immune until block 31; of the others uid 3 earns least.
        assert_ok!(register(6));
        assert_eq!(Keys::<Runtime>::get(NETUID, 3), account(6));
        assert_eq!(Uids::<Runtime>::get(NETUID, account(4)), None);
        assert_eq!(BlockAtRegistration::<Runtime>::get(NETUID, 3), 30);
        assert_eq!(SubnetworkN::<Runtime>::get(NETUID), 5);
        let poor = SubtensorModule::burned_register(signed(77), NETUID, account(7));
        assert_eq!(poor.unwrap_err(), Errors::NotEnoughBalanceToStake.into());
        let stolen = SubtensorModule::burned_register(signed(1), NETUID, account(4));
        assert_eq!(stolen.unwrap_err(), Errors::NonAssociatedColdKey.into());
    });
}

#[test]
fn axons_are_checked() {
    run(subnet(), || {
        let serve = |seed, ip, port, kind| {
            SubtensorModule::serve_axon(signed(seed), NETUID, 1, ip, port, kind, 4, 0, 0)
        };
        let public = 0x0808_0808;
        assert_noop!(serve(9, public, 80, 4), Errors::HotKeyNotRegisteredInNetwork);
        assert_noop!(serve(2, public, 80, 5), Errors::InvalidIpType);
        for ip in [0, 0x7f00_0001, u128::from(u32::MAX), 1 << 40] {
            assert_noop!(serve(2, ip, 80, 4), Errors::InvalidIpAddress);
        }
        assert_noop!(serve(2, public, 0, 4), Errors::InvalidPort);
        assert_ok!(serve(2, public, 80, 4));
        assert_noop!(serve(2, public, 81, 4), Errors::ServingRateLimitExceeded);
        go_to(6);
        assert_ok!(serve(2, public, 81, 4));
        LoopbackAxonsAllowed::<Runtime>::put(true);
        assert_ok!(serve(3, 0x7f00_0001, 80, 4));
    });
}

#[test]
fn metagraph_of_an_unknown_subnet_is_none() {
    run(subnet(), || {
        assert_eq!(SubtensorModule::metagraph(8, 0), None);
        assert_eq!(SubtensorModule::subnet_state(8), None);
        assert_eq!(SubtensorModule::subnet_state(NETUID).unwrap().total_stake.len(), 4);
        let whole = SubtensorModule::metagraph(NETUID, 0).unwrap();
        assert_eq!(whole.hotkeys.len(), 4);
        let nothing = SubtensorModule::selective_metagraph(NETUID, 0, &[900]).unwrap();
        assert!(nothing.hotkeys.is_none() && nothing.commitments.is_none());
    });
}

#[test]
fn a_contradictory_genesis_is_refused() {
    let twice = Genesis { subnets: vec![subnet(), subnet()], ..Genesis::default() };
    assert_eq!(twice.storage().unwrap_err().to_string(), "genesis: subnet 3 is listed twice");
    let mut crowded = subnet();
    crowded.neurons.push(crowded.neurons[0].clone());
    let crowded = Genesis { subnets: vec![crowded], ..Genesis::default() };
    assert!(crowded.storage().unwrap_err().to_string().contains("listed twice on subnet 3"));
    let root =
        Genesis { subnets: vec![SubnetGenesis { netuid: 0, ..subnet() }], ..Genesis::default() };
    assert!(root.storage().unwrap_err().to_string().contains("root network"));
    let hasty = Genesis {
        subnets: vec![SubnetGenesis { reveal_period: 0, ..subnet() }],
        ..Genesis::default()
    };
    assert!(hasty.storage().unwrap_err().to_string().contains("reveal period of 0 epochs"));
}

proptest! {
    #[test]
    fn upscaling_makes_the_largest_full_and_keeps_order(
        values in prop::collection::vec(any::<u16>(), 0..20)
    ) {
        let scaled = weights::max_upscale(&values);
        prop_assert_eq!(scaled.len(), values.len());
        let largest = values.iter().copied().max().unwrap_or(0);
        for (value, scaled) in values.iter().zip(&scaled) {
            let full = f64::from(*value) * 65_535.0;
            let exact = if largest == 0 { 0.0 } else { full / f64::from(largest) };
            prop_assert!((f64::from(*scaled) - exact).abs() <= 0.5, "{} became {}", value, scaled);
        }
    }
}
