//! Key files on disk, written so that only their owner can read them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::WalletError;

/// A key file is a few hundred bytes, encrypted a few thousand; anything larger is not one.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Permissions that others must not have.
const READABLE_BY_GROUP: u32 = 0o040;
const READABLE_BY_ANYONE: u32 = 0o004;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Most old keys that are kept beside a new one.
const MAX_KEPT: u32 = 1000;

/// The file beside a key file that holds its public half: `{key}pub.txt`.
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("pub.txt");
    path.with_file_name(name)
}

/// A file's bytes and its permissions.
pub(super) struct Opened {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Permission bits; `None` on a system without them.
    pub(super) mode: Option<u32>,
    /// Whether others than its owner and us can read it.
    pub(super) is_open: bool,
}

/// Reads a key file. Links are followed, as containers mount secrets by links; the checks apply to
/// the file that they lead to.
pub(super) fn open(path: &Path) -> Result<Opened, WalletError> {
    let not_a_file = |what| WalletError::NotAFile { path: path.to_owned(), what };
    let opened = read_plain(path, MAX_FILE_BYTES).map_err(|source| match source.kind() {
        ErrorKind::NotFound if is_taken(path) => not_a_file("is a link that leads nowhere"),
        ErrorKind::IsADirectory => {
            not_a_file("is a folder; the key is a file (are WALLET_NAME and HOTKEY_NAME right?)")
        }
        ErrorKind::InvalidInput => not_a_file("is not a plain file"),
        ErrorKind::FileTooLarge => {
            WalletError::Malformed { path: path.to_owned(), reason: "is too large for a key file" }
        }
        ErrorKind::PermissionDenied => {
            WalletError::Denied { path: path.to_owned(), reason: access::denied(path) }
        }
        _ => WalletError::Unreadable { path: path.to_owned(), source },
    })?;
    if let Some(mode) = opened.mode.filter(|mode| mode & WRITABLE_BY_OTHERS != 0) {
        return Err(WalletError::Writable { path: path.to_owned(), mode });
    }
    Ok(opened)
}

/// Reads a plain file of at most `most` bytes that may hold a secret.
///
/// # Errors
/// The system's; of the kinds `IsADirectory`, `InvalidInput` and `FileTooLarge` if it is not such a
/// file.
pub(super) fn read_plain(path: &Path, most: u64) -> std::io::Result<Opened> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(std::io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    // Checked before opening: opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it is not a plain file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let (mode, is_open) = (mode_of(&metadata), access::is_open(&metadata));
    // Allocated at once: a vector that grows would leave copies of the secret in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(most).unwrap_or(0) + 1));
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, "it is too long"));
    }
    Ok(Opened { bytes, mode, is_open })
}

pub(super) fn warn_if_open(path: &Path, is_open: bool) {
    if is_open {
        tracing::warn!(path = %path.display(), "others can read the key's file: run chmod 600 on it");
    }
}

/// Who may read a file, and what to do where we may not.
#[cfg(unix)]
mod access {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::{READABLE_BY_ANYONE, READABLE_BY_GROUP};

    /// Whether others than the owner and us can read it. If we read somebody else's file through
    /// its group, group access is intended.
    pub(super) fn is_open(metadata: &Metadata) -> bool {
        let is_ours = metadata.uid() == nix::unistd::geteuid().as_raw();
        let bits =
            if is_ours { READABLE_BY_GROUP | READABLE_BY_ANYONE } else { READABLE_BY_ANYONE };
        metadata.mode() & bits != 0
    }

    /// Why a file cannot be read, whose it is, and the ways out.
    pub(super) fn denied(path: &Path) -> String {
        let own = nix::unistd::geteuid();
        // A file in a folder that is closed to us does not even show its owner.
        let seen = path.ancestors().find_map(|at| Some((at, std::fs::metadata(at).ok()?)));
        let Some((at, metadata)) = seen else {
            return format!("this process runs as uid {own}, which may not read it");
        };
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        format!(
            "this process runs as uid {own}, and {} belongs to uid {uid}, gid {gid} (mode {mode:04o}): run it as that \
             user (docker run --user {uid}:{gid}; in compose user: \"{uid}:{gid}\"), let its group read it (chmod g+r, \
             and docker run --group-add {gid}), or give it to uid {own} (chown {own})",
            at.display()
        )
    }
}

#[cfg(not(unix))]
mod access {
    pub(super) fn is_open(_: &std::fs::Metadata) -> bool {
        false
    }

    pub(super) fn denied(_: &std::path::Path) -> String {
        "this user may not read it".to_owned()
    }
}

/// Permission bits; `None` on a system without them.
#[cfg(unix)]
pub fn mode_of(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
pub fn mode_of(_metadata: &Metadata) -> Option<u32> {
    None
}

/// Makes the folder of a key file, for its owner only.
pub(super) fn make_folder_of(path: &Path) -> Result<(), WalletError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|source| WalletError::Unwritable { path: path.to_owned(), source })
}

/// Creates a file that only its owner can read. An existing file or link is an error.
pub fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a new key file.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    let mut file = create_private(path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => WalletError::Exists { path: path.to_owned() },
        _ => WalletError::Unwritable { path: path.to_owned(), source },
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|source| {
        // Half a key is worse than none, and nobody uses the new file yet.
        let _gone_or_not = std::fs::remove_file(path);
        WalletError::Unwritable { path: path.to_owned(), source }
    })
}

/// Whether anything exists at a path, even a link that leads nowhere.
pub(super) fn is_taken(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Renames a key and its public half to free names, `name.old-1` and `name.old-1pub.txt` and so on,
/// and returns the key's new path; `None` if there was no key. No file is overwritten, even if
/// others create files meanwhile.
pub(super) fn set_aside(path: &Path) -> Result<Option<PathBuf>, WalletError> {
    let public = public_path(path);
    if !is_taken(path) && !is_taken(&public) {
        return Ok(None);
    }
    let unwritable = |source| WalletError::Unwritable { path: path.to_owned(), source };
    for number in 1..=MAX_KEPT {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".old-{number}"));
        let kept = path.with_file_name(name);
        let Some(place) = Reserved::new(kept.clone()).map_err(unwritable)? else { continue };
        let Some(public_place) = Reserved::new(public_path(&kept)).map_err(unwritable)? else {
            continue;
        };
        let moved = place.fill_with(path).map_err(unwritable)?;
        public_place.fill_with(&public).map_err(unwritable)?;
        return Ok(moved.then_some(kept));
    }
    Err(unwritable(std::io::Error::other("too many old keys are kept beside it")))
}

/// A name reserved by an empty file. Renaming replaces the file of the new name, so only the
/// creator of the empty file may do it.
struct Reserved {
    path: PathBuf,
    filled: bool,
}

impl Reserved {
    /// `None` if the name is taken.
    fn new(path: PathBuf) -> std::io::Result<Option<Self>> {
        match create_private(&path) {
            Ok(_empty) => Ok(Some(Self { path, filled: false })),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves a file here; returns whether it existed.
    fn fill_with(mut self, from: &Path) -> std::io::Result<bool> {
        match std::fs::rename(from, &self.path) {
            Ok(()) => self.filled = true,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(self.filled)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.filled {
            let _left_empty_at_worst = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::collections::BTreeSet;
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
            assert!(
                matches!(error, WalletError::Writable { mode: found, .. } if found == mode),
                "{error}"
            );
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        for (mode, open_to_others) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)]
        {
            let opened = open(&with_mode(folder.path(), &format!("{mode:o}"), mode)).unwrap();
            assert_eq!((opened.mode, opened.is_open), (Some(mode), open_to_others));
            assert_eq!(**opened.bytes, *b"content");
        }
    }

    #[test]
    fn b11_a_file_that_is_denied_names_both_users_and_the_ways_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = with_mode(folder.path(), "h", 0o600);
        let own = nix::unistd::geteuid().to_string();
        // The words are those of a denied read; whether this user is denied depends on who it is.
        let said = access::denied(&path);
        for part in
            [&format!("runs as uid {own}"), "belongs to uid", "--user", "chown", "(mode 0600)"]
        {
            assert!(said.contains(part), "{said}");
        }
        let inside = folder.path().join("closed/h");
        assert!(access::denied(&inside).contains(&folder.path().display().to_string()));
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
        assert_eq!(
            std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        write_new(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(write_new(&path, b"two"), Err(WalletError::Exists { .. })));
        let link = folder.path().join("link");
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(matches!(write_new(&link, b"two"), Err(WalletError::Exists { .. })));
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn what_is_set_aside_keeps_its_public_half_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        let names = || {
            let names = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> =
                names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        write_new(&path, b"one").unwrap();
        write_new(&public_path(&path), b"public one").unwrap();
        assert_eq!(set_aside(&path).unwrap(), Some(path.with_file_name("h.old-1")));
        write_new(&path, b"two").unwrap();
        assert_eq!(set_aside(&path).unwrap(), Some(path.with_file_name("h.old-2")));
        assert_eq!(names(), ["h.old-1", "h.old-1pub.txt", "h.old-2"], "and no empty file is left");
        // A public half alone, and a name that is taken in part.
        write_new(&path.with_file_name("h.old-3pub.txt"), b"mine").unwrap();
        write_new(&public_path(&path), b"public three").unwrap();
        assert_eq!(set_aside(&path).unwrap(), None);
        assert_eq!(set_aside(&path).unwrap(), None);
        assert_eq!(
            names(),
            ["h.old-1", "h.old-1pub.txt", "h.old-2", "h.old-3pub.txt", "h.old-4pub.txt"]
        );
        for (name, content) in [
            ("h.old-1", &b"one"[..]),
            ("h.old-1pub.txt", b"public one"),
            ("h.old-3pub.txt", b"mine"),
        ] {
            assert_eq!(std::fs::read(path.with_file_name(name)).unwrap(), content);
        }
    }

    #[test]
    fn wallets_that_set_keys_aside_at_once_lose_none() {
        const WALLETS: usize = 8;
        const KEYS: usize = 100;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        let start = std::sync::Barrier::new(WALLETS);
        let replace_often = &|wallet: usize| {
            start.wait();
            let mut written = BTreeSet::new();
            for key in 0..KEYS {
                let content = format!("{wallet} {key}");
                let new =
                    create_private(&path).and_then(|mut file| file.write_all(content.as_bytes()));
                if new.is_ok() {
                    written.insert(content);
                }
                set_aside(&path).unwrap();
            }
            written
        };
        let written: BTreeSet<String> = std::thread::scope(|scope| {
            let wallets: Vec<_> =
                (0..WALLETS).map(|wallet| scope.spawn(move || replace_often(wallet))).collect();
            wallets.into_iter().flat_map(|wallet| wallet.join().unwrap()).collect()
        });
        let kept = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let found: BTreeSet<String> =
            kept.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!(written.len() >= KEYS);
        assert_eq!(written, found);
    }
}
