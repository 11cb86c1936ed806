//! Work on a task's folder on threads that may wait for the disk.

use super::error::TaskError;
use super::folder::TaskFolder;

/// Works on a task's folder on a thread that may wait for the disk.
pub(crate) async fn on_disk<T: Send + 'static>(
    folder: &TaskFolder,
    work: impl FnOnce(&TaskFolder) -> std::io::Result<T> + Send + 'static,
) -> Result<T, TaskError> {
    let worked_on = folder.clone();
    let done = tokio::task::spawn_blocking(move || work(&worked_on)).await?;
    done.map_err(|source| disk(folder, source))
}

/// The error of a folder that cannot be used.
pub(crate) fn disk(folder: &TaskFolder, source: std::io::Error) -> TaskError {
    TaskError::Disk { path: folder.path().to_owned(), source }
}
