//! A model's files, from the registry or from another folder.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use leoma_protocol::Digest;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

use super::hub::{Hub, HubError};
use super::known::KnownModel;
use super::lock::{Lock, LockError, LockedFile};

/// Tries in a row without a byte before a file is given up.
const IDLE_TRIES: u32 = 5;
/// The pause before another try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why a model was not pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// The registry.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// This machine's disk.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// A file has other bytes than the lock says.
    #[error(
        "{file} has {found}, expected {expected}: the download was deleted, so pull again; \
         if this happens again, do not trust the registry or the network path to it"
    )]
    OtherBytes { file: String, found: String, expected: String },
    /// The folder to copy from holds no model.
    #[error("{0} holds no pulled model: copy the folder that `leoma models pull` wrote elsewhere")]
    NothingThere(PathBuf),
    /// The folder to copy from holds another model.
    #[error("{folder} holds {found}, not {expected}")]
    OtherModel { folder: PathBuf, found: String, expected: &'static str },
    /// A thread died.
    #[error("a background task failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// What a pull did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// The model's commit and files.
    pub(crate) lock: Lock,
    /// Names of the files that were fetched now; the others were there.
    pub(crate) fetched: Vec<String>,
}

/// Pulls a model into `folder`, from where an earlier pull ended. `revision` is a branch or a
/// commit; without it the commit of the lock is kept, or where there is none, the newest is taken.
///
/// # Errors
/// [`PullError`]. What came before stays, and the next pull goes on from there.
pub(crate) async fn pull(
    hub: &Hub,
    model: &KnownModel,
    folder: &Path,
    revision: Option<&str>,
    progress: &ProgressBar,
) -> Result<Pulled, PullError> {
    let failed = |source| PullError::Io { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let known = Lock::read(folder)?;
    let mut lock = match (known, revision) {
        (Some(lock), None) => lock,
        (Some(lock), Some(revision)) if lock.revision == revision => lock,
        (_, revision) => hub.commit(model, revision.unwrap_or("main")).await?,
    };
    lock.write(folder)?;
    remove_other_parts(&lock, folder).map_err(failed)?;
    progress.set_length(lock.files.iter().map(|file| file.size).sum());
    let mut fetched = Vec::new();
    for index in 0..lock.files.len() {
        let file = lock.files[index].clone();
        progress.set_message(file.name.clone());
        let path = folder.join(&file.name);
        if is_there(&path, &file).await? {
            progress.inc(file.size);
            continue;
        }
        let sum = fetch(hub, &lock, &file, folder, progress).await?;
        lock.files[index].sha256 = Some(sum);
        lock.write(folder)?;
        fetched.push(file.name);
    }
    Ok(Pulled { lock, fetched })
}

/// Copies a model that was pulled into `from` elsewhere, for machines without a network.
///
/// # Errors
/// [`PullError`].
pub(crate) async fn copy(
    model: &'static KnownModel,
    from: &Path,
    folder: &Path,
    progress: &ProgressBar,
) -> Result<Pulled, PullError> {
    let lock = Lock::read(from)?.ok_or_else(|| PullError::NothingThere(from.to_owned()))?;
    if lock.repository != model.repository {
        let (folder, found) = (from.to_owned(), lock.repository);
        return Err(PullError::OtherModel { folder, found, expected: model.repository });
    }
    let failed = |source| PullError::Io { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    remove_other_parts(&lock, folder).map_err(failed)?;
    progress.set_length(lock.files.iter().map(|file| file.size).sum());
    let mut fetched = Vec::new();
    for file in &lock.files {
        progress.set_message(file.name.clone());
        if !is_there(&folder.join(&file.name), file).await? {
            let (source, part) = (from.join(&file.name), part_of(&lock, file, folder));
            let copied = tokio::fs::copy(&source, &part).await;
            copied.map_err(|error| PullError::Io { path: source, source: error })?;
            accept(&part, file, folder).await?;
            fetched.push(file.name.clone());
        }
        progress.inc(file.size);
    }
    lock.write(folder)?;
    Ok(Pulled { lock, fetched })
}

/// Whether the file is there with the bytes of the lock.
async fn is_there(path: &Path, file: &LockedFile) -> Result<bool, PullError> {
    let Some(expected) = file.sha256 else { return Ok(false) };
    match tokio::fs::metadata(path).await {
        Ok(found) if found.len() == file.size => Ok(sum_of(path).await? == expected),
        _ => Ok(false),
    }
}

/// SHA-256 of a file.
pub(super) async fn sum_of(path: &Path) -> Result<Digest, PullError> {
    let opened = path.to_owned();
    let read = tokio::task::spawn_blocking(move || Digest::of_reader(std::fs::File::open(opened)?));
    read.await?.map_err(|source| PullError::Io { path: path.to_owned(), source })
}

/// Where a file is kept while it arrives. Its commit is in the name, because bytes of another
/// commit do not belong to it, and an equal size would hide that.
fn part_of(lock: &Lock, file: &LockedFile, folder: &Path) -> PathBuf {
    folder.join(format!(".{}.{}.part", file.name, lock.revision))
}

/// Removes what earlier pulls left of other commits.
fn remove_other_parts(lock: &Lock, folder: &Path) -> io::Result<()> {
    let kept: Vec<PathBuf> = lock.files.iter().map(|file| part_of(lock, file, folder)).collect();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_part = name.starts_with('.') && name.ends_with(".part");
        if is_part && !kept.contains(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Fetches a file, on from where an earlier pull ended, and returns its sum.
async fn fetch(
    hub: &Hub,
    lock: &Lock,
    file: &LockedFile,
    folder: &Path,
    progress: &ProgressBar,
) -> Result<Digest, PullError> {
    let part = part_of(lock, file, folder);
    let start = progress.position();
    let (mut idle, mut pause) = (0, FIRST_PAUSE);
    loop {
        let before = length(&part).await;
        if before == file.size {
            break;
        }
        progress.set_position(start + before);
        let error = match append(hub, lock, file, &part, progress).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        let passing = matches!(&error, PullError::Hub(HubError::File { passing: true, .. }));
        let grown = length(&part).await > before;
        idle = if grown { 0 } else { idle + 1 };
        pause = if grown { FIRST_PAUSE } else { pause * 2 };
        if !passing || idle >= IDLE_TRIES {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
    progress.set_position(start + file.size);
    accept(&part, file, folder).await
}

async fn length(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len())
}

/// Asks once for what is missing of a file, and writes what comes.
async fn append(
    hub: &Hub,
    lock: &Lock,
    file: &LockedFile,
    part: &Path,
    progress: &ProgressBar,
) -> Result<(), PullError> {
    let failed = |source| PullError::Io { path: part.to_owned(), source };
    let mut have = length(part).await;
    if have > file.size {
        tokio::fs::remove_file(part).await.map_err(failed)?;
        have = 0;
    }
    let mut rest = hub.file(lock, file, have).await?;
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(rest.from > 0).truncate(rest.from == 0);
    let mut output = options.open(part).await.map_err(failed)?;
    if rest.from == 0 {
        progress.set_position(progress.position().saturating_sub(have));
    }
    let mut written = rest.from;
    loop {
        let chunk = rest.response.chunk().await.map_err(|error| HubError::File {
            file: file.name.clone(),
            reason: format!("it broke off: {}", error.without_url()),
            passing: true,
        });
        let Some(chunk) = chunk? else { break };
        written += chunk.len() as u64;
        if written > file.size {
            drop(output);
            tokio::fs::remove_file(part).await.map_err(failed)?;
            return Err(other_bytes(file, format!("more than {} bytes", file.size)));
        }
        output.write_all(&chunk).await.map_err(failed)?;
        progress.inc(chunk.len() as u64);
    }
    output.flush().await.map_err(failed)?;
    output.sync_all().await.map_err(failed)?;
    if written < file.size {
        let reason = format!("it ended after {written} of {} bytes", file.size);
        return Err(HubError::File { file: file.name.clone(), reason, passing: true }.into());
    }
    Ok(())
}

/// Checks a whole file, gives it its name, and returns its sum.
async fn accept(part: &Path, file: &LockedFile, folder: &Path) -> Result<Digest, PullError> {
    let failed = |source| PullError::Io { path: part.to_owned(), source };
    let found = sum_of(part).await?;
    if let Some(expected) = file.sha256
        && found != expected
    {
        tokio::fs::remove_file(part).await.map_err(failed)?;
        return Err(other_bytes(file, format!("sha256 {found}")));
    }
    tokio::fs::rename(part, folder.join(&file.name)).await.map_err(failed)?;
    Ok(found)
}

fn other_bytes(file: &LockedFile, found: String) -> PullError {
    let expected = match file.sha256 {
        Some(sum) => format!("{} bytes with sha256 {sum}", file.size),
        None => format!("{} bytes", file.size),
    };
    PullError::OtherBytes { file: file.name.clone(), found, expected }
}
