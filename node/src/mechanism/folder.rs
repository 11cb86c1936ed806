//! The folder of a task that is not published yet. What is done of the task is on disk at every
//! moment, so that neither another try nor a restart asks a miner again. The mechanism decides what
//! is in it.

use std::io;
use std::path::{Path, PathBuf};

use leoma_protocol::{Hotkey, TaskId};

/// The folder of one task.
#[derive(Clone, Debug)]
pub(crate) struct TaskFolder(PathBuf);

impl TaskFolder {
    pub(crate) fn new(spool: &Path, task_id: TaskId) -> Self {
        Self(spool.join(task_id.to_string()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The files of all kept videos.
    pub(crate) fn videos(&self) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(self.0.join("videos"))?.map(|entry| Ok(entry?.path())).collect()
    }

    /// Removes the folder, if it is there.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The miner whose video a file is, by its name.
pub(crate) fn miner_of(video: &Path) -> Option<Hotkey> {
    video.file_stem()?.to_str()?.parse().ok()
}

/// Removes the folders of tasks that are neither in `needed` nor signed and unpublished: of turns
/// that were given up.
pub(crate) fn tidy(spool: &Path, needed: &[TaskId]) -> io::Result<()> {
    let entries = match std::fs::read_dir(spool) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let task: Option<u64> =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if task.is_some_and(|task| !needed.contains(&TaskId(task))) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_given_up_turns_do_not_stay() {
        let spool = tempfile::tempdir().unwrap();
        tidy(&spool.path().join("none yet"), &[]).unwrap();
        for name in ["7", "8", "notes"] {
            std::fs::create_dir(spool.path().join(name)).unwrap();
        }
        tidy(spool.path(), &[TaskId(8)]).unwrap();
        let left = ["7", "8", "notes"].map(|name| spool.path().join(name).exists());
        assert_eq!(left, [false, true, true]);
    }
}
