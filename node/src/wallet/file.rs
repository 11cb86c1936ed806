//! Key files on disk: opened with care, and written so that only their owner reads them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::WalletError;

/// A key file is a few hundred bytes, encrypted a few thousand; anything larger is not one.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// What others may not do to a key file: read it, or worse, change it.
const READABLE_BY_OTHERS: u32 = 0o044;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Old keys kept beside a new one; beyond that somebody should tidy up.
const MAX_KEPT: u32 = 1000;

/// A file's bytes and its permissions.
pub(super) struct Opened {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Permission bits; `None` on a system without them.
    pub(super) mode: Option<u32>,
}

/// Reads a key file. Links are followed, as secrets are mounted into containers by links; what matters is the file that
/// they lead to.
pub(super) fn open(path: &Path) -> Result<Opened, WalletError> {
    let unreadable = |source| WalletError::Unreadable { path: path.to_owned(), source };
    let not_a_file = |what| WalletError::NotAFile { path: path.to_owned(), what };
    let is_link = std::fs::symlink_metadata(path).map_err(unreadable)?.is_symlink();
    let metadata = match std::fs::metadata(path) {
        Err(error) if is_link && error.kind() == std::io::ErrorKind::NotFound => {
            return Err(not_a_file("is a link that leads nowhere"));
        }
        other => other.map_err(unreadable)?,
    };
    if metadata.is_dir() {
        return Err(not_a_file("is a folder; the key is a file (are WALLET_NAME and HOTKEY_NAME right?)"));
    }
    // Looked at before it is opened: to open a pipe would be to wait for its other end.
    if !metadata.is_file() {
        return Err(not_a_file("is not a plain file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = mode_of(&metadata);
    if let Some(mode) = mode.filter(|mode| mode & WRITABLE_BY_OTHERS != 0) {
        return Err(WalletError::Writable { path: path.to_owned(), mode });
    }
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize + 1));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(WalletError::Malformed { path: path.to_owned(), reason: "too large for a hotkey file" });
    }
    Ok(Opened { bytes, mode })
}

/// Whether others than the owner can read a file of this mode.
pub(super) fn is_open(mode: Option<u32>) -> bool {
    mode.is_some_and(|mode| mode & READABLE_BY_OTHERS != 0)
}

pub(super) fn warn_if_open(path: &Path, mode: Option<u32>) {
    if is_open(mode) {
        tracing::warn!(path = %path.display(), "others can read the key's file: run chmod 600 on it");
    }
}

#[cfg(unix)]
pub(super) fn mode_of(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
pub(super) fn mode_of(_metadata: &Metadata) -> Option<u32> {
    None
}

/// Makes the folder of a key file, for its owner only.
pub(super) fn make_folder_of(path: &Path) -> Result<(), WalletError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| WalletError::Unwritable { path: path.to_owned(), source })
}

/// Writes a new file that only its owner reads. Whatever is there, a link included, is an error.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => WalletError::Exists { path: path.to_owned() },
        _ => WalletError::Unwritable { path: path.to_owned(), source },
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|source| {
        // Half a key is worse than none. What was written is not needed by anyone yet.
        let _gone_or_not = std::fs::remove_file(path);
        WalletError::Unwritable { path: path.to_owned(), source }
    })
}

/// Whether there is anything at a path, be it a link that leads nowhere.
pub(super) fn is_taken(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Moves what is at `path` to a free name beside it, `name.old-1` and so on, and returns that; `None` where nothing is
/// there.
pub(super) fn set_aside(path: &Path) -> Result<Option<PathBuf>, WalletError> {
    if !is_taken(path) {
        return Ok(None);
    }
    let aside = |number: u32| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".old-{number}"));
        path.with_file_name(name)
    };
    let unwritable = |source| WalletError::Unwritable { path: path.to_owned(), source };
    let free = (1..=MAX_KEPT).map(aside).find(|aside| !is_taken(aside));
    let free = free.ok_or_else(|| unwritable(std::io::Error::other("too many old keys are kept beside it")))?;
    std::fs::rename(path, &free).map_err(unwritable)?;
    Ok(Some(free))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn with_mode(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "content").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_that_others_can_change_is_refused_and_one_that_they_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o620, 0o602, 0o666] {
            let error = open(&with_mode(folder.path(), &format!("{mode:o}"), mode)).err().unwrap();
            assert!(matches!(error, WalletError::Writable { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        for (mode, open_to_others) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            let opened = open(&with_mode(folder.path(), &format!("{mode:o}"), mode)).unwrap();
            assert_eq!((opened.mode, is_open(opened.mode)), (Some(mode), open_to_others));
            assert_eq!(**opened.bytes, *b"content");
        }
    }

    #[test]
    fn links_are_followed_and_what_is_no_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let target = with_mode(folder.path(), "target", 0o600);
        let (link, dangling) = (folder.path().join("link"), folder.path().join("dangling"));
        symlink(&target, &link).unwrap();
        symlink(folder.path().join("absent"), &dangling).unwrap();
        assert_eq!(**open(&link).unwrap().bytes, *b"content");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, part) in [
            (dangling, "leads nowhere"),
            (folder.path().to_owned(), "is a folder"),
            (pipe, "not a plain file"),
            (folder.path().join("absent"), "leoma wallet new-hotkey"),
        ] {
            let error = open(&path).err().unwrap().to_string();
            assert!(error.contains(part) && error.contains(&path.display().to_string()), "{error}");
        }
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'x'; MAX_FILE_BYTES as usize + 1]).unwrap();
        assert!(open(&large).err().unwrap().to_string().contains("too large"));
    }

    #[test]
    fn a_new_file_is_private_and_never_replaces_another_or_follows_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wallet/hotkeys/h");
        make_folder_of(&path).unwrap();
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        write_new(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(write_new(&path, b"two"), Err(WalletError::Exists { .. })));
        let link = folder.path().join("link");
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(matches!(write_new(&link, b"two"), Err(WalletError::Exists { .. })));
        assert!(!folder.path().join("elsewhere").exists());
        assert_eq!(set_aside(&path).unwrap(), Some(path.with_file_name("h.old-1")));
        write_new(&path, b"two").unwrap();
        assert_eq!(set_aside(&path).unwrap(), Some(path.with_file_name("h.old-2")));
        assert_eq!(set_aside(&path).unwrap(), None);
        assert_eq!(std::fs::read(path.with_file_name("h.old-1")).unwrap(), b"one");
    }
}
