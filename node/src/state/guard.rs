//! The signing guard on SQLite: check and record in one transaction that is on disk before a
//! signature exists.

use leoma_protocol::{Digest, NotSafe, Safe, SigningGuard, SigningSlot};
use rusqlite::{TransactionBehavior, params};

use super::{State, sql_integer};

impl SigningGuard for State {
    fn admit(&self, slot: SigningSlot, digest: Digest) -> Result<Safe, NotSafe> {
        let unavailable = |error: rusqlite::Error| NotSafe::Unavailable(Box::new(error));
        let mut connection = self.connection();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Exclusive)
            .map_err(unavailable)?;
        let key = params![
            slot.kind.name(),
            slot.netuid.0,
            sql_integer(slot.task_id.0),
            slot.subject.as_bytes()
        ];
        let added = transaction
            .execute(
                "INSERT OR IGNORE INTO signed (kind, netuid, task_id, subject, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    slot.kind.name(),
                    slot.netuid.0,
                    sql_integer(slot.task_id.0),
                    slot.subject.as_bytes(),
                    digest.0
                ],
            )
            .map_err(unavailable)?;
        let signed: [u8; 32] = transaction
            .query_row(
                "SELECT digest FROM signed WHERE kind = ?1 AND netuid = ?2 AND task_id = ?3 AND subject = ?4",
                key,
                |row| row.get(0),
            )
            .map_err(unavailable)?;
        transaction.commit().map_err(unavailable)?;
        match (added, signed == digest.0) {
            (1, _) => Ok(Safe::New),
            (_, true) => Ok(Safe::Same),
            (_, false) => Err(NotSafe::Conflict { slot, signed: Digest(signed), refused: digest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{Hotkey, Netuid, Network, SlotKind, TaskId};

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
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let hotkey = Hotkey::from_bytes([1; 32]);
        let state = State::open(folder.path(), network, hotkey).unwrap();
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
        let state = State::open(folder.path(), network, hotkey).unwrap();
        assert_eq!(state.admit(slot(1), Digest([admitted[0]; 32])).unwrap(), Safe::Same);
        assert!(matches!(state.admit(slot(1), Digest([77; 32])), Err(NotSafe::Conflict { .. })));
        assert_eq!(state.admit(slot(2), Digest([77; 32])).unwrap(), Safe::New);
    }
}
