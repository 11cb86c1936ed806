//! The signing guard: what was signed, in a file of its own. Large files that are written to the
//! state at the same time do not hold it up, and deleting `state.sqlite` does not forget what was
//! signed.
//!
//! A digest is checked and recorded in one transaction that is on disk before its signature exists.
//!
//! A state folder that is restored from an old copy does not know what was signed after the copy
//! was made. Peers do: what they show of ours is taken over with [`State::take_over_signed`], and
//! if the guard did not know any of it, the tasks up to it are sealed. Nothing new is signed about
//! a sealed task.

use leoma_protocol::{Digest, NotSafe, Safe, SigningGuard, SigningSlot, TaskId};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{Result, State, sql_integer};

/// Task numbers that one sealing covers below the newest statement that peers showed. Older tasks
/// are past their deadline, and after a longer interval the same numbers come again.
const SEALED_BELOW: u64 = 1_000;

/// What peers have seen from us that the guard did not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Statements that were new to the guard.
    pub unknown: usize,
    /// Statements whose digest differs from the guard's: another machine has signed with this
    /// hotkey.
    pub contradicting: usize,
    /// The newest sealed task, if anything was unknown or contradictory.
    pub sealed_up_to: Option<TaskId>,
}

fn recorded(connection: &Connection, slot: &SigningSlot) -> rusqlite::Result<Option<Digest>> {
    let digest = connection.query_row(
        "SELECT digest FROM signed WHERE kind = ?1 AND netuid = ?2 AND task_id = ?3 AND subject = ?4",
        params![
            slot.kind.name(),
            slot.netuid.0,
            sql_integer(slot.task_id.0),
            slot.subject.as_bytes()
        ],
        |row| row.get(0),
    );
    Ok(digest.optional()?.map(Digest))
}

fn record(connection: &Connection, slot: &SigningSlot, digest: &Digest) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO signed (kind, netuid, task_id, subject, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            slot.kind.name(),
            slot.netuid.0,
            sql_integer(slot.task_id.0),
            slot.subject.as_bytes(),
            digest.0
        ],
    )?;
    Ok(())
}

fn is_sealed(connection: &Connection, task_id: TaskId) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sealed WHERE ?1 BETWEEN first_task AND last_task)",
        params![sql_integer(task_id.0)],
        |row| row.get(0),
    )
}

impl SigningGuard for State {
    fn admit(&self, slot: SigningSlot, digest: Digest) -> Result<Safe, NotSafe> {
        let unavailable = |error: rusqlite::Error| NotSafe::Unavailable(Box::new(error));
        let mut connection = self.guard.connection();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Exclusive)
            .map_err(unavailable)?;
        match recorded(&transaction, &slot).map_err(unavailable)? {
            Some(signed) if signed == digest => return Ok(Safe::Same),
            Some(signed) => return Err(NotSafe::Conflict { slot, signed, refused: digest }),
            None if is_sealed(&transaction, slot.task_id).map_err(unavailable)? => {
                return Err(NotSafe::Sealed { slot });
            }
            None => record(&transaction, &slot, &digest).map_err(unavailable)?,
        }
        transaction.commit().map_err(unavailable)?;
        Ok(Safe::New)
    }
}

impl State {
    /// Records what peers show of our own signatures. If the guard lacks any of it, the state was
    /// restored from an old copy or another machine signs with this hotkey: then nothing new is
    /// ever signed about tasks up to the newest statement shown.
    ///
    /// # Errors
    /// [`Database`](super::StateError::Database); nothing may be signed then.
    pub fn take_over_signed(&self, shown: &[(SigningSlot, Digest)]) -> Result<TakenOver> {
        let mut connection = self.guard.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        let mut taken = TakenOver::default();
        for (slot, digest) in shown {
            match recorded(&transaction, slot)? {
                Some(signed) if signed == *digest => {}
                Some(_) => taken.contradicting += 1,
                None => {
                    record(&transaction, slot, digest)?;
                    taken.unknown += 1;
                }
            }
        }
        if taken.unknown + taken.contradicting > 0 {
            let newest = shown.iter().map(|(slot, _)| slot.task_id).max().unwrap_or_default();
            transaction.execute(
                "INSERT INTO sealed (first_task, last_task) VALUES (?1, ?2)",
                params![sql_integer(newest.0.saturating_sub(SEALED_BELOW)), sql_integer(newest.0)],
            )?;
            taken.sealed_up_to = Some(newest);
        }
        transaction.commit()?;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateError;
    use super::*;
    use leoma_protocol::{Hotkey, Netuid, Network, SlotKind};

    fn network() -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(99) }
    }

    fn slot(task_id: u64) -> SigningSlot {
        let subject = Hotkey::from_bytes([5; 32]);
        SigningSlot {
            kind: SlotKind::VerdictFile,
            netuid: Netuid(99),
            task_id: TaskId(task_id),
            subject,
        }
    }

    #[test]
    fn ten_concurrent_signers_of_ten_digests_leave_one_signature() {
        let folder = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([1; 32]);
        let state = State::open(folder.path(), network(), hotkey).unwrap();
        let admitted: Vec<u8> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10u8)
                .map(|n| {
                    let state = state.clone();
                    scope.spawn(move || state.admit(slot(1), Digest([n; 32])).is_ok().then_some(n))
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(admitted.len(), 1);
        drop(state);
        // The record outlives the process.
        let state = State::open(folder.path(), network(), hotkey).unwrap();
        assert_eq!(state.admit(slot(1), Digest([admitted[0]; 32])).unwrap(), Safe::Same);
        assert!(matches!(state.admit(slot(1), Digest([77; 32])), Err(NotSafe::Conflict { .. })));
        assert_eq!(state.admit(slot(2), Digest([77; 32])).unwrap(), Safe::New);
    }

    #[test]
    fn a_restored_copy_signs_nothing_up_to_what_peers_have_seen_from_it() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let hotkey = Hotkey::from_bytes([1; 32]);
        let [first, second, other] = [b"1", b"2", b"3"].map(|text| Digest::of(text));
        let state = State::open(folder.path(), network(), hotkey).unwrap();
        let _new = state.admit(slot(40), first).unwrap();
        drop(state);
        for file in ["state.sqlite", "guard.sqlite"] {
            std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
        }
        // After the copy was made, this was signed, and peers have it.
        let state = State::open(folder.path(), network(), hotkey).unwrap();
        let _new = state.admit(slot(42), second).unwrap();
        drop(state);

        let state = State::open(copy.path(), network(), hotkey).unwrap();
        let shown = [(slot(40), first), (slot(42), second)];
        let taken = state.take_over_signed(&shown).unwrap();
        let sealed_up_to = Some(TaskId(42));
        assert_eq!(taken, TakenOver { unknown: 1, contradicting: 0, sealed_up_to });
        assert!(matches!(state.admit(slot(42), other), Err(NotSafe::Conflict { .. })));
        assert_eq!(state.admit(slot(42), second).unwrap(), Safe::Same);
        // Peers may not have shown all: task 41 is lost to us.
        assert!(matches!(state.admit(slot(41), other), Err(NotSafe::Sealed { .. })));
        drop(state);
        let state = State::open(copy.path(), network(), hotkey).unwrap();
        assert!(matches!(state.admit(slot(41), other), Err(NotSafe::Sealed { .. })));
        assert_eq!(state.admit(slot(43), other).unwrap(), Safe::New);
        // What is known seals nothing.
        assert_eq!(state.take_over_signed(&shown).unwrap(), TakenOver::default());
        let contradicting = state.take_over_signed(&[(slot(43), first)]).unwrap();
        assert_eq!((contradicting.contradicting, contradicting.unknown), (1, 0));
    }

    #[test]
    fn a_state_without_its_guard_is_refused_and_a_guard_without_its_state_still_guards() {
        let folder = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([1; 32]);
        let state = State::open(folder.path(), network(), hotkey).unwrap();
        let _new = state.admit(slot(1), Digest::of(b"1")).unwrap();
        drop(state);
        std::fs::remove_file(folder.path().join("state.sqlite")).unwrap();
        let state = State::open(folder.path(), network(), hotkey).unwrap();
        assert!(state.admit(slot(1), Digest::of(b"2")).is_err());
        drop(state);
        std::fs::remove_file(folder.path().join("guard.sqlite")).unwrap();
        assert!(matches!(
            State::open(folder.path(), network(), hotkey),
            Err(StateError::NoGuard { .. })
        ));
    }
}
