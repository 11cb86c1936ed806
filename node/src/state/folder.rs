//! The state folder itself, which only its owner reads: salts of weights that are not revealed yet
//! lie in it.

use std::path::Path;

/// Makes `folder` where it is new, and makes it private in any case.
///
/// # Errors
/// The system's, when it cannot be made. One that belongs to another user stays as it is.
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    close(folder);
    Ok(())
}

/// Removes others' access to a folder of ours that an earlier release or the operator left open.
#[cfg(unix)]
fn close(folder: &Path) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let Ok(found) = std::fs::metadata(folder) else { return };
    let is_ours = found.uid() == nix::unistd::Uid::effective().as_raw();
    // A sticky folder, such as /tmp, is meant for everybody.
    let is_for_all = found.mode() & 0o1000 != 0;
    if !is_ours || is_for_all || found.mode() & 0o777 == 0o700 {
        return;
    }
    if let Err(error) = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)) {
        tracing::warn!(%error, folder = %folder.display(), "others may read the state folder");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_state_folder_is_its_owners_alone_and_a_folder_for_everybody_stays_one() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("new/state");
        let mode = || std::fs::metadata(&folder).unwrap().permissions().mode() & 0o7777;
        let set = |mode| {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            make_private(&folder).unwrap();
        };
        make_private(&folder).unwrap();
        assert_eq!(mode(), 0o700);
        set(0o755);
        assert_eq!(mode(), 0o700);
        set(0o1777);
        assert_eq!(mode(), 0o1777);
    }
}
