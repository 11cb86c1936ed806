use super::*;

fn validator(stake: u64, weights: &[(u16, u16)]) -> NeuronInput {
    NeuronInput {
        stake,
        permit: true,
        last_update: 90,
        weights: weights.to_vec(),
        ..NeuronInput::default()
    }
}

fn input(neurons: Vec<NeuronInput>) -> Input {
    Input {
        now: 100,
        bonds_since: 50,
        activity_cutoff: 5_000,
        kappa: 32_767,
        bonds_moving_average: 900_000,
        bonds_penalty: u16::MAX,
        max_validators: 64,
        stake_threshold: 0,
        owner: Some(0),
        neurons,
    }
}

#[test]
fn agreed_winner_takes_all_incentive() {
    let miner = NeuronInput::default;
    let vote = |stake| validator(stake, &[(4, u16::MAX)]);
    let outcome = epoch(&input(vec![miner(), vote(10), vote(20), vote(30), miner()]));
    assert_eq!(outcome.incentive, [0, 0, 0, 0, u16::MAX]);
    assert_eq!(outcome.consensus[4], u16::MAX);
    assert_eq!(outcome.permits, [true, true, true, true, false]);
    let third = |share: u64| u64::from(u16::MAX) * share / 6;
    for (uid, share) in [(1, 1), (2, 2), (3, 3)] {
        assert!(
            u64::from(outcome.dividends[uid]).abs_diff(third(share)) <= 1,
            "{:?}",
            outcome.dividends
        );
    }
    assert!(outcome.emission.iter().sum::<u64>().abs_diff(1_000_000_000) <= 5);
}

#[test]
fn a_minority_cannot_lift_its_miner() {
    let neurons = vec![
        NeuronInput::default(),
        validator(30, &[(3, u16::MAX)]),
        validator(20, &[(4, u16::MAX)]),
        NeuronInput::default(),
        NeuronInput::default(),
    ];
    let outcome = epoch(&input(neurons));
    assert_eq!(outcome.incentive[3], u16::MAX);
    assert_eq!(outcome.incentive[4], 0);
    assert_eq!(outcome.validator_trust[1], u16::MAX);
    assert_eq!(outcome.validator_trust[2], 0);
    assert_eq!(outcome.dividends[2], 0);
}

#[test]
fn votes_without_permit_for_oneself_or_for_a_former_neuron_do_not_count() {
    let mut without = validator(50, &[(4, u16::MAX)]);
    without.permit = false;
    let own = validator(40, &[(2, u16::MAX)]);
    let mut fresh = NeuronInput { registered: 95, ..NeuronInput::default() };
    let outcome = epoch(&input(vec![
        NeuronInput::default(),
        without,
        own,
        validator(10, &[(4, 1)]),
        fresh.clone(),
    ]));
    assert_eq!(outcome.incentive, [0; 5]);
    // Stake earns then, as far as it has a say.
    let expected = [0_u64, 0, 800_000_000, 200_000_000, 0];
    let close = |(share, expected): (&u64, &u64)| share.abs_diff(*expected) <= 1;
    assert!(outcome.emission.iter().zip(&expected).all(close), "{:?}", outcome.emission);
    fresh.registered = 80;
    let outcome = epoch(&input(vec![NeuronInput::default(), validator(10, &[(2, 1)]), fresh]));
    assert_eq!(outcome.incentive[2], u16::MAX);
}

#[test]
fn the_inactive_have_no_say() {
    let mut silent = validator(90, &[(3, u16::MAX)]);
    silent.last_update = 10;
    let mut case = input(vec![
        NeuronInput::default(),
        silent,
        validator(10, &[(4, 1)]),
        NeuronInput::default(),
        NeuronInput::default(),
    ]);
    case.activity_cutoff = 50;
    let outcome = epoch(&case);
    assert_eq!(outcome.active, [false, false, true, false, false]);
    assert_eq!(outcome.incentive[4], u16::MAX);
}

#[test]
fn bonds_move_slowly() {
    let mut first = validator(10, &[(3, 1)]);
    first.bonds = vec![(3, u16::MAX)];
    let second = validator(10, &[(3, 1)]);
    let outcome =
        epoch(&input(vec![NeuronInput::default(), first, second, NeuronInput::default()]));
    // 0.9 of the old bond and 0.1 of an even split: 0.95 against 0.05.
    assert!(outcome.dividends[1].abs_diff(62_258) <= 1, "{:?}", outcome.dividends);
    assert!(outcome.dividends[2].abs_diff(3_276) <= 1, "{:?}", outcome.dividends);
    assert_eq!(outcome.bonds[1], [(3, u16::MAX)]);
}

#[test]
fn permits_go_to_the_largest_stakes_and_the_owner() {
    let with = |stake| NeuronInput { stake, ..NeuronInput::default() };
    let mut case = input(vec![with(0), with(5), with(9), with(5), with(0)]);
    case.max_validators = 2;
    assert_eq!(epoch(&case).permits, [true, false, true, true, false]);
    case.stake_threshold = 6;
    assert_eq!(epoch(&case).permits, [true, false, true, false, false]);
}

#[test]
fn an_empty_subnet_has_an_empty_epoch() {
    assert_eq!(epoch(&input(Vec::new())), Outcome::default());
}
