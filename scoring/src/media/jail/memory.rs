//! Files in memory: a child's input, which nobody can change, and its result.

use super::super::MediaFault;
use super::super::mp4::Picture;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt as _;

/// Copies `bytes` to a memory file that cannot be changed afterwards.
pub(crate) fn sealed_file(bytes: &[u8]) -> Result<File, MediaFault> {
    sealed(bytes, &[]).map_err(MediaFault::Input)
}

/// [`sealed_file`] of an MP4, of which only the picture can be seen.
pub(crate) fn sealed_picture(bytes: &[u8], picture: &Picture) -> Result<File, MediaFault> {
    sealed(bytes, picture.hidden()).map_err(MediaFault::Input)
}

fn sealed(bytes: &[u8], hidden: &[usize]) -> io::Result<File> {
    let mut file = memory_file(MFdFlags::MFD_ALLOW_SEALING)?;
    file.write_all(bytes)?;
    for place in hidden {
        file.write_all_at(&Picture::FREE, *place as u64)?;
    }
    file.rewind()?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
    Ok(file)
}

/// An empty memory file for a child's result.
pub(crate) fn result_file() -> Result<File, MediaFault> {
    memory_file(MFdFlags::empty()).map_err(MediaFault::Input)
}

fn memory_file(flags: MFdFlags) -> io::Result<File> {
    Ok(File::from(memfd_create(c"leoma-media", flags | MFdFlags::MFD_CLOEXEC)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_cannot_be_changed() {
        let mut file = sealed_file(b"abc").unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
