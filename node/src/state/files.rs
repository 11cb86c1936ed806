//! Verdict files that were verified: our own from the moment they are signed, and our peers'.

use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use rusqlite::{Row, params};

use super::{Result, State, sql_integer};

/// A verified file on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Task and producer.
    pub id: FileId,
    /// The file's digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredFile> {
    let task_id: i64 = row.get(0)?;
    Ok(StoredFile {
        id: FileId {
            task_id: TaskId(task_id.unsigned_abs()),
            producer: Hotkey::from_bytes(row.get(1)?),
        },
        digest: Digest(row.get(2)?),
        bytes: row.get(3)?,
    })
}

impl State {
    /// Keeps a verified file of a peer. The first file of a digest stays.
    pub fn keep_file(&self, file: &StoredFile) -> Result<()> {
        self.insert_file(file, true)
    }

    /// Keeps our own file as signed and not yet published.
    pub fn keep_own_file(&self, file: &StoredFile) -> Result<()> {
        self.insert_file(file, false)
    }

    fn insert_file(&self, file: &StoredFile, published: bool) -> Result<()> {
        self.database.execute(
            "INSERT OR IGNORE INTO files (task_id, producer, digest, bytes, published) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![sql_integer(file.id.task_id.0), file.id.producer.as_bytes(), file.digest.0, file.bytes, published],
        )
    }

    /// Notes that our own file of a task is in its bucket.
    pub fn mark_published(&self, id: FileId) -> Result<()> {
        self.database.execute(
            "UPDATE files SET published = 1 WHERE task_id = ?1 AND producer = ?2",
            params![sql_integer(id.task_id.0), id.producer.as_bytes()],
        )
    }

    /// Files that were signed and are not in their bucket yet, oldest first.
    pub fn unpublished_files(&self) -> Result<Vec<StoredFile>> {
        self.database.rows(
            "SELECT task_id, producer, digest, bytes FROM files WHERE published = 0 ORDER BY task_id",
            [],
            stored,
        )
    }

    /// The file of a task and producer; with `digest`, the one of that digest.
    pub fn file(&self, id: FileId, digest: Option<Digest>) -> Result<Option<StoredFile>> {
        self.database.row(
            "SELECT task_id, producer, digest, bytes FROM files
             WHERE task_id = ?1 AND producer = ?2 AND (?3 IS NULL OR digest = ?3) ORDER BY rowid LIMIT 1",
            params![sql_integer(id.task_id.0), id.producer.as_bytes(), digest.map(|digest| digest.0)],
            stored,
        )
    }

    /// All files of tasks from `first` on.
    pub fn files_from(&self, first: TaskId) -> Result<Vec<StoredFile>> {
        self.database.rows(
            "SELECT task_id, producer, digest, bytes FROM files WHERE task_id >= ?1 ORDER BY task_id, producer, digest",
            params![sql_integer(first.0)],
            stored,
        )
    }

    /// Which files of tasks from `first` on are kept.
    pub fn file_ids_from(&self, first: TaskId) -> Result<Vec<(FileId, Digest)>> {
        self.database.rows(
            "SELECT task_id, producer, digest, X'' FROM files WHERE task_id >= ?1 ORDER BY task_id, producer, digest",
            params![sql_integer(first.0)],
            |row| stored(row).map(|file| (file.id, file.digest)),
        )
    }

    /// How many of a producer's files are kept.
    pub fn count_files(&self, producer: Hotkey) -> Result<u64> {
        let count: i64 = self.database.connection().query_row(
            "SELECT COUNT(DISTINCT task_id) FROM files WHERE producer = ?1",
            params![producer.as_bytes()],
            |row| row.get(0),
        )?;
        Ok(count.unsigned_abs())
    }

    /// Forgets published files, drafts, certificates, evidence and disputes of tasks before
    /// `first`. What was signed is never forgotten.
    pub fn prune_before(&self, first: TaskId) -> Result<()> {
        let first = sql_integer(first.0);
        self.database
            .execute("DELETE FROM files WHERE task_id < ?1 AND published = 1", params![first])?;
        self.database.execute("DELETE FROM drafts WHERE task_id < ?1", params![first])?;
        self.database.execute("DELETE FROM certificates WHERE task_id < ?1", params![first])?;
        self.database.execute("DELETE FROM evidence WHERE task_id < ?1", params![first])?;
        self.database.execute("DELETE FROM disputes WHERE task_id < ?1", params![first])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{Netuid, Network};

    fn file(task: u64, producer: u8) -> StoredFile {
        let id = FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([producer; 32]) };
        StoredFile { id, digest: Digest::of(&[producer]), bytes: vec![producer] }
    }

    #[test]
    fn own_files_wait_until_published_and_survive_pruning() {
        let state =
            State::in_memory(Network { genesis: Digest::default(), netuid: Netuid(1) }).unwrap();
        state.keep_own_file(&file(1, 1)).unwrap();
        state.keep_file(&file(1, 2)).unwrap();
        state.keep_file(&file(5, 2)).unwrap();
        state.prune_before(TaskId(5)).unwrap();
        assert_eq!(state.files_from(TaskId(0)).unwrap(), [file(1, 1), file(5, 2)]);
        assert_eq!(state.unpublished_files().unwrap(), [file(1, 1)]);
        state.mark_published(file(1, 1).id).unwrap();
        assert!(state.unpublished_files().unwrap().is_empty());
        assert_eq!(state.file(file(5, 2).id, None).unwrap(), Some(file(5, 2)));
        assert_eq!(state.file(file(5, 2).id, Some(Digest::of(b"other"))).unwrap(), None);
        assert_eq!(state.count_files(Hotkey::from_bytes([2; 32])).unwrap(), 1);
    }
}
