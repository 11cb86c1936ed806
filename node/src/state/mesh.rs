//! What the mesh must find again after a restart.

use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use rusqlite::params;

use super::files::stored;
use super::{Result, State, sql_integer};

/// Pieces of evidence kept against one validator, the newest tasks first: as many as the mesh keeps
/// in memory, against it as a producer and as an attester.
const MAX_EVIDENCE_PER_ACCUSED: u32 = 16;

/// A message of the mesh in its encoded form.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are what the messages are about")]
pub enum MeshRow {
    /// A certificate. A later one of a file replaces it: its task's list has changed.
    Certificate { id: FileId, digest: Digest, bytes: Vec<u8> },
    /// Evidence of equivocation.
    Evidence { task_id: TaskId, accused: Hotkey, bytes: Vec<u8> },
    /// A dispute. The first one of a disputer about a file stays.
    Dispute { id: FileId, disputer: Hotkey, bytes: Vec<u8> },
}

impl State {
    /// Keeps messages of the mesh, all in one transaction.
    pub fn keep_mesh_rows(&self, rows: &[MeshRow]) -> Result<()> {
        let mut connection = self.database.connection();
        let transaction = connection.transaction()?;
        for row in rows {
            match row {
                MeshRow::Certificate { id, digest, bytes } => transaction.execute(
                    "INSERT OR REPLACE INTO certificates (task_id, producer, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
                    params![sql_integer(id.task_id.0), id.producer.as_bytes(), digest.0, bytes],
                )?,
                MeshRow::Evidence { task_id, accused, bytes } => {
                    transaction.execute(
                        "INSERT OR IGNORE INTO evidence (task_id, accused, bytes) VALUES (?1, ?2, ?3)",
                        params![sql_integer(task_id.0), accused.as_bytes(), bytes],
                    )?;
                    transaction.execute(
                        "DELETE FROM evidence WHERE accused = ?1 AND rowid NOT IN
                         (SELECT rowid FROM evidence WHERE accused = ?1 ORDER BY task_id DESC LIMIT ?2)",
                        params![accused.as_bytes(), MAX_EVIDENCE_PER_ACCUSED],
                    )?
                }
                MeshRow::Dispute { id, disputer, bytes } => transaction.execute(
                    "INSERT OR IGNORE INTO disputes (task_id, producer, disputer, bytes) VALUES (?1, ?2, ?3, ?4)",
                    params![sql_integer(id.task_id.0), id.producer.as_bytes(), disputer.as_bytes(), bytes],
                )?,
            };
        }
        transaction.commit()?;
        Ok(())
    }

    /// Encoded disputes about tasks from `first` on.
    pub fn disputes_from(&self, first: TaskId) -> Result<Vec<Vec<u8>>> {
        self.database.rows(
            "SELECT bytes FROM disputes WHERE task_id >= ?1 ORDER BY task_id, producer, disputer",
            params![sql_integer(first.0)],
            |row| row.get(0),
        )
    }

    /// Encoded certificates of tasks from `first` on.
    pub fn certificates_from(&self, first: TaskId) -> Result<Vec<(FileId, Digest, Vec<u8>)>> {
        self.database.rows(
            "SELECT task_id, producer, digest, bytes FROM certificates WHERE task_id >= ?1 ORDER BY task_id, producer",
            params![sql_integer(first.0)],
            |row| stored(row).map(|file| (file.id, file.digest, file.bytes)),
        )
    }

    /// Encoded evidence of tasks from `first` on.
    pub fn evidence_from(&self, first: TaskId) -> Result<Vec<Vec<u8>>> {
        self.database.rows(
            "SELECT bytes FROM evidence WHERE task_id >= ?1 ORDER BY task_id, accused, bytes",
            params![sql_integer(first.0)],
            |row| row.get(0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{Netuid, Network};

    #[test]
    fn a_liars_evidence_does_not_grow_and_everything_is_pruned_with_its_task() {
        let network = Network { genesis: Digest::default(), netuid: Netuid(1) };
        let state = State::in_memory(network).unwrap();
        let hotkey = |byte| Hotkey::from_bytes([byte; 32]);
        let rows = (0..1000u64).map(|task| MeshRow::Evidence {
            task_id: TaskId(task),
            accused: hotkey(u8::from(task == 500)),
            bytes: task.to_be_bytes().to_vec(),
        });
        state.keep_mesh_rows(&rows.collect::<Vec<_>>()).unwrap();
        let kept = state.evidence_from(TaskId(0)).unwrap();
        assert_eq!(kept.len(), MAX_EVIDENCE_PER_ACCUSED as usize + 1, "the newest, and another's");
        assert_eq!(kept[0], 500u64.to_be_bytes());
        assert_eq!(kept[16], 999u64.to_be_bytes());

        let id = FileId { task_id: TaskId(7), producer: hotkey(1) };
        let dispute =
            |bytes: &[u8]| MeshRow::Dispute { id, disputer: hotkey(2), bytes: bytes.into() };
        let certificate = MeshRow::Certificate { id, digest: Digest::default(), bytes: vec![3] };
        state.keep_mesh_rows(&[dispute(b"one"), dispute(b"two"), certificate]).unwrap();
        assert_eq!(state.disputes_from(TaskId(7)).unwrap(), [b"one"], "the first one stays");
        assert_eq!(state.certificates_from(TaskId(7)).unwrap().len(), 1);
        state.prune_before(TaskId(1000)).unwrap();
        assert!(state.disputes_from(TaskId(0)).unwrap().is_empty());
        assert!(state.certificates_from(TaskId(0)).unwrap().is_empty());
        assert!(state.evidence_from(TaskId(0)).unwrap().is_empty());
    }
}
