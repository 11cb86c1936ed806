//! What the mesh must find again after a restart.

use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use rusqlite::params;

use super::files::stored;
use super::{Result, State, sql_integer};

impl State {
    /// Keeps a certificate in its encoded form.
    pub fn keep_certificate(&self, id: FileId, digest: Digest, bytes: &[u8]) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO certificates (task_id, producer, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
            params![sql_integer(id.task_id.0), id.producer.as_bytes(), digest.0, bytes],
        )
    }

    /// Keeps evidence of equivocation in its encoded form.
    pub fn keep_evidence(&self, task_id: TaskId, accused: Hotkey, bytes: &[u8]) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO evidence (task_id, accused, bytes) VALUES (?1, ?2, ?3)",
            params![sql_integer(task_id.0), accused.as_bytes(), bytes],
        )
    }

    /// Encoded certificates of tasks from `first` on.
    pub fn certificates_from(&self, first: TaskId) -> Result<Vec<(FileId, Digest, Vec<u8>)>> {
        self.rows(
            "SELECT task_id, producer, digest, bytes FROM certificates WHERE task_id >= ?1 ORDER BY task_id, producer",
            params![sql_integer(first.0)],
            |row| stored(row).map(|file| (file.id, file.digest, file.bytes)),
        )
    }

    /// Encoded evidence of tasks from `first` on.
    pub fn evidence_from(&self, first: TaskId) -> Result<Vec<Vec<u8>>> {
        self.rows(
            "SELECT bytes FROM evidence WHERE task_id >= ?1 ORDER BY task_id, accused, bytes",
            params![sql_integer(first.0)],
            |row| row.get(0),
        )
    }
}
