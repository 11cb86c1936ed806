//! What made honest validators differ before the chain decided what counts, case by case. Each test
//! of a case first lets two validators compute as they did then, which divides them, and then by the
//! rule. C8 has no case.

use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey, TaskId, Witness};
use leoma_rotation::{
    AllowlistHistory, Attested, Certificates, Decision, EpochInputs, Reason, TaskVerdicts, counted,
    epoch, own_witness, uncertified_epoch,
};

use crate::subnet::{EPOCH, INTERVAL, Subnet, file, hotkey, list, primaries};

/// What one validator holds.
#[derive(Clone)]
struct View {
    files: Vec<TaskVerdicts>,
    certificates: Certificates,
}

impl View {
    /// These files, all of them certified.
    fn certified(files: Vec<TaskVerdicts>) -> Self {
        let certificates = files.iter().map(|file| (file.id, file.digest)).collect();
        Self { files, certificates }
    }

    /// What an honest validator with this view may witness.
    fn held(&self) -> Vec<FileId> {
        let is_certified =
            |file: &&TaskVerdicts| self.certificates.get(&file.id) == Some(file.digest);
        self.files.iter().filter(is_certified).map(|file| file.id).collect()
    }

    fn decide(&self, subnet: &Subnet) -> Decision {
        let (_, decision) = epoch(&EpochInputs {
            params: &subnet.params,
            history: &subnet.history,
            snapshot: &subnet.snapshot,
            files: &self.files,
            certificates: &self.certificates,
        });
        decision
    }
}

/// The winner by what is held, as validators computed it before.
fn by_holdings(subnet: &Subnet, files: &[TaskVerdicts]) -> Hotkey {
    let (outcome, _) = uncertified_epoch(&subnet.params, &subnet.history, &subnet.snapshot, files);
    outcome.winner.unwrap().hotkey
}

fn winner(decision: &Decision) -> Hotkey {
    let weights = decision.weights().unwrap_or_else(|| panic!("{decision:?}"));
    weights.entries[0].hotkey
}

/// Four validators, nobody has witnessed yet. A tie is won by miner 100, the earlier one.
fn subnet() -> Subnet {
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.snapshot.witnesses.clear();
    subnet
}

const TIE: [(u8, bool); 2] = [(100, true), (101, true)];
const FIRST: [(u8, bool); 2] = [(100, true), (101, false)];
const SECOND: [(u8, bool); 2] = [(100, false), (101, true)];

#[test]
fn c1_two_buckets_with_two_files_divide_nobody() {
    // Validator 0 shows one file to 1 and another one to 2, and attests to each there.
    let (one, two) = (file(40, 0, &FIRST), file(40, 0, &SECOND));
    let common: Vec<_> = (37..40).map(|task| file(task, (task % 4) as u8, &TIE)).collect();
    let with = |more: &TaskVerdicts| [&common[..], std::slice::from_ref(more)].concat();
    let mut subnet = subnet();
    assert_ne!(by_holdings(&subnet, &with(&one)), by_holdings(&subnet, &with(&two)));

    let attest = |file: &TaskVerdicts, attester: u8| Attested {
        file: file.id,
        digest: file.digest,
        attester: hotkey(attester),
    };
    let view = |file: &TaskVerdicts, honest: u8| {
        let everybody = common.iter().flat_map(|file| (0..4).map(|by| attest(file, by)));
        let seen = everybody.chain([attest(file, 0), attest(file, honest)]);
        View { files: with(file), certificates: Certificates::count(&subnet.history, seen) }
    };
    let (left, right) = (view(&one, 1), view(&two, 2));
    let everything: Vec<FileId> = with(&one).iter().map(|file| file.id).collect();
    subnet.witness(hotkey(0), &everything);
    subnet.witness(hotkey(1), &left.held());
    subnet.witness(hotkey(2), &right.held());
    assert_eq!(left.decide(&subnet), right.decide(&subnet));
    assert_eq!(winner(&left.decide(&subnet)), hotkey(100), "the tie of the tasks before");
}

#[test]
fn c2_a_validator_that_is_cut_off_sets_nothing_and_a_split_in_two_halves_agrees() {
    let old: Vec<_> = (33..37).map(|task| file(task, (task % 4) as u8, &FIRST)).collect();
    let new: Vec<_> = (37..=40).map(|task| file(task, (task % 4) as u8, &SECOND)).collect();
    let all = [old.clone(), new].concat();
    let mut cut_off = subnet();
    cut_off.params.window_tasks = 4;
    assert_ne!(by_holdings(&cut_off, &old), by_holdings(&cut_off, &all));

    // Validator 3 has the chain and nothing else since task 36.
    let mut split = cut_off.clone();
    let (stale, full) = (View::certified(old), View::certified(all));
    for validator in 0..3 {
        cut_off.witness(hotkey(validator), &full.held());
    }
    cut_off.witness(hotkey(3), &stale.held());
    assert_eq!(winner(&full.decide(&cut_off)), hotkey(101));
    let missing = Decision::Abstain { reason: Reason::MissingFiles { files: 4 } };
    assert_eq!(stale.decide(&cut_off), missing);

    // Two against two: no half can certify anything, so all witness what there was before.
    for validator in 0..4 {
        split.witness(hotkey(validator), &stale.held());
    }
    assert_eq!(stale.decide(&split), full.decide(&split));
    assert_eq!(winner(&stale.decide(&split)), hotkey(100));
}

#[test]
fn c3_evidence_after_the_boundary_takes_nothing_out_of_the_window() {
    let mut files = primaries(4, 37, &TIE);
    files[3] = file(40, 0, &SECOND);
    let without: Vec<_> =
        files.iter().filter(|file| file.id.producer != hotkey(0)).cloned().collect();
    let mut subnet = subnet();
    assert_ne!(by_holdings(&subnet, &files), by_holdings(&subnet, &without));

    // One that heard of it before computing and threw the files away cannot compute; it cannot
    // compute something else.
    let (early, late) = (View::certified(files), View::certified(without));
    for validator in 0..4 {
        subnet.witness(hotkey(validator), &early.held());
    }
    assert_eq!(winner(&early.decide(&subnet)), hotkey(101));
    let missing = Decision::Abstain { reason: Reason::MissingFiles { files: 1 } };
    assert_eq!(late.decide(&subnet), missing);
}

#[test]
fn c4_a_certificate_that_completes_after_the_boundary_changes_nothing() {
    // Task 40: validator 1 stepped in; validator 0's own file is certified only later.
    let (primary, stand_in) = (file(40, 0, &SECOND), file(40, 1, &FIRST));
    let common: Vec<_> = (37..40).map(|task| file(task, (task % 4) as u8, &TIE)).collect();
    let early = View::certified([&common[..], std::slice::from_ref(&stand_in)].concat());
    let late = View::certified([&common[..], &[stand_in.clone(), primary]].concat());
    let mut subnet = subnet();
    assert_ne!(by_holdings(&subnet, &early.files), by_holdings(&subnet, &late.files));

    for validator in 1..4 {
        subnet.witness(hotkey(validator), &early.held());
    }
    // The liar has its certificate in its pocket, and one witness is not enough.
    subnet.witness(hotkey(0), &late.held());
    assert_eq!(early.decide(&subnet), late.decide(&subnet));
    let found = counted(&subnet.params, &subnet.history, &subnet.snapshot).unwrap();
    assert_eq!(found.files[3], stand_in.id);
}

#[test]
fn c5_a_list_that_is_committed_after_the_boundary_changes_nothing() {
    let mut files = primaries(4, 37, &TIE);
    files[3] = file(40, 0, &SECOND);
    let mut subnet = Subnet::new(4, files);
    // Whoever has not polled yet does not know that validator 0 had no turn at task 40.
    let mut polled = subnet.clone();
    polled.history.commit(BlockNumber(3999), list(INTERVAL, 3)).unwrap();
    assert_ne!(by_holdings(&subnet, &subnet.files), by_holdings(&polled, &polled.files));

    // By the rule both read the lists of the epoch block, whatever they have polled since.
    let before = (subnet.outcome(), subnet.decide());
    for later in [list(INTERVAL, 40), list(INTERVAL / 2, 3), list(10 * INTERVAL, 4)] {
        let mut polled = subnet.clone();
        polled.history.commit(BlockNumber(EPOCH + 1), later).unwrap();
        assert_eq!((polled.outcome(), polled.decide()), before);
    }
    // Up to the boundary it changes who witnesses.
    subnet.history.commit(BlockNumber(EPOCH - 1), list(INTERVAL, 40)).unwrap();
    let few = Reason::TooFewWitnesses { fresh: 4, required: 14 };
    assert_eq!(subnet.decide().reason(), few);
}

#[test]
fn c5_certificates_are_counted_by_the_lists_of_the_epoch_block() {
    // From task 40 on the list is validators 0 to 3 of 16. Some hear of that a few blocks late, and
    // validator 0 shows them another file than those that know: each has a quorum by the list that
    // its attesters believe in.
    let late = AllowlistHistory::since_genesis(list(INTERVAL, 16));
    let mut subnet = Subnet::new(16, Vec::new());
    subnet.history.commit(BlockNumber(3999), list(INTERVAL, 4)).unwrap();
    let (one, two) = (file(40, 0, &FIRST), file(40, 0, &SECOND));
    let attest = |file: &TaskVerdicts, attester: u8| Attested {
        file: file.id,
        digest: file.digest,
        attester: hotkey(attester),
    };
    let for_one = [0, 1, 2].map(|by| attest(&one, by));
    let for_two = [0, 3].into_iter().chain(4..16).map(|by| attest(&two, by));
    let for_two: Vec<Attested> = for_two.collect();
    let certified = |history: &AllowlistHistory, seen: &[Attested]| {
        Certificates::count(history, seen.iter().copied()).get(&one.id)
    };
    assert_eq!(certified(&late, &for_two), Some(two.digest));
    assert_eq!(certified(&subnet.history, &for_one), Some(one.digest));
    // Counted again by the lists of the epoch block, whoever has which votes agrees or has none.
    assert_eq!(certified(&subnet.history, &for_two), None);
    let all = [&for_one[..], &for_two].concat();
    assert_eq!(certified(&subnet.history, &all), Some(one.digest));
}

#[test]
fn c6_a_changed_interval_moves_no_task_and_no_witness() {
    // Tasks 0 to 29 have 100 blocks, from block 3000 on the tasks are 60, 61, … of 50. The lookback
    // begins with task 20.
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.params.lookback_blocks = EPOCH - 20 * INTERVAL;
    subnet.history.commit(BlockNumber(2950), list(INTERVAL / 2, 4)).unwrap();
    let tasks: Vec<u64> = (20..30).chain(60..=82).collect();
    let verdicts = |task: u64| if task < 60 { SECOND } else { TIE };
    let files = tasks.iter().map(|task| file(*task, (task % 4) as u8, &verdicts(*task)));
    subnet.files = files.collect();
    subnet.agree();
    // Divided by the newest interval, tasks 20 to 29 ended long before the lookback.
    let mut divided = subnet.clone();
    divided.history = AllowlistHistory::since_genesis(list(INTERVAL / 2, 4));
    assert_ne!(by_holdings(&subnet, &subnet.files), by_holdings(&divided, &divided.files));

    assert_eq!(winner(&subnet.decide()), hotkey(101));
    let window: Vec<u64> = subnet.outcome().window.iter().map(|file| file.task_id.0).collect();
    assert_eq!(window, tasks);
    // Numbers that no list makes are in no witness, and a restarted validator writes the same.
    let held = |_: &FileId| true;
    let block = BlockNumber(EPOCH);
    let witness = own_witness(&subnet.params, &subnet.history, block, held);
    assert!(witness.holds(TaskId(29), 0) && witness.holds(TaskId(60), 1));
    assert!(!witness.holds(TaskId(30), 0) && !witness.holds(TaskId(59), 0));
    let again = Witness::decode(&witness.encode().concat()).unwrap().unwrap();
    assert_eq!(again, witness);
}

#[test]
fn c7_what_is_fetched_is_what_the_window_holds() {
    // Nobody produced most tasks: the five of the window are not the five newest numbers.
    let produced = [4, 9, 17, 28, 40, 22];
    let verdicts = |task: u64| if task < 40 { SECOND } else { FIRST };
    let files = produced.map(|task| file(task, (task % 4) as u8, &verdicts(task)));
    let mut subnet = Subnet::new(4, files.to_vec());
    subnet.params.window_tasks = 5;
    // One that was there all the time holds every file; one that comes back fetches those of the
    // five newest numbers.
    let newest = |file: &&TaskVerdicts| (36..=40).contains(&file.id.task_id.0);
    let fetched: Vec<TaskVerdicts> = files.iter().filter(newest).cloned().collect();
    assert_ne!(by_holdings(&subnet, &files), by_holdings(&subnet, &fetched));

    assert_eq!(winner(&subnet.decide()), hotkey(101));
    let to_fetch = counted(&subnet.params, &subnet.history, &subnet.snapshot).unwrap().files;
    assert_eq!(to_fetch, subnet.outcome().window);
    let numbers: Vec<u64> = to_fetch.iter().map(|file| file.task_id.0).collect();
    assert_eq!(numbers, [9, 17, 22, 28, 40]);
}

#[test]
fn c9_nobody_repeats_what_only_it_remembers() {
    // Two validators that saw other winners before: an epoch without witnesses is nobody's.
    let files = primaries(4, 30, &FIRST);
    let others: Vec<_> = (30..=40).map(|task| file(task, (task % 4) as u8, &SECOND)).collect();
    let mut subnets = [Subnet::new(4, files), Subnet::new(4, others)];
    assert_ne!(subnets[0].winner(), subnets[1].winner());
    for subnet in &mut subnets {
        subnet.snapshot.witnesses.clear();
        subnet.witness(hotkey(2), &[]);
    }
    let few = Decision::Abstain { reason: Reason::TooFewWitnesses { fresh: 1, required: 2 } };
    assert_eq!(subnets.map(|subnet| subnet.decide()), [few.clone(), few]);
}

#[test]
fn two_certificates_of_one_file_take_more_liars_than_a_list_bears() {
    // For every size: honest validators attest once, so each half needs the liars to reach a
    // quorum, and both halves together are too small for two.
    for n in 1..=64_u8 {
        let history = AllowlistHistory::since_genesis(list(INTERVAL, n));
        let liars = leoma_protocol::faulty(usize::from(n)) as u8;
        let id = FileId { task_id: TaskId(1), producer: hotkey(0) };
        let certified = |digest: &[u8], attesters: &mut dyn Iterator<Item = u8>| {
            let digest = Digest::of(digest);
            let seen = attesters.map(|by| Attested { file: id, digest, attester: hotkey(by) });
            Certificates::count(&history, seen).get(&id).is_some()
        };
        for split in liars..=n {
            let one = certified(b"one", &mut (0..split));
            let two = certified(b"two", &mut (0..liars).chain(split..n));
            assert!(!(one && two), "{n} validators, {liars} liars, split at {split}");
        }
        assert!(certified(b"one", &mut (liars..n)), "the honest of {n} are enough");
    }
}
