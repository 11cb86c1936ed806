//! Files in which a program states its addresses for those that started it.

use std::io;
use std::path::Path;

/// Writes a file aside and renames it into place, so that a reader never sees half of it.
pub(crate) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text)?;
    std::fs::rename(&aside, path)
}
