use super::*;
use crate::drand::{self, beacon, timelock};
use crate::subtensor::{TimelockedWeights, WeightsTlockPayload};
use codec::Encode;

/// Rounds have no clock in these tests: this one's pulse comes when a test says so.
const ROUND: u64 = 1_000;
/// The version that the live chain demands.
const VERSION: u16 = 4;

fn timelocked() -> SubnetGenesis<AccountId> {
    SubnetGenesis { commit_reveal: true, ..subnet() }
}

/// Weights of hotkey `seed`, all on `uid`.
fn payload(seed: u8, uid: u16) -> WeightsTlockPayload {
    WeightsTlockPayload { hotkey: vec![seed; 32], uids: vec![uid], values: vec![9], version_key: 0 }
}

fn sealed(payload: &impl Encode, round: u64) -> TimelockedWeights {
    timelock::seal(&payload.encode(), round, &beacon::public_key()).unwrap().try_into().unwrap()
}

fn commit(seed: u8, sealed: TimelockedWeights) -> sp_runtime::DispatchResult {
    SubtensorModule::commit_timelocked_weights(signed(seed), NETUID, sealed, ROUND, VERSION)
}

fn pulse(round: u64) {
    drand::Pulses::<Runtime>::insert(round, drand::pulse(round));
    drand::LastStoredRound::<Runtime>::put(round);
}

fn weights_of(uid: u16) -> Vec<(u16, u16)> {
    Weights::<Runtime>::get(NETUID, uid)
}

fn waiting() -> usize {
    TimelockedWeightCommits::<Runtime>::iter_prefix(NETUID).map(|(_, commits)| commits.len()).sum()
}

#[test]
fn a_commit_is_revealed_where_its_epoch_begins() {
    run(timelocked(), || {
        assert_ok!(commit(2, sealed(&payload(2, 3), ROUND)));
        let (who, block, _, round) = TimelockedWeightCommits::<Runtime>::get(NETUID, 0).remove(0);
        assert_eq!((who, block, round), (account(2), 1, ROUND));
        pulse(ROUND);
        go_to(19);
        assert_eq!(weights_of(1), []);
        go_to(20);
        assert_eq!(weights_of(1), [(3, u16::MAX)]);
        assert_eq!(waiting(), 0);
        assert_eq!(
            LastUpdate::<Runtime>::get(NETUID)[1],
            1,
            "the commit moved it, the reveal does not"
        );
        assert_eq!(
            Incentive::<Runtime>::get(NETUID),
            [0, 0, 0, u16::MAX],
            "they count in the epoch of that block"
        );
        let revealed = Event::TimelockedWeightsRevealed(NETUID, account(2)).into();
        assert!(System::events().iter().any(|record| record.event == revealed));
    });
}

#[test]
fn a_commit_waits_for_its_pulse_as_long_as_its_epoch() {
    run(timelocked(), || {
        assert_ok!(commit(2, sealed(&payload(2, 3), ROUND)));
        go_to(30);
        assert_eq!((weights_of(1), waiting()), (vec![], 1));
        pulse(ROUND);
        go_to(31);
        assert_eq!((weights_of(1), waiting()), (vec![(3, u16::MAX)], 0));

        assert_ok!(SubtensorModule::commit_timelocked_weights(
            signed(2),
            NETUID,
            sealed(&payload(2, 0), ROUND + 1),
            ROUND + 1,
            VERSION
        ));
        go_to(59);
        assert_eq!(waiting(), 1);
        go_to(60);
        assert_eq!(waiting(), 0, "its epoch is over");
        pulse(ROUND + 1);
        go_to(80);
        assert_eq!(weights_of(1), [(3, u16::MAX)]);
    });
}

#[test]
fn the_reveal_period_is_counted_in_epochs() {
    run(SubnetGenesis { reveal_period: 3, ..timelocked() }, || {
        pulse(ROUND);
        assert_ok!(commit(2, sealed(&payload(2, 3), ROUND)));
        go_to(59);
        assert_eq!(weights_of(1), []);
        go_to(60);
        assert_eq!(weights_of(1), [(3, u16::MAX)]);
    });
}

#[test]
fn what_does_not_open_or_is_not_ones_own_is_dropped() {
    run(SubnetGenesis { weights_rate_limit: 0, ..timelocked() }, || {
        let foreign_round =
            timelock::seal(&payload(2, 3).encode(), ROUND + 1, &beacon::public_key()).unwrap();
        let cases: [TimelockedWeights; 5] = [
            sealed(&payload(3, 3), ROUND),
            foreign_round.try_into().unwrap(),
            sealed(&"no payload", ROUND),
            vec![0xff; 4_000].try_into().unwrap(),
            TimelockedWeights::default(),
        ];
        for case in cases {
            assert_ok!(commit(2, case));
        }
        // What the checks of `set_weights` refuse is dropped as well.
        assert_ok!(commit(2, sealed(&payload(2, 900), ROUND)));
        assert_ok!(commit(4, sealed(&payload(4, 2), ROUND)));
        pulse(ROUND);
        go_to(20);
        assert_eq!(waiting(), 0);
        for uid in 0..4 {
            assert_eq!(weights_of(uid), []);
        }
    });
}

#[test]
fn commits_are_tried_one_by_one_and_the_last_one_stays() {
    run(SubnetGenesis { weights_rate_limit: 0, ..timelocked() }, || {
        assert_ok!(commit(2, sealed(&payload(2, 3), ROUND)));
        assert_ok!(commit(3, sealed(&payload(3, 0), ROUND)));
        assert_ok!(commit(2, vec![1, 2, 3].try_into().unwrap()));
        assert_ok!(commit(2, sealed(&payload(2, 2), ROUND)));
        pulse(ROUND);
        go_to(20);
        assert_eq!((weights_of(1), weights_of(2)), (vec![(2, u16::MAX)], vec![(0, u16::MAX)]));
    });
}

#[test]
fn the_first_clients_payload_without_a_hotkey_is_taken() {
    run(timelocked(), || {
        assert_ok!(commit(2, sealed(&(vec![3_u16], vec![9_u16], 0_u64), ROUND)));
        pulse(ROUND);
        go_to(20);
        assert_eq!(weights_of(1), [(3, u16::MAX)]);
    });
}

#[test]
fn commits_are_checked() {
    run(timelocked(), || {
        let sealed = || TimelockedWeights::try_from(vec![7; 8]).unwrap();
        let call = |seed, netuid, round, version| {
            SubtensorModule::commit_timelocked_weights(
                signed(seed),
                netuid,
                sealed(),
                round,
                version,
            )
        };
        pulse(ROUND);
        assert_noop!(call(2, 0, ROUND, VERSION), Errors::CanNotSetRootNetworkWeights);
        assert_noop!(call(2, NETUID, ROUND - 1, VERSION), Errors::InvalidRevealRound);
        assert_noop!(call(2, NETUID, ROUND, 3), Errors::IncorrectCommitRevealVersion);
        assert_noop!(call(9, NETUID, ROUND, VERSION), Errors::HotKeyNotRegisteredInSubNet);
        assert_ok!(call(2, NETUID, ROUND, VERSION));
        assert_noop!(call(2, NETUID, ROUND, VERSION), Errors::CommittingWeightsTooFast);
        StakeThreshold::<Runtime>::put(55);
        assert_noop!(call(3, NETUID, ROUND, VERSION), Errors::NotEnoughStakeToSetWeights);
        StakeThreshold::<Runtime>::put(0);
        CommitRevealWeightsVersion::<Runtime>::put(5);
        assert_noop!(call(3, NETUID, ROUND, VERSION), Errors::IncorrectCommitRevealVersion);
        CommitRevealWeightsEnabled::<Runtime>::insert(NETUID, false);
        assert_noop!(call(3, NETUID, ROUND, 5), Errors::CommitRevealDisabled);
        let mechanism = SubtensorModule::commit_timelocked_mechanism_weights(
            signed(3),
            NETUID,
            1,
            sealed(),
            ROUND,
            VERSION,
        );
        assert_eq!(mechanism.unwrap_err(), Errors::MechanismDoesNotExist.into());
    });
}

#[test]
fn the_eleventh_commit_of_an_epoch_is_refused() {
    run(SubnetGenesis { weights_rate_limit: 0, ..timelocked() }, || {
        let sealed = || TimelockedWeights::try_from(vec![7; 8]).unwrap();
        for _ in 0..10 {
            assert_ok!(commit(2, sealed()));
        }
        assert_noop!(commit(2, sealed()), Errors::TooManyUnrevealedCommits);
        assert_ok!(commit(3, sealed()));
        go_to(20);
        assert_ok!(commit(2, sealed()));
    });
}

#[test]
fn each_mechanism_has_its_own_commits() {
    run(timelocked(), || {
        MechanismCountCurrent::<Runtime>::insert(NETUID, 2);
        let sealed = sealed(&payload(2, 3), ROUND);
        assert_ok!(SubtensorModule::commit_timelocked_mechanism_weights(
            signed(2),
            NETUID,
            1,
            sealed,
            ROUND,
            VERSION
        ));
        pulse(ROUND);
        go_to(20);
        assert_eq!(weights_of(1), []);
        assert_eq!(Weights::<Runtime>::get(4096 + NETUID, 1), [(3, u16::MAX)]);
    });
}

#[test]
fn genesis_decides_the_version() {
    let genesis =
        Genesis { subnets: vec![timelocked()], commit_reveal_version: 2, ..Genesis::default() };
    sp_io::TestExternalities::new(genesis.storage().unwrap()).execute_with(|| {
        assert_eq!(CommitRevealWeightsVersion::<Runtime>::get(), 2);
        assert_eq!(RevealPeriodEpochs::<Runtime>::get(NETUID), 1);
    });
}
