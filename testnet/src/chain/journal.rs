//! The chain's file: records appended one after another, each a header and its bytes.
//!
//! A record is written with one call and never changed. A process killed in the middle leaves a
//! short last record, which the next start cuts off. Anything else that is wrong is damage and
//! stops the start: a damaged length must not pass for a short record, so the header carries a
//! checksum of its own.
//!
//! Header: length of the bytes (4, little-endian), their checksum (8), checksum of these twelve
//! (4).

use super::error::ChainError;
use sp_runtime::traits::{BlakeTwo256, Hash};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Largest record: a full block and the trie nodes it changes stay far below; a larger length is
/// damage.
pub(super) const MAX_RECORD: usize = 64 << 20;

const HEADER: usize = 16;

/// An append-only file, locked against other processes.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
}

/// Bytes of the journal by place, readable from any thread.
#[derive(Debug)]
pub(super) struct Reader(File);

/// Where some bytes lie in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) len: u32,
}

impl Journal {
    /// Opens or creates the file and hands every record, with the place of its bytes, to `visit`.
    pub(super) fn open(
        path: &Path,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), &'static str>,
    ) -> Result<Self, ChainError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(ChainError::file("opening", path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ChainError::Locked { path: path.to_owned() },
            TryLockError::Error(source) => {
                ChainError::File { action: "locking", path: path.to_owned(), source }
            }
        })?;
        let size = file.metadata().map_err(ChainError::file("reading", path))?.len();
        let mut input =
            BufReader::new(file.try_clone().map_err(ChainError::file("opening", path))?);
        input.seek(SeekFrom::Start(0)).map_err(ChainError::file("reading", path))?;
        let mut end = 0;
        while end < size {
            let record =
                read_record(&mut input, size - end).map_err(ChainError::file("reading", path))?;
            match record {
                Record::Whole(bytes) => {
                    let offset = end + HEADER as u64;
                    visit(offset, &bytes).map_err(|reason| ChainError::Damaged {
                        path: path.to_owned(),
                        offset,
                        reason,
                    })?;
                    end = offset + bytes.len() as u64;
                }
                Record::Torn => {
                    tracing::warn!(
                        path = %path.display(),
                        kept = end,
                        dropped = size - end,
                        "cut a torn record off the journal"
                    );
                    file.set_len(end).map_err(ChainError::file("truncating", path))?;
                    break;
                }
                Record::Wrong(reason) => {
                    return Err(ChainError::Damaged { path: path.to_owned(), offset: end, reason });
                }
            }
        }
        Ok(Self { path: path.to_owned(), file, end })
    }

    /// A handle that reads without moving the writer.
    pub(super) fn reader(&self) -> Result<Reader, ChainError> {
        self.file.try_clone().map(Reader).map_err(ChainError::file("opening", &self.path))
    }

    /// Appends one record and returns where its bytes begin. It survives the death of this process;
    /// [`Journal::sync`] makes it survive the machine's.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64, ChainError> {
        let mut record = Vec::with_capacity(HEADER + bytes.len());
        record.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        record.extend_from_slice(&checksum::<8>(bytes));
        record.extend_from_slice(&checksum::<4>(&record));
        record.extend_from_slice(bytes);
        if let Err(error) = self.file.write_all(&record) {
            // Half a record would hide what is appended after it.
            self.file.set_len(self.end).map_err(ChainError::file("truncating", &self.path))?;
            return Err(ChainError::file("appending to", &self.path)(error));
        }
        let offset = self.end + HEADER as u64;
        self.end = offset + bytes.len() as u64;
        Ok(offset)
    }

    /// Flushes to the disk.
    pub(super) fn sync(&self) -> Result<(), ChainError> {
        self.file.sync_data().map_err(ChainError::file("syncing", &self.path))
    }
}

impl Reader {
    /// The bytes at `place`.
    pub(super) fn read(&self, place: Place) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; place.len as usize];
        self.0.read_exact_at(&mut bytes, place.offset)?;
        Ok(bytes)
    }
}

/// The first bytes of the blake2-256 hash: they guard against accidents, not forgery.
fn checksum<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut short = [0; LEN];
    short.copy_from_slice(&BlakeTwo256::hash(bytes).as_bytes()[..LEN]);
    short
}

enum Record {
    Whole(Vec<u8>),
    /// The file ends inside it.
    Torn,
    Wrong(&'static str),
}

fn read_record(input: &mut impl Read, left: u64) -> std::io::Result<Record> {
    if left < HEADER as u64 {
        return Ok(Record::Torn);
    }
    let mut header = [0; HEADER];
    input.read_exact(&mut header)?;
    if checksum::<4>(&header[..12]) != header[12..] {
        return Ok(Record::Wrong("a record's header does not match its checksum"));
    }
    let (len, expected) = header[..12].split_at(4);
    let len = len.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    if len > MAX_RECORD {
        return Ok(Record::Wrong("a record is longer than any that is written"));
    }
    let after = left - HEADER as u64;
    if after < len as u64 {
        return Ok(Record::Torn);
    }
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes)?;
    Ok(match (checksum::<8>(&bytes) == expected, after == len as u64) {
        (true, _) => Record::Whole(bytes),
        (false, true) => Record::Torn,
        (false, false) => Record::Wrong("a record does not match its checksum"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(path: &Path) -> Result<Vec<Vec<u8>>, ChainError> {
        let mut seen = Vec::new();
        Journal::open(path, |_, bytes| {
            seen.push(bytes.to_vec());
            Ok(())
        })?;
        Ok(seen)
    }

    fn three(path: &Path) {
        let mut journal = Journal::open(path, |_, _| Ok(())).unwrap();
        for record in [&b"first"[..], b"second", b"third"] {
            journal.append(record).unwrap();
        }
        journal.sync().unwrap();
    }

    #[test]
    fn every_cut_keeps_the_records_before_it_and_takes_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        three(&path);
        let whole = std::fs::read(&path).unwrap();
        let ends = [21, 43, 64];
        assert_eq!(whole.len(), 64);
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(records(&path).unwrap().len(), kept, "cut at {cut}");
            Journal::open(&path, |_, _| Ok(())).unwrap().append(b"next").unwrap();
            assert_eq!(records(&path).unwrap().last().unwrap(), b"next");
        }
    }

    #[test]
    fn damage_before_the_end_is_named_and_nothing_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        three(&path);
        let whole = std::fs::read(&path).unwrap();
        for (at, record) in (0..43).map(|at| (at, if at < 21 { 0 } else { 21 })) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let error = records(&path).unwrap_err();
            assert!(
                matches!(error, ChainError::Damaged { offset, .. } if offset == record),
                "byte {at}: {error}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let _held = Journal::open(&path, |_, _| Ok(())).unwrap();
        assert!(matches!(Journal::open(&path, |_, _| Ok(())), Err(ChainError::Locked { .. })));
    }

    #[test]
    fn bytes_are_read_back_from_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, |_, _| Ok(())).unwrap();
        journal.append(b"first").unwrap();
        let offset = journal.append(b"second").unwrap();
        let reader = journal.reader().unwrap();
        assert_eq!(reader.read(Place { offset: offset + 1, len: 4 }).unwrap(), b"econ");
    }
}
