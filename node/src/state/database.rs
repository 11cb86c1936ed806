//! One SQLite file: how it is opened, brought up to its schema and claimed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::error::{Result, StateError};

/// How long a statement waits for another process, such as a copy of the database being made.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One SQLite file and its connection.
#[derive(Debug)]
pub(super) struct Database(Mutex<Connection>);

impl Database {
    /// Opens the file at `path`, making it when it is new. A damaged one is refused: with an empty
    /// record in its place, what was signed could be signed again.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let connection = Connection::open(&path)?;
        let check: Result<String, _> =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        match check {
            Ok(finding) if finding == "ok" => Self::set_up(connection),
            Ok(finding) => Err(StateError::Corrupt { path, detail: finding }),
            Err(error) => Err(StateError::Corrupt { path, detail: error.to_string() }),
        }
    }

    /// One that is gone when dropped.
    pub(super) fn in_memory() -> Result<Self> {
        Self::set_up(Connection::open_in_memory()?)
    }

    /// One that is gone when dropped, and that memory holds little of: what is more than SQLite's
    /// cache lies in a file without a name, in the folder for temporary files.
    pub(super) fn temporary() -> Result<Self> {
        // This is what SQLite takes an empty path for.
        Self::set_up(Connection::open("")?)
    }

    fn set_up(connection: Connection) -> Result<Self> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Full synchronisation: a digest must be on disk before its signature leaves the process.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    /// The version of its schema, 0 for a new file.
    pub(super) fn version(&self) -> Result<u32> {
        Ok(self.connection().query_row("PRAGMA user_version", [], |row| row.get(0))?)
    }

    /// Adds what its schema lacks. A file of a later version is refused rather than guessed at.
    pub(super) fn bring_up(&self, schemas: &[&str]) -> Result<()> {
        let Some(missing) = schemas.get(self.version()? as usize..) else {
            return Err(StateError::Malformed {
                what: "schema version (written by a later release)",
            });
        };
        if !missing.is_empty() {
            let (added, version) = (missing.concat(), schemas.len());
            self.connection().execute_batch(&format!(
                "BEGIN; {added} PRAGMA user_version = {version}; COMMIT;"
            ))?;
        }
        Ok(())
    }

    /// Makes the file `owner`'s; refuses one of another owner.
    pub(super) fn claim(&self, folder: &Path, owner: &str) -> Result<()> {
        let connection = self.connection();
        connection
            .execute("INSERT OR IGNORE INTO identity (id, owner) VALUES (1, ?1)", params![owner])?;
        let found: String =
            connection
                .query_row("SELECT owner FROM identity WHERE id = 1", [], |row| row.get(0))?;
        if found == owner {
            return Ok(());
        }
        let expected = owner.to_owned();
        Err(StateError::Foreign { path: folder.to_owned(), found, expected })
    }

    pub(super) fn execute(&self, sql: &str, parameters: impl Params) -> Result<()> {
        self.connection().execute(sql, parameters)?;
        Ok(())
    }

    pub(super) fn row<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.connection().query_row(sql, parameters, read).optional()?)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let connection = self.connection();
        let mut query = connection.prepare(sql)?;
        Ok(query.query_map(parameters, read)?.collect::<Result<_, _>>()?)
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves no half-done transaction: SQLite rolls it back on
        // drop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQLite integers are signed; heights and task numbers stay far below the limit.
pub(super) fn sql_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
