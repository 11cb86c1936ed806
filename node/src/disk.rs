//! How much room is left on a disk.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Bytes that this user may still write in the folder, or in the nearest ancestor that exists;
/// `None` where the system does not say.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|at| at.is_dir())?;
    let disk = statvfs(existing).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).is_some_and(|free| free > 0));
        assert!(free_bytes(&folder.path().join("not/yet")).is_some());
    }
}
