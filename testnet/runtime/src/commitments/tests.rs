use super::*;
use crate::drand::{self, beacon, timelock};
use crate::{
    AccountId, Commitments, Genesis, NeuronGenesis, Runtime, RuntimeOrigin, SubnetGenesis, System,
};
use frame_support::assert_ok;
use frame_support::traits::OnInitialize;

const NETUID: u16 = 3;

fn who() -> AccountId {
    AccountId::new([1; 32])
}

fn run(test: impl FnOnce()) {
    let neuron = NeuronGenesis { hotkey: who(), coldkey: who(), stake: 0, validator_permit: false };
    let subnet = SubnetGenesis::new(NETUID, who(), who(), 20, vec![neuron]);
    let genesis = Genesis { subnets: vec![subnet], ..Genesis::default() };
    sp_io::TestExternalities::new(genesis.storage().unwrap()).execute_with(|| {
        System::set_block_number(1);
        test();
    });
}

fn sealed(text: &str, reveal_round: u64) -> Data {
    let encrypted = timelock::seal(text.as_bytes(), reveal_round, &beacon::public_key()).unwrap();
    Data::TimelockEncrypted { encrypted: encrypted.try_into().unwrap(), reveal_round }
}

fn raw(text: &str) -> Data {
    Data::Raw(text.as_bytes().to_vec().try_into().unwrap())
}

fn commit(fields: Vec<Data>) {
    let info = Box::new(CommitmentInfo { fields: fields.try_into().unwrap() });
    assert_ok!(Commitments::set_commitment(RuntimeOrigin::signed(who()), NETUID, info));
}

fn pulse(round: u64) {
    drand::Pulses::<Runtime>::insert(round, drand::pulse(round));
}

fn next_block() {
    System::set_block_number(System::block_number() + 1);
    Commitments::on_initialize(System::block_number());
}

fn revealed() -> Vec<(Vec<u8>, u64)> {
    RevealedCommitments::<Runtime>::get(NETUID, who()).unwrap_or_default()
}

fn fields() -> Vec<Data> {
    CommitmentOf::<Runtime>::get(NETUID, who())
        .map(|stored| stored.info.fields.into_inner())
        .unwrap_or_default()
}

#[test]
fn a_timelocked_field_is_revealed_with_its_pulse() {
    run(|| {
        commit(vec![raw("open"), sealed("first", 50), sealed("second", 60)]);
        next_block();
        assert_eq!((revealed().len(), fields().len()), (0, 3));
        pulse(50);
        next_block();
        assert_eq!(revealed(), [(b"first".to_vec(), 3)]);
        assert_eq!((fields().len(), TimelockedIndex::<Runtime>::get().len()), (2, 1));
        pulse(60);
        next_block();
        assert_eq!(revealed(), [(b"first".to_vec(), 3), (b"second".to_vec(), 4)]);
        assert_eq!(fields(), [raw("open")]);
        assert!(TimelockedIndex::<Runtime>::get().is_empty());
        let event =
            crate::RuntimeEvent::from(Event::CommitmentRevealed { netuid: NETUID, who: who() });
        assert_eq!(System::events().iter().filter(|record| record.event == event).count(), 2);
    });
}

#[test]
fn a_commitment_of_nothing_else_is_gone_with_its_reveal() {
    run(|| {
        pulse(50);
        commit(vec![sealed("all there is", 50)]);
        next_block();
        assert_eq!(CommitmentOf::<Runtime>::get(NETUID, who()), None);
        assert_eq!(revealed(), [(b"all there is".to_vec(), 2)]);
    });
}

#[test]
fn a3_a_field_that_does_not_open_stays_as_one_that_failed() {
    run(|| {
        pulse(50);
        let Data::TimelockEncrypted { encrypted, .. } = sealed("of another round", 51) else {
            unreachable!()
        };
        let garbage = Data::TimelockEncrypted {
            encrypted: vec![9; 300].try_into().unwrap(),
            reveal_round: 50,
        };
        commit(vec![
            Data::TimelockEncrypted { encrypted, reveal_round: 50 },
            garbage,
            sealed("good", 50),
        ]);
        next_block();
        assert_eq!(revealed(), [(b"good".to_vec(), 2)]);
        let failed =
            |field: &Data| matches!(field, Data::TimelockRevealFailed { reveal_round: 50, .. });
        assert!(fields().len() == 2 && fields().iter().all(failed), "{:?}", fields());
        assert!(TimelockedIndex::<Runtime>::get().is_empty());
    });
}

#[test]
fn a_replaced_commitment_is_not_revealed() {
    run(|| {
        commit(vec![sealed("regretted", 50)]);
        commit(vec![raw("open")]);
        assert!(TimelockedIndex::<Runtime>::get().is_empty());
        pulse(50);
        next_block();
        assert_eq!((revealed(), fields()), (vec![], vec![raw("open")]));
    });
}

#[test]
fn the_last_ten_reveals_are_kept() {
    run(|| {
        pulse(50);
        for number in 0..12 {
            commit(vec![sealed(&number.to_string(), 50)]);
            next_block();
        }
        let texts: Vec<_> =
            revealed().into_iter().map(|(text, _)| String::from_utf8(text).unwrap()).collect();
        assert_eq!(texts, ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]);
    });
}
