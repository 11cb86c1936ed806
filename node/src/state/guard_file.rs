//! The guard's file: where it lies, and how it takes over what earlier releases kept elsewhere.

use std::path::Path;

use rusqlite::params;

use super::database::Database;
use super::error::{Result, StateError};
use super::schema::{GUARD_MOVED_IN, GUARD_SCHEMAS};

/// Opens the guard's file. `state` is the database that earlier releases kept what was signed in.
pub(super) fn open(folder: &Path, state: &Database, owner: &str) -> Result<Database> {
    let path = folder.join("guard.sqlite");
    let (before, is_new) = (state.version()?, !path.exists());
    if before >= GUARD_MOVED_IN && is_new {
        return Err(StateError::NoGuard { path });
    }
    let guard = Database::open(path)?;
    guard.bring_up(GUARD_SCHEMAS)?;
    guard.claim(folder, owner)?;
    // Copied before the old table is dropped, and again after a crash in between.
    if (1..GUARD_MOVED_IN).contains(&before) {
        guard.execute(
            "ATTACH DATABASE ?1 AS earlier",
            params![folder.join("state.sqlite").display().to_string()],
        )?;
        guard.execute(
            "INSERT OR IGNORE INTO signed (kind, netuid, task_id, subject, digest)
             SELECT kind, netuid, task_id, subject, digest FROM earlier.signed",
            [],
        )?;
        guard.execute("DETACH DATABASE earlier", [])?;
    }
    Ok(guard)
}
