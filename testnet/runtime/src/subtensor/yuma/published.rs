//! The cases that the live chain's own tests publish, with the figures they expect of a whole
//! emission of 10⁹, met exactly: those that the tests assert, and those that stand in their
//! comments as traces.

use super::*;

/// Neurons of these stakes, registered in block 0; those with stake have a permit and updated last
/// in block 1.
fn subnet(stakes: &[u64]) -> Input {
    let neuron = |stake: &u64| NeuronInput {
        stake: *stake,
        permit: *stake > 0,
        last_update: u64::from(*stake > 0),
        ..NeuronInput::default()
    };
    Input {
        now: 1,
        bonds_since: 1,
        activity_cutoff: 5_000,
        kappa: 32_767,
        bonds_moving_average: 900_000,
        bonds_penalty: u16::MAX,
        max_validators: stakes.len() as u16,
        stake_threshold: 0,
        owner: None,
        neurons: stakes.iter().map(neuron).collect(),
    }
}

/// Runs one epoch and keeps what it decided for the next.
fn step(input: &mut Input) -> Outcome {
    let outcome = epoch(input);
    for ((neuron, bonds), permit) in
        input.neurons.iter_mut().zip(&outcome.bonds).zip(&outcome.permits)
    {
        neuron.bonds.clone_from(bonds);
        neuron.permit = *permit;
    }
    input.now += 1;
    outcome
}

/// The bond of a validator with a miner.
fn bond(outcome: &Outcome, from: usize, target: u16) -> u16 {
    outcome.bonds[from].iter().find(|(uid, _)| *uid == target).map_or(0, |(_, bond)| *bond)
}

#[test]
fn a_single_neuron_earns_nothing_by_voting_for_itself() {
    let mut case = subnet(&[1]);
    case.neurons[0].weights = vec![(0, u16::MAX)];
    let outcome = epoch(&case);
    assert_eq!(
        (&outcome.consensus[..], &outcome.incentive[..], &outcome.dividends[..]),
        (&[0][..], &[0][..], &[0][..])
    );
}

#[test]
fn ten_that_vote_for_themselves_share_by_stake() {
    let mut case = subnet(&[1; 10]);
    for (uid, neuron) in (0..).zip(&mut case.neurons) {
        neuron.weights = vec![(uid, u16::MAX)];
    }
    let outcome = epoch(&case);
    assert_eq!((outcome.incentive, outcome.dividends), (vec![0; 10], vec![0; 10]));
    assert_eq!(outcome.emission, [99_999_999; 10]);
}

#[test]
fn sixty_four_validators_and_448_miners_share_evenly() {
    const STAKE: u64 = 328_125_000_000_000;
    // Validators first, and every eighth neuron a validator; miners with and without votes for
    // themselves.
    for (validator, self_votes) in
        [(0..64, 1), (0..512, 8)].into_iter().flat_map(|(range, every)| {
            let of = move |uid: usize| range.contains(&uid) && uid.is_multiple_of(every);
            [(of.clone(), false), (of, true)]
        })
    {
        let stakes: Vec<u64> = (0..512).map(|uid| if validator(uid) { STAKE } else { 0 }).collect();
        let mut case = Input { max_validators: 64, ..subnet(&stakes) };
        let votes: Vec<(u16, u16)> = (0..512)
            .filter(|uid| !validator(usize::from(*uid)))
            .map(|uid| (uid, u16::MAX))
            .collect();
        for (uid, neuron) in case.neurons.iter_mut().enumerate() {
            if validator(uid) {
                neuron.weights.clone_from(&votes);
            } else if self_votes {
                neuron.weights = vec![(uid as u16, u16::MAX)];
            }
        }
        step(&mut case);
        step(&mut case);
        let outcome = step(&mut case);
        let miner = votes[0].0;
        for uid in 0..512 {
            let seen = (
                outcome.consensus[uid],
                outcome.incentive[uid],
                outcome.dividends[uid],
                outcome.emission[uid],
            );
            if validator(uid) {
                assert_eq!(seen, (0, 0, 1_023, 7_812_500), "uid {uid}");
                assert_eq!(bond(&outcome, uid, miner), u16::MAX);
            } else {
                assert_eq!(seen, (146, 146, 0, 1_116_071), "uid {uid}");
                assert_eq!(outcome.bonds[uid], []);
            }
        }
    }
}

#[test]
fn bonds_follow_votes_over_eight_epochs() {
    let mut case = subnet(&[1, 2, 3, 4, 0, 0, 0, 0]);
    let votes = [(4, 16_383), (5, 32_767), (6, 49_149), (7, u16::MAX)];
    for neuron in &mut case.neurons[..4] {
        neuron.weights = votes.to_vec();
    }
    // Who changes its vote before the epoch, to what; then the emission, and the bonds of the four
    // with one miner.
    type Step = (Option<(usize, u16)>, [u64; 8], (u16, [u16; 4]));
    let miners = [49_998_779, 100_000_610, 149_996_337, 200_004_272];
    let shared = |a, b, c, d| [a, b, c, d, miners[0], miners[1], miners[2], miners[3]];
    let winner = |a, b, c, d| [a, b, c, d, 0, 0, 0, 500_000_000];
    let steps: [Step; 8] = [
        (
            None,
            shared(49_999_998, 99_999_999, 150_000_000, 200_000_001),
            (4, [16_383, 32_767, 49_151, 65_535]),
        ),
        (
            Some((0, 0)),
            shared(44_998_351, 101_110_561, 151_667_215, 202_223_870),
            (4, [14_582, 32_767, 49_151, 65_535]),
        ),
        (
            Some((1, 1)),
            shared(40_496_805, 90_999_783, 157_929_636, 210_573_773),
            (4, [12_603, 28_321, 49_151, 65_535]),
        ),
        (
            Some((2, 2)),
            [99_999_999, 199_999_999, 299_999_999, 399_999_999, 0, 0, 0, 0],
            (7, [12_602, 28_320, 49_150, 65_535]),
        ),
        (
            Some((2, 7)),
            winner(36_443_733, 81_898_628, 163_565_493, 218_092_144),
            (7, [10_951, 24_609, 49_150, 65_535]),
        ),
        (
            None,
            winner(32_799_427, 73_706_612, 168_638_129, 224_855_830),
            (7, [9_559, 21_482, 49_150, 65_535]),
        ),
        (
            None,
            winner(29_518_068, 66_336_137, 173_203_134, 230_942_659),
            (7, [8_376, 18_824, 49_150, 65_535]),
        ),
        (
            None,
            winner(26_565_175, 59_701_871, 177_311_856, 236_421_095),
            (7, [7_363, 16_549, 49_150, 65_535]),
        ),
    ];
    for (number, (change, emission, (miner, bonds))) in steps.into_iter().enumerate() {
        if let Some((uid, target)) = change {
            case.neurons[uid].weights = vec![(target, u16::MAX)];
            case.neurons[uid].last_update = case.now;
        }
        let outcome = step(&mut case);
        assert_eq!(outcome.emission, emission, "epoch {number}");
        assert_eq!([0, 1, 2, 3].map(|uid| bond(&outcome, uid, miner)), bonds, "epoch {number}");
    }
}

#[test]
fn the_inactive_keep_their_stake_and_lose_their_say() {
    let mut case = Input { now: 5_002, ..subnet(&[1; 4]) };
    for (neuron, bond) in case.neurons[..2].iter_mut().zip([u16::MAX, 53_619]) {
        neuron.weights = vec![(2, u16::MAX), (3, u16::MAX)];
        neuron.last_update = 5_002;
        neuron.bonds = vec![(2, bond), (3, bond)];
    }
    for neuron in &mut case.neurons[2..] {
        neuron.last_update = 0;
    }
    let outcome = epoch(&case);
    assert_eq!(outcome.dividends, [35_716, 29_818, 0, 0]);
    assert_eq!(outcome.emission, [272_501_132, 227_498_866, 250_000_000, 250_000_000]);
    for miner in [2, 3] {
        assert_eq!((bond(&outcome, 0, miner), bond(&outcome, 1, miner)), (65_535, 54_712));
    }
}

#[test]
fn votes_and_bonds_for_a_former_neuron_are_void() {
    let mut case = subnet(&[1; 4]);
    for (uid, neuron) in (0..).zip(&mut case.neurons) {
        neuron.weights =
            if uid < 2 { vec![(2, u16::MAX), (3, 32_768)] } else { vec![(uid, u16::MAX)] };
    }
    assert_eq!(step(&mut case).emission, [250_000_000, 250_000_000, 333_331_637, 166_668_361]);
    // Uid 3 changes hands; only uid 0 votes anew.
    case.neurons[3] = NeuronInput { registered: 1, last_update: 1, ..NeuronInput::default() };
    case.neurons[0].last_update = 2;
    let outcome = step(&mut case);
    assert_eq!(outcome.dividends[0], 32_767);
    assert_eq!(outcome.emission, [250_000_000, 250_000_000, 500_000_000, 0]);
    assert_eq!(bond(&outcome, 0, 2), 65_535);
}

#[test]
fn without_a_vote_that_counts_stake_earns_everything() {
    let mut case = subnet(&[1, 0]);
    assert_eq!(epoch(&case).emission, [1_000_000_000, 0]);
    case.neurons[1].weights = vec![(1, u16::MAX)];
    assert_eq!(epoch(&case).emission, [1_000_000_000, 0], "votes for oneself");
    case.neurons[0].weights = vec![(1, u16::MAX)];
    case.neurons[1].registered = 2;
    assert_eq!(epoch(&case).emission, [1_000_000_000, 0], "a vote for a former neuron");
    case.neurons[0].last_update = 3;
    assert_eq!(epoch(&case).emission, [500_000_000; 2]);
}

#[test]
fn permits_move_with_stake() {
    for (neurons, validators) in [(2_u64, 1), (4, 2), (8, 4)] {
        for every in [1, 2] {
            let validator =
                |uid: u64| if every == 1 { uid < validators } else { uid.is_multiple_of(2) };
            for grown in [false, true] {
                let stake = |uid: u64| match (grown, validator(uid)) {
                    (false, own) => u64::from(own),
                    (true, true) => uid + neurons,
                    (true, false) => uid,
                };
                let mut case = Input {
                    max_validators: validators as u16,
                    ..subnet(&(0..neurons).map(stake).collect::<Vec<_>>())
                };
                assert_eq!(
                    step(&mut case).permits,
                    (0..neurons).map(validator).collect::<Vec<_>>()
                );
                for (uid, neuron) in (0..).zip(&mut case.neurons) {
                    neuron.stake += if validator(uid) { 0 } else { 2 * neurons };
                }
                assert_eq!(
                    step(&mut case).permits,
                    (0..neurons).map(|uid| !validator(uid)).collect::<Vec<_>>()
                );
            }
        }
    }
}
