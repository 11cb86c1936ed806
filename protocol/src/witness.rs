//! A validator's statement on chain of what it holds: for each task of an epoch's lookback, and
//! each step at which the task can be produced, whether it has the certificate *and* the file.
//!
//! It is the hotkey's commitment (`Commitments.set_commitment`), so a newer one replaces it.
//!
//! | bytes | what |
//! |---|---|
//! | 17 | `leoma:witness:v1:`; for a mechanism other than 0 `leoma:witness:m1:` to `leoma:witness:mf:` |
//! | 8 | the epoch block |
//! | then, for each run of tasks: | |
//! | 8 | the number of its newest task |
//! | 2 | its number of tasks; each next one has the number before |
//! | 2 | bits for each task: the steps that its list's schedule reaches |
//! | ⌈tasks × bits / 8⌉ | the bits, a task's steps in their order, newest task first; the first bit of a byte is its lowest |
//!
//! Numbers are little-endian; unused bits are 0. The bytes are cut into fields of 128, at most
//! three; the oldest tasks that do not fit are left out. A run ends where the numbers jump or the
//! steps change, both with another allowlist. So a witness can be read without knowing any list.

use crate::{BlockNumber, TaskId};

/// Longest field of a commitment that holds raw bytes.
const MAX_FIELD_BYTES: usize = 128;
/// Most fields of a commitment.
const MAX_FIELDS: usize = 3;
/// Longest witness.
const MAX_BYTES: usize = MAX_FIELDS * MAX_FIELD_BYTES;
/// Bytes of the epoch block.
const EPOCH_BYTES: usize = 8;
/// Bytes of a run before its bits.
const RUN_HEAD_BYTES: usize = 12;

/// What one validator holds at one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The epoch that it speaks for.
    pub epoch_block: BlockNumber,
    /// The mechanism whose files it speaks of, below 16.
    mecid: u8,
    runs: Vec<Run>,
}

/// Tasks without a gap that all have the same number of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    newest: TaskId,
    tasks: u16,
    steps: u16,
    bits: Vec<u8>,
}

/// Why a commitment that begins like a witness is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// More bytes than a commitment's fields hold.
    #[error("the witness has {bytes} bytes, at most {MAX_BYTES} are allowed")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// It ends inside a number or inside the bits.
    #[error("the witness is cut short")]
    CutShort,
    /// A run of no tasks or of no steps, or one that goes below task 0.
    #[error("the witness names tasks that cannot exist")]
    NoTasks,
    /// A run that is not older than the one before it.
    #[error("the witness names its tasks out of order")]
    OutOfOrder,
    /// A bit beyond the last task's is set.
    #[error("the witness has bits set beyond its tasks")]
    StrayBits,
}

impl Witness {
    /// The start of every witness for mechanism 0.
    pub const PREFIX: &'static [u8; 17] = b"leoma:witness:v1:";

    /// A witness of these tasks, the newest first, each with one bit a step. It ends before the
    /// first task that does not fit, that is not older than the one before it, or that has no step.
    pub fn new(
        epoch_block: BlockNumber,
        tasks: impl IntoIterator<Item = (TaskId, Vec<bool>)>,
    ) -> Self {
        let mut witness = Self { epoch_block, mecid: 0, runs: Vec::new() };
        let mut free = MAX_BYTES - Self::PREFIX.len() - EPOCH_BYTES;
        for (task_id, held) in tasks {
            let Some(taken) = witness.push(task_id, &held, free) else { break };
            free -= taken;
        }
        witness
    }

    /// The same for a subnet's mechanism.
    #[must_use]
    pub fn of_mechanism(self, mecid: u8) -> Self {
        Self { mecid, ..self }
    }

    /// The start of every witness for a mechanism. All have the same length, and none is the start
    /// of another, so a witness is never read as another mechanism's.
    fn prefix(mecid: u8) -> [u8; 17] {
        let mut prefix = *Self::PREFIX;
        if mecid > 0 {
            prefix[14] = b'm';
            prefix[15] = b"0123456789abcdef"[usize::from(mecid % 16)];
        }
        prefix
    }

    /// Adds the next older task. Returns the bytes that it takes; `None` if it is not taken.
    fn push(&mut self, task_id: TaskId, held: &[bool], free: usize) -> Option<usize> {
        let steps = u16::try_from(held.len()).ok().filter(|steps| *steps > 0)?;
        let is_next = |run: &&mut Run| {
            run.steps == steps
                && run.tasks < u16::MAX
                && run.oldest().and_then(|oldest| oldest.0.checked_sub(1)) == Some(task_id.0)
        };
        if let Some(run) = self.runs.last_mut().filter(is_next) {
            let longer = bytes_for(run.tasks + 1, steps);
            let taken = longer - run.bits.len();
            if taken > free {
                return None;
            }
            run.bits.resize(longer, 0);
            run.tasks += 1;
            run.set(run.tasks - 1, held);
            return Some(taken);
        }
        let is_older = |run: &Run| run.oldest().is_some_and(|oldest| task_id < oldest);
        let taken = RUN_HEAD_BYTES + bytes_for(1, steps);
        if taken > free || !self.runs.last().is_none_or(is_older) {
            return None;
        }
        let bits = vec![0; bytes_for(1, steps)];
        let mut run = Run { newest: task_id, tasks: 1, steps, bits };
        run.set(0, held);
        self.runs.push(run);
        Some(taken)
    }

    /// Whether the validator says that it holds the file of this task and step, and its
    /// certificate.
    pub fn holds(&self, task_id: TaskId, step: usize) -> bool {
        let run = self.runs.iter().find(|run| run.contains(task_id));
        run.is_some_and(|run| run.bit(task_id, step))
    }

    /// The task and step of every file that it says it holds, newest task first.
    pub fn held(&self) -> impl Iterator<Item = (TaskId, usize)> + '_ {
        let of_run = |run: &'_ Run| {
            let tasks = (0..u64::from(run.tasks)).map(|back| TaskId(run.newest.0 - back));
            let steps = usize::from(run.steps);
            tasks.flat_map(move |task| (0..steps).map(move |step| (task, step))).collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_run).filter(|(task, step)| self.holds(*task, *step))
    }

    /// The fields of the commitment: one to three of at most 128 bytes.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        self.to_bytes().chunks(MAX_FIELD_BYTES).map(<[u8]>::to_vec).collect()
    }

    /// The fields, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Self::prefix(self.mecid).to_vec();
        bytes.extend(self.epoch_block.0.to_le_bytes());
        for run in &self.runs {
            bytes.extend(run.newest.0.to_le_bytes());
            bytes.extend(run.tasks.to_le_bytes());
            bytes.extend(run.steps.to_le_bytes());
            bytes.extend(&run.bits);
        }
        bytes
    }

    /// Reads a commitment's raw fields, one after the other; `None` if it is not a witness for
    /// mechanism 0.
    ///
    /// # Errors
    /// [`WitnessError`] if no validator writes such a witness. It then counts as no witness.
    pub fn decode(bytes: &[u8]) -> Option<Result<Self, WitnessError>> {
        Self::decode_of(0, bytes)
    }

    /// As [`Witness::decode`], for a mechanism.
    ///
    /// # Errors
    /// As [`Witness::decode`].
    pub fn decode_of(mecid: u8, bytes: &[u8]) -> Option<Result<Self, WitnessError>> {
        let body = bytes.strip_prefix(&Self::prefix(mecid))?;
        Some(match bytes.len() {
            length if length > MAX_BYTES => Err(WitnessError::TooLong { bytes: length }),
            _ => Self::read(mecid, body),
        })
    }

    fn read(mecid: u8, mut body: &[u8]) -> Result<Self, WitnessError> {
        let epoch_block = BlockNumber(u64::from_le_bytes(take(&mut body)?));
        let mut runs: Vec<Run> = Vec::new();
        while !body.is_empty() {
            let run = Run::read(&mut body)?;
            if runs.last().is_some_and(|before| before.oldest() <= Some(run.newest)) {
                return Err(WitnessError::OutOfOrder);
            }
            runs.push(run);
        }
        Ok(Self { epoch_block, mecid, runs })
    }
}

impl Run {
    fn read(body: &mut &[u8]) -> Result<Self, WitnessError> {
        let newest = TaskId(u64::from_le_bytes(take(body)?));
        let tasks = u16::from_le_bytes(take(body)?);
        let steps = u16::from_le_bytes(take(body)?);
        let length = bytes_for(tasks, steps);
        let (bits, rest) = body.split_at_checked(length).ok_or(WitnessError::CutShort)?;
        *body = rest;
        let run = Self { newest, tasks, steps, bits: bits.to_vec() };
        if tasks == 0 || steps == 0 || run.oldest().is_none() {
            return Err(WitnessError::NoTasks);
        }
        let used = usize::from(tasks) * usize::from(steps);
        if (used..8 * length).any(|index| run.is_set(index)) {
            return Err(WitnessError::StrayBits);
        }
        Ok(run)
    }

    /// The number of the oldest task; `None` if it is below 0.
    fn oldest(&self) -> Option<TaskId> {
        self.newest.0.checked_sub(u64::from(self.tasks.saturating_sub(1))).map(TaskId)
    }

    fn contains(&self, task_id: TaskId) -> bool {
        task_id <= self.newest && self.newest.0 - task_id.0 < u64::from(self.tasks)
    }

    /// The bit of a task of this run.
    fn bit(&self, task_id: TaskId, step: usize) -> bool {
        let back = usize::try_from(self.newest.0 - task_id.0).unwrap_or(usize::MAX);
        step < usize::from(self.steps) && self.is_set(back * usize::from(self.steps) + step)
    }

    fn is_set(&self, index: usize) -> bool {
        self.bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    fn set(&mut self, back: u16, held: &[bool]) {
        let first = usize::from(back) * usize::from(self.steps);
        for (index, _) in (first..).zip(held).filter(|(_, held)| **held) {
            self.bits[index / 8] |= 1 << (index % 8);
        }
    }
}

fn bytes_for(tasks: u16, steps: u16) -> usize {
    (usize::from(tasks) * usize::from(steps)).div_ceil(8)
}

fn take<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], WitnessError> {
    let (head, rest) = body.split_first_chunk::<N>().ok_or(WitnessError::CutShort)?;
    *body = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EPOCH: BlockNumber = BlockNumber(30_240);

    fn tasks(from: u64, number: u64, steps: usize) -> Vec<(TaskId, Vec<bool>)> {
        let held = |task: u64| (0..steps).map(move |step| (task + step as u64).is_multiple_of(3));
        (0..number).map(|back| (TaskId(from - back), held(from - back).collect())).collect()
    }

    fn decode(bytes: &[u8]) -> Result<Witness, WitnessError> {
        Witness::decode(bytes).unwrap()
    }

    #[test]
    fn a_witness_is_read_by_its_own_mechanism_alone() {
        let witness = Witness::new(EPOCH, tasks(400, 300, 2));
        let length = witness.to_bytes().len();
        for mecid in 0..16 {
            let witness = witness.clone().of_mechanism(mecid);
            let bytes = witness.to_bytes();
            assert_eq!(bytes.len(), length);
            let readers: Vec<u8> =
                (0..16).filter(|reader| Witness::decode_of(*reader, &bytes).is_some()).collect();
            assert_eq!(readers, [mecid]);
            assert_eq!(Witness::decode_of(mecid, &bytes), Some(Ok(witness)));
        }
        let first = witness.of_mechanism(15).to_bytes();
        assert!(first.starts_with(b"leoma:witness:mf:"));
    }

    #[test]
    fn a_lookback_of_three_hundred_tasks_fits_one_field() {
        let witness = Witness::new(EPOCH, tasks(400, 300, 2));
        let fields = witness.encode();
        // The prefix, the epoch block, one run's head and two bits a task.
        assert_eq!((fields.len(), fields[0].len()), (1, 17 + 8 + 12 + 75));
        assert_eq!(decode(&fields.concat()), Ok(witness.clone()));
        for (task, held) in tasks(400, 300, 2) {
            assert_eq!([0, 1].map(|step| witness.holds(task, step)), held[..]);
        }
        assert!(!witness.holds(TaskId(100), 0), "older than the last");
        assert!(!witness.holds(TaskId(402), 0) && !witness.holds(TaskId(400), 2));
        assert!(!witness.holds(TaskId(0), usize::MAX));
    }

    #[test]
    fn the_oldest_tasks_that_do_not_fit_are_left_out() {
        let witness = Witness::new(EPOCH, tasks(10_000, 5_000, 2));
        let fields = witness.encode();
        assert_eq!(fields.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 128]);
        // 384 bytes but 37: 347 bytes of four tasks each.
        let held: Vec<_> = witness.held().map(|(task, _)| task.0).collect();
        assert_eq!((held[0], *held.last().unwrap()), (9_999, 10_000 - 1_387));
        assert_eq!(decode(&fields.concat()), Ok(witness));
    }

    #[test]
    fn a_jump_of_the_numbers_or_other_steps_begin_a_new_run() {
        let mut all = tasks(30, 3, 2);
        all.extend(tasks(27, 2, 4));
        all.extend(tasks(9, 10, 4));
        let witness = Witness::new(EPOCH, all.clone());
        assert_eq!(witness.to_bytes().len(), 17 + 8 + 3 * 12 + 1 + 1 + 5);
        for (task, held) in all {
            for (step, held) in held.into_iter().enumerate() {
                assert_eq!(witness.holds(task, step), held, "task {task} step {step}");
            }
        }
        assert!(!witness.holds(TaskId(20), 0));
        // A task out of order or without steps ends it.
        for wrong in [(TaskId(30), vec![true]), (TaskId(31), vec![true]), (TaskId(28), vec![])] {
            let cut = Witness::new(EPOCH, [(TaskId(30), vec![true]), wrong]);
            assert_eq!(cut.held().collect::<Vec<_>>(), [(TaskId(30), 0)]);
        }
    }

    #[test]
    fn other_commitments_are_no_witnesses_and_broken_ones_say_why() {
        assert_eq!(Witness::decode(b"leoma:allowlist:v1:00"), None);
        assert_eq!(Witness::decode(b"{\"model_name\":\"m\"}"), None);
        assert_eq!(Witness::decode(b""), None);
        let good = Witness::new(EPOCH, tasks(9, 10, 1)).to_bytes();
        assert_eq!(good.len(), 37 + 2);
        for length in 17..good.len() {
            let cut = decode(&good[..length]);
            let no_run = Ok(Witness::new(EPOCH, []));
            assert_eq!(cut, if length == 25 { no_run } else { Err(WitnessError::CutShort) });
        }
        let change = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes)
        };
        assert_eq!(change(33, 0), Err(WitnessError::NoTasks));
        assert_eq!(change(33, 11), Err(WitnessError::NoTasks), "below task 0");
        assert_eq!(change(38, 0b100), Err(WitnessError::StrayBits));
        let twice = [&good[..], &good[25..]].concat();
        assert_eq!(decode(&twice), Err(WitnessError::OutOfOrder));
        let long = [&good[..], &[0; 384]].concat();
        assert_eq!(decode(&long), Err(WitnessError::TooLong { bytes: 423 }));
    }

    proptest! {
        #[test]
        fn no_witness_has_two_encodings(
            runs in prop::collection::vec((0u64..50, 1u16..40, 1u16..9, any::<[u8; 40]>()), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..3), cut in 0usize..20,
        ) {
            let mut bytes = Witness::PREFIX.to_vec();
            bytes.extend(EPOCH.0.to_le_bytes());
            for (newest, tasks, steps, bits) in runs {
                bytes.extend(newest.to_le_bytes());
                bytes.extend(tasks.to_le_bytes());
                bytes.extend(steps.to_le_bytes());
                bytes.extend(&bits[..bytes_for(tasks, steps).min(40)]);
            }
            bytes.extend(noise);
            bytes.truncate(bytes.len() - cut.min(8));
            if let Some(Ok(witness)) = Witness::decode(&bytes) {
                prop_assert_eq!(witness.encode().concat(), bytes);
            }
        }

        #[test]
        fn a_witness_says_what_it_was_made_of(
            jumps in prop::collection::vec((1u64..3, prop::collection::vec(any::<bool>(), 1..5)), 0..600), from in 2000u64..,
        ) {
            let mut task = from;
            let mut all = Vec::new();
            for (jump, held) in jumps {
                task -= jump;
                all.push((TaskId(task), held));
            }
            let witness = Witness::new(EPOCH, all.clone());
            let fields = witness.encode();
            prop_assert!((1..=3).contains(&fields.len()) && fields.iter().all(|field| (1..=128).contains(&field.len())));
            prop_assert_eq!(Witness::decode(&fields.concat()), Some(Ok(witness.clone())));
            let expected: Vec<_> = all.iter().flat_map(|(task, held)| {
                held.iter().enumerate().filter(|(_, held)| **held).map(|(step, _)| (*task, step))
            }).collect();
            let found: Vec<_> = witness.held().collect();
            prop_assert!(expected.starts_with(&found), "the oldest may be left out, nothing else");
        }
    }
}
