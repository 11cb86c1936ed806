use super::timelock::{OpenError, open, seal};
use super::*;
use crate::{Drand, Genesis, Runtime, RuntimeOrigin};
use frame_support::{assert_noop, assert_ok};

type Errors = Error<Runtime>;

/// Quicknet's public key and its signature of round 1000, as drand publishes them.
const QUICKNET_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
const QUICKNET_ROUND: RoundNumber = 1_000;
const QUICKNET_SIGNATURE: &str = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";
const QUICKNET_RANDOMNESS: &str =
    "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd";

/// What the official Python client's core (`bittensor-drand` 2.0.0) made of "leoma timelock" for
/// that round: the ciphertext with its length before it and the round behind it.
const OFFICIAL: &str = "0904a6acb6c81cde73f8a8db414f4276642935475983127a7109dcb589d2b45a1b15238b91241b14d2e9d928bf7af2be3f6c1188bd18d22841fea0e72e2352549f0df268debd20d892397a38d2fd1c4c9ff699999463f3613b4546f36b363f755f8b200000000000000045e0fd671acf3fa455b2d92026c71baa97cf8f9755b87e2969ce1285fab39e6b2000000000000000fd3b6ffbaa7bbec0edc5922f073a9e06a5c689c4e72932606e4ae08d328521e53a000000000000001e000000000000000f29104c92d1634553e722dae17769c52994e764f8ffe18fb4f84ba9342c0c0000000000000040813da8bcfd12989150f11608000000000000004145535f47434d5fe803000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    sp_core::bytes::from_hex(hex).unwrap()
}

fn run(test: impl FnOnce()) {
    sp_io::TestExternalities::new(Genesis::default().storage().unwrap()).execute_with(test);
}

fn write_pulses(pulses: Vec<Pulse>) -> sp_runtime::DispatchResult {
    let Call::write_pulse { pulses_payload, signature } = write::<Runtime>(1, pulses);
    Drand::write_pulse(RuntimeOrigin::none(), pulses_payload, signature)
}

fn pulses(rounds: impl IntoIterator<Item = RoundNumber>) -> Vec<Pulse> {
    rounds.into_iter().map(pulse).collect()
}

#[test]
fn a_pulse_of_quicknet_is_verified() {
    let (key, signature) = (bytes(QUICKNET_KEY), bytes(QUICKNET_SIGNATURE));
    assert_eq!(beacon::verify(&key, QUICKNET_ROUND, &signature), Some(true));
    assert_eq!(beacon::verify(&key, QUICKNET_ROUND + 1, &signature), Some(false));
    assert_eq!(beacon::verify(&beacon::public_key(), QUICKNET_ROUND, &signature), Some(false));
    assert_eq!(beacon::verify(&key[1..], QUICKNET_ROUND, &signature), None);
    assert_eq!(beacon::verify(&key, QUICKNET_ROUND, &[0; 48]), None);
    assert_eq!(beacon::randomness(&signature)[..], bytes(QUICKNET_RANDOMNESS));
}

#[test]
fn rounds_follow_quicknets_clock() {
    let at = |seconds: u64| beacon::round_at(seconds * 1_000);
    assert_eq!(at(0), 0);
    assert_eq!(
        [beacon::GENESIS_TIME - 1, beacon::GENESIS_TIME, beacon::GENESIS_TIME + 2].map(at),
        [0, 1, 1]
    );
    assert_eq!(at(beacon::GENESIS_TIME + 3 * 999), QUICKNET_ROUND);
}

#[test]
fn what_is_sealed_opens_with_its_rounds_signature_alone() {
    let sealed = seal(b"a secret", 70, &beacon::public_key()).unwrap();
    assert_eq!(open(&sealed, &pulse(70).signature).unwrap(), b"a secret");
    assert_eq!(open(&sealed, &pulse(71).signature), Err(OpenError::Sealed));
    assert_eq!(open(&sealed, b"no point"), Err(OpenError::Signature));
    let other = seal(b"a secret", 70, &bytes(QUICKNET_KEY)).unwrap();
    assert_eq!(open(&other, &pulse(70).signature), Err(OpenError::Sealed));
    let again = seal(b"a secret", 70, &beacon::public_key()).unwrap();
    assert_ne!(sealed, again, "each has its own randomness");
}

#[test]
fn a_ciphertext_of_the_official_client_opens_with_quicknets_signature() {
    let (sealed, round) = <(Vec<u8>, RoundNumber)>::decode(&mut &bytes(OFFICIAL)[..]).unwrap();
    assert_eq!(round, QUICKNET_ROUND);
    assert_eq!(open(&sealed, &bytes(QUICKNET_SIGNATURE)).unwrap(), b"leoma timelock");
    let own = seal(b"leoma timelock", QUICKNET_ROUND, &bytes(QUICKNET_KEY)).unwrap();
    assert_eq!(own.len(), sealed.len());
}

#[test]
fn a_changed_or_hostile_ciphertext_is_refused() {
    let sealed = seal(b"a secret", 70, &beacon::public_key()).unwrap();
    let signature = pulse(70).signature;
    for len in 0..sealed.len() {
        assert_eq!(open(&sealed[..len], &signature), Err(OpenError::Malformed), "{len} bytes");
    }
    // Each of the lengths, one that asks for all the memory there is.
    for at in [96, 96 + 40, 96 + 80, 96 + 88] {
        let mut hostile = sealed.clone();
        hostile[at..at + 8].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
        assert_eq!(open(&hostile, &signature), Err(OpenError::Malformed), "length at {at}");
    }
    for at in [100, 110, 150, 200] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(open(&changed, &signature).is_err(), "byte {at}");
    }
    let mut longer = sealed;
    longer.extend_from_slice(b"more");
    assert_eq!(open(&longer, &signature).unwrap(), b"a secret", "as on the live chain");
}

#[test]
fn pulses_follow_one_another() {
    run(|| {
        assert_ok!(write_pulses(pulses(500..502)));
        assert_eq!(
            (LastStoredRound::<Runtime>::get(), OldestStoredRound::<Runtime>::get()),
            (501, 500)
        );
        for wrong in [500, 501, 503] {
            assert_noop!(write_pulses(pulses([wrong])), Errors::InvalidRoundNumber);
        }
        assert_noop!(write_pulses(pulses([502, 504])), Errors::InvalidRoundNumber);
        assert_ok!(write_pulses(pulses([502])));
        assert_eq!(<Drand as PulseSource>::signature(502), Some(pulse(502).signature.into_inner()));
        assert_eq!(<Drand as PulseSource>::signature(503), None);
    });
}

#[test]
fn only_the_beacons_pulses_are_taken_and_only_from_the_blocks_maker() {
    run(|| {
        let stolen = Pulse { round: 7, ..pulse(8) };
        assert_noop!(write_pulses(vec![stolen]), Errors::UnverifiedPulse);
        let loud = Pulse { randomness: BoundedVec::truncate_from(vec![0; 32]), ..pulse(7) };
        assert_noop!(write_pulses(vec![loud]), Errors::UnverifiedPulse);
        let broken = Pulse { signature: BoundedVec::truncate_from(vec![0; 48]), ..pulse(7) };
        assert_noop!(write_pulses(vec![broken]), Errors::PulseVerificationError);
        let Call::write_pulse { pulses_payload, signature } = write::<Runtime>(1, pulses([7]));
        let signed = RuntimeOrigin::signed(crate::AccountId::new([1; 32]));
        assert_noop!(
            Drand::write_pulse(signed, pulses_payload, signature),
            sp_runtime::traits::BadOrigin
        );
    });
}

#[test]
fn old_pulses_are_removed() {
    run(|| {
        // Rounds 1 to 3 and all after them, of which only the first matter here.
        for pulse in pulses(1..4) {
            Pulses::<Runtime>::insert(pulse.round, pulse);
        }
        OldestStoredRound::<Runtime>::put(1);
        LastStoredRound::<Runtime>::put(MAX_KEPT_PULSES);
        assert_ok!(write_pulses(pulses([MAX_KEPT_PULSES + 1, MAX_KEPT_PULSES + 2])));
        assert_eq!(OldestStoredRound::<Runtime>::get(), 3);
        assert_eq!([1, 2, 3].map(Pulses::<Runtime>::contains_key), [false, false, true]);
    });
}

#[test]
fn a_chain_that_stood_still_for_long_begins_anew() {
    run(|| {
        assert_ok!(write_pulses(pulses([5])));
        let edge = 5 + MAX_KEPT_PULSES;
        assert_noop!(write_pulses(pulses([edge])), Errors::InvalidRoundNumber);
        assert_ok!(write_pulses(pulses([edge + 1])));
        assert_eq!(
            (OldestStoredRound::<Runtime>::get(), Pulses::<Runtime>::iter().count()),
            (edge + 1, 1)
        );
    });
}
