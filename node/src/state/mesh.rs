//! What the mesh must find again after a restart.

use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey, TaskId};
use rusqlite::params;

use super::{State, StateError, sql_integer};

/// Most addresses kept of one peer: a validator has a few interfaces, an attacker has many.
const ADDRESSES_PER_PEER: u32 = 8;

impl State {
    /// Keeps a certificate in its encoded form.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn keep_certificate(&self, id: FileId, digest: Digest, bytes: &[u8]) -> Result<(), StateError> {
        self.connection().execute(
            "INSERT OR IGNORE INTO certificates (task_id, producer, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
            params![sql_integer(id.task_id.0), id.producer.as_bytes(), digest.0, bytes],
        )?;
        Ok(())
    }

    /// Keeps evidence of equivocation in its encoded form.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn keep_evidence(&self, id: FileId, bytes: &[u8]) -> Result<(), StateError> {
        self.connection().execute(
            "INSERT OR IGNORE INTO evidence (task_id, producer, bytes) VALUES (?1, ?2, ?3)",
            params![sql_integer(id.task_id.0), id.producer.as_bytes(), bytes],
        )?;
        Ok(())
    }

    /// Encoded certificates of tasks from `first` on.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn certificates_from(&self, first: TaskId) -> Result<Vec<(FileId, Digest, Vec<u8>)>, StateError> {
        let connection = self.connection();
        let mut query = connection
            .prepare("SELECT task_id, producer, digest, bytes FROM certificates WHERE task_id >= ?1 ORDER BY task_id, producer")?;
        let rows = query.query_map(params![sql_integer(first.0)], |row| {
            let task_id: i64 = row.get(0)?;
            let id = FileId { task_id: TaskId(task_id.unsigned_abs()), producer: Hotkey::from_bytes(row.get(1)?) };
            Ok((id, Digest(row.get(2)?), row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Encoded evidence of tasks from `first` on.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn evidence_from(&self, first: TaskId) -> Result<Vec<(FileId, Vec<u8>)>, StateError> {
        let connection = self.connection();
        let mut query =
            connection.prepare("SELECT task_id, producer, bytes FROM evidence WHERE task_id >= ?1 ORDER BY task_id, producer")?;
        let rows = query.query_map(params![sql_integer(first.0)], |row| {
            let task_id: i64 = row.get(0)?;
            let id = FileId { task_id: TaskId(task_id.unsigned_abs()), producer: Hotkey::from_bytes(row.get(1)?) };
            Ok((id, row.get(2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Remembers where a peer was reached; the newest few addresses of each stay.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn keep_address(&self, peer: &str, address: &str, seen: BlockNumber) -> Result<(), StateError> {
        let connection = self.connection();
        connection.execute(
            "INSERT OR REPLACE INTO addresses (peer, address, seen_block) VALUES (?1, ?2, ?3)",
            params![peer, address, sql_integer(seen.0)],
        )?;
        connection.execute(
            "DELETE FROM addresses WHERE peer = ?1 AND rowid NOT IN
             (SELECT rowid FROM addresses WHERE peer = ?1 ORDER BY seen_block DESC, rowid DESC LIMIT ?2)",
            params![peer, ADDRESSES_PER_PEER],
        )?;
        Ok(())
    }

    /// All remembered addresses as `(peer id, multiaddress)`, newest first.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn addresses(&self) -> Result<Vec<(String, String)>, StateError> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT peer, address FROM addresses ORDER BY seen_block DESC, rowid DESC LIMIT 1024")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
