//! Box headers: a size, a name of four bytes, and a body.

use std::ops::Range;

/// Most boxes whose headers are read. A fragmented hour with a fragment for each frame has under a
/// million.
const MAX_BOXES: usize = 1_000_000;

/// One box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Atom {
    /// Its name, such as `moov`.
    pub(super) name: [u8; 4],
    /// Where the name stands in the file.
    pub(super) name_at: usize,
    /// Where its content stands in the file.
    pub(super) body: Range<usize>,
}

/// Why a header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The box is larger than the file or the box around it.
    PastTheEnd,
    /// The size is smaller than the header, or there are too many boxes.
    Malformed,
}

/// The boxes of a file; counts those that were read.
#[derive(Debug)]
pub(super) struct Boxes<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Boxes<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, left: MAX_BOXES }
    }

    /// The file's own boxes, and the name of what follows the last whole one, with what is wrong
    /// with it: the rest of a box that was cut off, or padding.
    pub(super) fn outermost(&mut self) -> (Vec<Atom>, Option<([u8; 4], Broken)>) {
        let mut atoms = Vec::new();
        let mut at = 0;
        while self.bytes.len() - at >= 8 {
            match self.atom(at..self.bytes.len(), true) {
                Ok(atom) => {
                    at = atom.body.end;
                    atoms.push(atom);
                }
                Err(broken) => {
                    let name = self.bytes[at + 4..].first_chunk().copied().unwrap_or_default();
                    return (atoms, Some((name, broken)));
                }
            }
        }
        (atoms, None)
    }

    /// The boxes in `range`, which they have to fill but for fewer than eight bytes.
    pub(super) fn within(&mut self, range: Range<usize>) -> Result<Vec<Atom>, Broken> {
        let mut atoms = Vec::new();
        let mut at = range.start;
        while range.end.saturating_sub(at) >= 8 {
            let atom = self.atom(at..range.end, false)?;
            at = atom.body.end;
            atoms.push(atom);
        }
        Ok(atoms)
    }

    fn atom(&mut self, range: Range<usize>, outermost: bool) -> Result<Atom, Broken> {
        self.left = self.left.checked_sub(1).ok_or(Broken::Malformed)?;
        let start = range.start;
        let bytes = self.bytes.get(range.clone()).ok_or(Broken::Malformed)?;
        let name = *bytes.get(4..).and_then(<[u8]>::first_chunk::<4>).ok_or(Broken::Malformed)?;
        let (header, size) = match number::<4>(bytes, 0) {
            Some(0) if outermost => (8, bytes.len() as u64),
            Some(1) => (16, number::<8>(bytes, 8).ok_or(Broken::PastTheEnd)?),
            Some(size) => (8, size),
            None => return Err(Broken::Malformed),
        };
        if size < header {
            return Err(Broken::Malformed);
        }
        if size > bytes.len() as u64 {
            return Err(Broken::PastTheEnd);
        }
        let body = start + header as usize..start + size as usize;
        Ok(Atom { name, name_at: start + 4, body })
    }

    /// The content of a box.
    pub(super) fn body(&self, atom: &Atom) -> &'a [u8] {
        &self.bytes[atom.body.clone()]
    }
}

/// The big-endian number of `N` bytes at `at`.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<N>()?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_of_four_and_eight_bytes_and_up_to_the_end_are_read() {
        let mut bytes = b"\0\0\0\x0cftypisom\0\0\0\x01wide\0\0\0\0\0\0\0\x14abcd".to_vec();
        bytes.extend_from_slice(b"\0\0\0\0mdatxyz");
        let (atoms, broken) = Boxes::of(&bytes).outermost();
        assert_eq!(broken, None);
        let seen: Vec<_> = atoms.iter().map(|atom| (&atom.name, atom.body.clone())).collect();
        assert_eq!(seen, [(b"ftyp", 8..12), (b"wide", 28..32), (b"mdat", 40..43)]);
        assert_eq!(atoms[1].name_at, 16);
    }

    #[test]
    fn a_box_past_the_end_and_a_size_below_the_header_are_told_apart() {
        let broken = |bytes| Boxes::of(bytes).outermost().1;
        assert_eq!(broken(b"\0\0\0\x20mdatxyz"), Some((*b"mdat", Broken::PastTheEnd)));
        assert_eq!(broken(b"\0\0\0\x04mdatxyz"), Some((*b"mdat", Broken::Malformed)));
        // Inside another box there is no "up to the end".
        assert_eq!(Boxes::of(b"\0\0\0\0mdatxyz").within(0..11), Err(Broken::Malformed));
    }

    proptest! {
        #[test]
        fn boxes_never_leave_the_file(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (atoms, _) = Boxes::of(&bytes).outermost();
            for atom in atoms {
                prop_assert!(atom.body.start <= atom.body.end && atom.body.end <= bytes.len());
            }
        }
    }
}
