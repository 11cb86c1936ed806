//! Our own verdicts from just before they are signed.
//!
//! The block of signing is part of what is signed. A process that ends between the guard's record
//! and the signed file would sign the task with another block next time, which the guard refuses.
//! So the draft, with its block, is on disk first, and is what is signed after a restart.

use leoma_protocol::TaskId;
use rusqlite::params;

use super::{Result, State, sql_integer};

impl State {
    /// Keeps the draft of a task, unless there is one; returns the one that is kept.
    pub fn keep_draft(&self, task_id: TaskId, bytes: &[u8]) -> Result<Vec<u8>> {
        self.database.execute(
            "INSERT OR IGNORE INTO drafts (task_id, bytes) VALUES (?1, ?2)",
            params![sql_integer(task_id.0), bytes],
        )?;
        let kept = self.database.row(
            "SELECT bytes FROM drafts WHERE task_id = ?1",
            params![sql_integer(task_id.0)],
            |row| row.get(0),
        )?;
        Ok(kept.unwrap_or_else(|| bytes.to_vec()))
    }

    /// Drafts of tasks that were not signed, oldest first: an earlier run ended in between.
    pub fn drafts(&self) -> Result<Vec<(TaskId, Vec<u8>)>> {
        self.database.rows("SELECT task_id, bytes FROM drafts ORDER BY task_id", [], |row| {
            let task_id: i64 = row.get(0)?;
            Ok((TaskId(task_id.unsigned_abs()), row.get(1)?))
        })
    }

    /// Forgets the draft of a task, once its signed file is kept.
    pub fn drop_draft(&self, task_id: TaskId) -> Result<()> {
        self.database
            .execute("DELETE FROM drafts WHERE task_id = ?1", params![sql_integer(task_id.0)])
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Netuid, Network};

    use super::*;

    #[test]
    fn the_first_draft_of_a_task_stays_until_its_file_is_kept() {
        let state =
            State::in_memory(Network { genesis: Digest::default(), netuid: Netuid(1) }).unwrap();
        assert_eq!(state.keep_draft(TaskId(7), b"at block 9").unwrap(), b"at block 9");
        assert_eq!(state.keep_draft(TaskId(7), b"at block 12").unwrap(), b"at block 9");
        assert_eq!(state.drafts().unwrap(), [(TaskId(7), b"at block 9".to_vec())]);
        state.drop_draft(TaskId(7)).unwrap();
        assert!(state.drafts().unwrap().is_empty());
    }
}
