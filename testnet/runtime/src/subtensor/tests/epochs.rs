use super::*;

#[test]
fn epochs_come_every_tempo_and_decide_permits() {
    run(SubnetGenesis { max_allowed_validators: 1, ..subnet() }, || {
        go_to(19);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(NETUID), 0);
        go_to(20);
        assert_eq!(
            (SubnetEpochIndex::<Runtime>::get(NETUID), LastEpochBlock::<Runtime>::get(NETUID)),
            (1, 20)
        );
        // The largest stake and the owner.
        assert_eq!(ValidatorPermit::<Runtime>::get(NETUID), [true, true, false, false]);
        go_to(60);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(NETUID), 3);
    });
}

#[test]
fn an_epoch_that_was_asked_for_comes_early_and_the_next_one_a_tempo_later() {
    run(subnet(), || {
        PendingEpochAt::<Runtime>::insert(NETUID, 7);
        go_to(6);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(NETUID), 0);
        assert!(
            !SubtensorModule::epoch_is_due(NETUID, 6) && SubtensorModule::epoch_is_due(NETUID, 7)
        );
        go_to(7);
        assert_eq!(
            (SubnetEpochIndex::<Runtime>::get(NETUID), LastEpochBlock::<Runtime>::get(NETUID)),
            (1, 7)
        );
        assert_eq!(PendingEpochAt::<Runtime>::get(NETUID), 0);
        go_to(26);
        assert_eq!(
            (SubnetEpochIndex::<Runtime>::get(NETUID), BlocksSinceLastStep::<Runtime>::get(NETUID)),
            (1, 19)
        );
        go_to(27);
        assert_eq!(
            (SubnetEpochIndex::<Runtime>::get(NETUID), BlocksSinceLastStep::<Runtime>::get(NETUID)),
            (2, 0)
        );
    });
}

#[test]
fn the_block_of_an_epoch_belongs_to_the_new_one_before_it_has_run() {
    run(subnet(), || {
        go_to(19);
        assert_eq!(SubtensorModule::epoch_with_lookahead(NETUID), 0);
        System::set_block_number(20);
        assert_eq!(SubtensorModule::epoch_with_lookahead(NETUID), 1);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(NETUID), 0);
    });
}

#[test]
fn a_subnet_without_a_tempo_has_no_epochs() {
    run(SubnetGenesis { tempo: 0, ..subnet() }, || {
        PendingEpochAt::<Runtime>::insert(NETUID, 2);
        go_to(10);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(NETUID), 0);
    });
}

#[test]
fn permits_follow_stake_from_one_epoch_to_the_next() {
    run(SubnetGenesis { max_allowed_validators: 1, ..subnet() }, || {
        go_to(20);
        assert_eq!(ValidatorPermit::<Runtime>::get(NETUID), [true, true, false, false]);
        TotalHotkeyAlpha::<Runtime>::insert(account(4), NETUID, 100);
        go_to(39);
        assert_eq!(ValidatorPermit::<Runtime>::get(NETUID), [true, true, false, false]);
        go_to(40);
        assert_eq!(ValidatorPermit::<Runtime>::get(NETUID), [true, false, false, true]);
    });
}

#[test]
fn weights_for_a_seat_stay_when_it_changes_hands_and_count_no_more() {
    run(subnet(), || {
        assert_ok!(SubtensorModule::burned_register(signed(100), NETUID, account(5)));
        go_to(2);
        for seed in [2, 3] {
            assert_ok!(SubtensorModule::set_weights(signed(seed), NETUID, vec![3], vec![1], 0));
        }
        go_to(20);
        assert_eq!(Incentive::<Runtime>::get(NETUID), [0, 0, 0, u16::MAX, 0]);
        go_to(30);
        Emission::<Runtime>::insert(NETUID, vec![0, 9, 9, 5, 7]);
        assert_ok!(SubtensorModule::burned_register(signed(100), NETUID, account(6)));
        assert_eq!(Keys::<Runtime>::get(NETUID, 3), account(6));
        for uid in [1, 2] {
            assert_eq!(
                Weights::<Runtime>::get(NETUID, uid),
                [(3, u16::MAX)],
                "the vote sticks to the seat"
            );
        }
        assert_eq!(Incentive::<Runtime>::get(NETUID)[3], 0);
        go_to(40);
        assert_eq!(Incentive::<Runtime>::get(NETUID), [0; 5], "nobody has voted for the newcomer");
    });
}
