//! What the mesh must find again after a restart.

use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use rusqlite::params;

use super::{State, StateError, sql_integer};

impl State {
    /// Keeps a certificate in its encoded form.
    pub fn keep_certificate(
        &self,
        id: FileId,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<(), StateError> {
        self.connection().execute(
            "INSERT OR IGNORE INTO certificates (task_id, producer, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
            params![sql_integer(id.task_id.0), id.producer.as_bytes(), digest.0, bytes],
        )?;
        Ok(())
    }

    /// Keeps evidence of equivocation in its encoded form.
    pub fn keep_evidence(
        &self,
        task_id: TaskId,
        accused: Hotkey,
        bytes: &[u8],
    ) -> Result<(), StateError> {
        self.connection().execute(
            "INSERT OR IGNORE INTO evidence (task_id, accused, bytes) VALUES (?1, ?2, ?3)",
            params![sql_integer(task_id.0), accused.as_bytes(), bytes],
        )?;
        Ok(())
    }

    /// Encoded certificates of tasks from `first` on.
    pub fn certificates_from(
        &self,
        first: TaskId,
    ) -> Result<Vec<(FileId, Digest, Vec<u8>)>, StateError> {
        let connection = self.connection();
        let mut query = connection.prepare(
            "SELECT task_id, producer, digest, bytes FROM certificates WHERE task_id >= ?1 ORDER BY task_id, producer",
        )?;
        let rows = query.query_map(params![sql_integer(first.0)], |row| {
            let task_id: i64 = row.get(0)?;
            let id = FileId {
                task_id: TaskId(task_id.unsigned_abs()),
                producer: Hotkey::from_bytes(row.get(1)?),
            };
            Ok((id, Digest(row.get(2)?), row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Encoded evidence of tasks from `first` on.
    pub fn evidence_from(&self, first: TaskId) -> Result<Vec<Vec<u8>>, StateError> {
        let connection = self.connection();
        let mut query = connection.prepare(
            "SELECT bytes FROM evidence WHERE task_id >= ?1 ORDER BY task_id, accused, bytes",
        )?;
        let rows = query.query_map(params![sql_integer(first.0)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
