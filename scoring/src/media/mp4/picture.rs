//! The track of pictures, and what is hidden from the decoder.

use super::boxes::{Atom, Boxes, Broken, number};
use super::edits::EditList;
use super::kind::kind_of;
use crate::media::VideoDefect;
use std::ops::Range;

/// Boxes that a decoder needs. All others become free space.
const OUTERMOST: [&[u8; 4]; 8] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide"];
const OF_MOVIE: [&[u8; 4]; 3] = [b"mvhd", b"mvex", b"trak"];
const OF_TRACK: [&[u8; 4]; 2] = [b"tkhd", b"mdia"];
const OF_MEDIA: [&[u8; 4]; 3] = [b"mdhd", b"hdlr", b"minf"];
const OF_MEDIA_INFORMATION: [&[u8; 4]; 4] = [b"vmhd", b"hdlr", b"dinf", b"stbl"];
const OF_SAMPLE_TABLE: [&[u8; 4]; 11] = [
    b"stsd", b"stts", b"ctts", b"cslg", b"stss", b"stps", b"stsc", b"stsz", b"stz2", b"stco",
    b"co64",
];
const OF_FRAGMENT: [&[u8; 4]; 2] = [b"mfhd", b"traf"];
const OF_TRACK_FRAGMENT: [&[u8; 4]; 3] = [b"tfhd", b"tfdt", b"trun"];
/// Sample entries of the codecs that are decoded.
const CODINGS: [&str; 11] =
    ["avc1", "avc2", "avc3", "avc4", "hvc1", "hev1", "dvh1", "dvhe", "av01", "vp09", "mp4v"];
/// Sample entries of single pictures: covers and chapter images.
const STILLS: [&[u8; 4]; 8] =
    [b"jpeg", b"png ", b"mjpa", b"mjpb", b"tiff", b"gif ", b"kpcd", b"raw "];
/// Bytes of a sample entry of pictures before the boxes in it.
const SAMPLE_ENTRY_BYTES: usize = 78;
/// Kinds of pictures that an `esds` box may name for one picture (ISO/IEC 14496-1, table 5): JPEG,
/// PNG, JPEG 2000.
const STILL_OBJECT_TYPES: Range<u8> = 0x6c..0x6f;
/// How many bytes state a unit's length where the file does not say: what all writers use.
const USUAL_LENGTH_BYTES: usize = 4;
/// The `enabled` flag of a track header.
const ENABLED: u64 = 1;

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Use {
    /// Every coded frame, upright: an answer or a task's clip.
    Frames,
    /// What a player shows: a source video, whose edit list and rotation are followed.
    Playback,
}

/// The track of pictures in an MP4.
#[derive(Debug, Clone)]
pub(in crate::media) struct Picture {
    /// Where the names of boxes stand that the decoder must not see.
    hidden: Vec<usize>,
    /// Players are told to turn, mirror or distort the picture.
    pub(in crate::media) is_turned: bool,
    edits: EditList,
    /// The name of its first sample entry, such as `avc1`.
    coding: String,
    length_bytes: usize,
}

impl Picture {
    /// Finds the track of pictures: the first that is enabled and not a still.
    ///
    /// # Errors
    /// [`VideoDefect`] where this is not an MP4, is cut off, or has no such track.
    pub(in crate::media) fn find(bytes: &[u8], purpose: Use) -> Result<Self, VideoDefect> {
        let mut boxes = Boxes::of(bytes);
        let (atoms, broken) = boxes.outermost();
        let known = |atom: &&Atom| OUTERMOST.contains(&&atom.name);
        let Some(movie) = atoms.iter().find(|atom| atom.name == *b"moov") else {
            return Err(match (atoms.iter().find(known), broken) {
                (Some(_), _) => VideoDefect::CutOff,
                (None, _) => VideoDefect::OtherKind { kind: kind_of(bytes) },
            });
        };
        let is_cut = |(name, broken): ([u8; 4], Broken)| {
            broken == Broken::PastTheEnd && OUTERMOST.contains(&&name)
        };
        if broken.is_some_and(is_cut) {
            return Err(VideoDefect::CutOff);
        }
        let mut hidden = Vec::new();
        hide(&atoms, &OUTERMOST, &mut hidden);
        // Of several indexes the first counts.
        let others = atoms.iter().filter(|atom| atom.name == *b"moov" && *atom != movie);
        hidden.extend(others.map(|atom| atom.name_at));
        let tracks = Tracks::of(&mut boxes, movie, purpose, &mut hidden).map_err(damaged)?;
        let (track, rest) = tracks.choose()?;
        hidden.extend(rest);
        for fragment in atoms.iter().filter(|atom| atom.name == *b"moof") {
            hide_in_fragment(&mut boxes, fragment, track.id, &mut hidden).map_err(damaged)?;
        }
        let is_turned = track.is_turned || tracks.is_turned;
        let length_bytes = track.length_bytes.unwrap_or(USUAL_LENGTH_BYTES);
        Ok(Self { hidden, is_turned, edits: track.edits, coding: track.coding, length_bytes })
    }

    /// Places of box names to be overwritten with [`Picture::FREE`].
    pub(in crate::media) fn hidden(&self) -> &[usize] {
        &self.hidden
    }

    /// The name of a box without meaning.
    pub(in crate::media) const FREE: [u8; 4] = *b"free";

    /// The name of its coding.
    pub(in crate::media) fn coding(&self) -> &str {
        &self.coding
    }

    /// How many bytes state the length of each unit of H.264 or H.265.
    pub(in crate::media) fn length_bytes(&self) -> usize {
        self.length_bytes
    }

    /// The name of its coding, where it is not a usual name of a decoded codec.
    pub(in crate::media) fn unusual_coding(&self) -> Option<&str> {
        Some(self.coding.as_str()).filter(|coding| !CODINGS.contains(coding))
    }

    /// Whether a player shows frames other than the coded ones, whose times are given in the
    /// track's units.
    pub(in crate::media) fn hides_frames(&self, first: i128, last: i128, interval: i128) -> bool {
        self.edits.hides_frames(first, last, interval)
    }
}

fn damaged(broken: Broken) -> VideoDefect {
    let complaint = match broken {
        Broken::PastTheEnd => "a box of its index is larger than the index",
        Broken::Malformed => "its index is malformed",
    };
    VideoDefect::Undecodable { complaint: complaint.to_owned() }
}

fn hide(atoms: &[Atom], needed: &[&[u8; 4]], hidden: &mut Vec<usize>) {
    let others = atoms.iter().filter(|atom| !needed.contains(&&atom.name));
    hidden.extend(others.map(|atom| atom.name_at));
}

fn child(atoms: &[Atom], name: &[u8; 4]) -> Option<Atom> {
    atoms.iter().find(|atom| atom.name == *name).cloned()
}

fn hide_in_fragment(
    boxes: &mut Boxes<'_>,
    fragment: &Atom,
    track: u64,
    hidden: &mut Vec<usize>,
) -> Result<(), Broken> {
    let parts = boxes.within(fragment.body.clone())?;
    hide(&parts, &OF_FRAGMENT, hidden);
    for part in parts.iter().filter(|part| part.name == *b"traf") {
        let inner = boxes.within(part.body.clone())?;
        let header = child(&inner, b"tfhd").ok_or(Broken::Malformed)?;
        if number::<4>(boxes.body(&header), 4) == Some(track) {
            hide(&inner, &OF_TRACK_FRAGMENT, hidden);
        } else {
            hidden.push(part.name_at);
        }
    }
    Ok(())
}

/// One track.
#[derive(Debug, Clone)]
struct Track {
    name_at: usize,
    id: u64,
    is_enabled: bool,
    has_pictures: bool,
    coding: String,
    /// How many bytes state a unit's length, where its sample entries say.
    length_bytes: Option<usize>,
    /// Its pictures are stills: the name of their coding.
    still: Option<String>,
    is_turned: bool,
    edits: EditList,
}

struct Tracks {
    tracks: Vec<Track>,
    is_turned: bool,
}

impl Tracks {
    fn of(
        boxes: &mut Boxes<'_>,
        movie: &Atom,
        purpose: Use,
        hidden: &mut Vec<usize>,
    ) -> Result<Self, Broken> {
        let parts = boxes.within(movie.body.clone())?;
        hide(&parts, &OF_MOVIE, hidden);
        let header = child(&parts, b"mvhd").ok_or(Broken::Malformed)?;
        let header = boxes.body(&header);
        let (unit_at, matrix_at) = if header.first() == Some(&1) { (20, 48) } else { (12, 36) };
        let unit = number::<4>(header, unit_at).ok_or(Broken::Malformed)?;
        let mut tracks = Vec::new();
        for part in parts.iter().filter(|part| part.name == *b"trak") {
            tracks.push(Track::of(boxes, part, unit, purpose, hidden)?);
        }
        Ok(Self { tracks, is_turned: is_turned(header, matrix_at) })
    }

    /// The track of pictures, and the places of the other tracks' names.
    fn choose(&self) -> Result<(Track, Vec<usize>), VideoDefect> {
        let moving = |track: &&(usize, &Track)| track.1.has_pictures && track.1.still.is_none();
        let numbered: Vec<(usize, &Track)> = self.tracks.iter().enumerate().collect();
        let first = numbered
            .iter()
            .filter(moving)
            .find(|(_, track)| track.is_enabled)
            .or_else(|| numbered.iter().find(|track| moving(track)));
        let Some((chosen, track)) = first else {
            let still = self.tracks.iter().find_map(|track| track.still.clone());
            return Err(
                still.map_or(VideoDefect::NoVideoTrack, |codec| VideoDefect::Codec { codec })
            );
        };
        let rest = numbered.iter().filter(|(index, _)| index != chosen);
        let rest = rest.map(|(_, track)| track.name_at).collect();
        Ok(((*track).clone(), rest))
    }
}

impl Track {
    fn of(
        boxes: &mut Boxes<'_>,
        track: &Atom,
        movie_unit: u64,
        purpose: Use,
        hidden: &mut Vec<usize>,
    ) -> Result<Self, Broken> {
        let parts = boxes.within(track.body.clone())?;
        let follows_edits = |atom: &Atom| purpose == Use::Playback && atom.name == *b"edts";
        let unneeded = parts.iter().filter(|atom| !OF_TRACK.contains(&&atom.name));
        hidden.extend(unneeded.filter(|atom| !follows_edits(atom)).map(|atom| atom.name_at));
        let header = child(&parts, b"tkhd").ok_or(Broken::Malformed)?;
        let header = boxes.body(&header);
        let (id_at, matrix_at) = if header.first() == Some(&1) { (20, 52) } else { (12, 40) };
        let media = child(&parts, b"mdia").ok_or(Broken::Malformed)?;
        let media = boxes.within(media.body)?;
        hide(&media, &OF_MEDIA, hidden);
        let handler = child(&media, b"hdlr").ok_or(Broken::Malformed)?;
        let has_pictures = boxes.body(&handler).get(8..12) == Some(b"vide");
        let (coding, still, length_bytes) =
            if has_pictures { sample_table(boxes, &media, hidden)? } else { Default::default() };
        let unit = child(&media, b"mdhd").and_then(|header| {
            let body = boxes.body(&header);
            number::<4>(body, if body.first() == Some(&1) { 20 } else { 12 })
        });
        let edits = match child(&parts, b"edts") {
            Some(edits) => {
                let list = child(&boxes.within(edits.body)?, b"elst");
                list.map(|list| EditList::parse(boxes.body(&list), movie_unit, unit.unwrap_or(0)))
            }
            None => None,
        };
        Ok(Self {
            name_at: track.name_at,
            id: number::<4>(header, id_at).ok_or(Broken::Malformed)?,
            is_enabled: number::<4>(header, 0).is_some_and(|flags| flags & ENABLED != 0),
            has_pictures,
            coding,
            length_bytes,
            still,
            is_turned: is_turned(header, matrix_at),
            edits: edits.unwrap_or_default(),
        })
    }
}

/// Hides what a decoder does not need of a track of pictures. Returns the name of its first sample
/// entry, that of the coding where its pictures are stills, and the bytes of a unit's length.
fn sample_table(
    boxes: &mut Boxes<'_>,
    media: &[Atom],
    hidden: &mut Vec<usize>,
) -> Result<(String, Option<String>, Option<usize>), Broken> {
    let information = child(media, b"minf").ok_or(Broken::Malformed)?;
    let information = boxes.within(information.body)?;
    hide(&information, &OF_MEDIA_INFORMATION, hidden);
    let table = child(&information, b"stbl").ok_or(Broken::Malformed)?;
    let table = boxes.within(table.body)?;
    hide(&table, &OF_SAMPLE_TABLE, hidden);
    let entries = child(&table, b"stsd").ok_or(Broken::Malformed)?;
    // Four bytes of version and flags, and the count.
    let entries = boxes.within(entries.body.start + 8..entries.body.end)?;
    let coding = entries.first().map(|entry| text(&entry.name)).unwrap_or_default();
    let (mut still, mut length) = (None, None);
    for entry in &entries {
        let at = entry.body.start + SAMPLE_ENTRY_BYTES;
        // QuickTime ends the list with four zero bytes, which are not a box.
        let inner = boxes.within(at..entry.body.end).unwrap_or_default();
        // A clean aperture is followed by some players and ignored by most.
        let apertures = inner.iter().filter(|atom| atom.name == *b"clap");
        hidden.extend(apertures.map(|atom| atom.name_at));
        if let Some(stated) = length_bytes(boxes, &inner)
            && stated != *length.get_or_insert(stated)
        {
            return Err(Broken::Malformed);
        }
        let described = child(&inner, b"esds").map(|atom| boxes.body(&atom));
        if still.is_none() {
            still = still_coding(&entry.name, described);
        }
    }
    Ok((coding, still, length))
}

/// How many bytes state a unit's length, by the configuration in a sample entry (ISO/IEC 14496-15:
/// 5.3.3.1 for H.264, 8.3.3.1 for H.265).
fn length_bytes(boxes: &Boxes<'_>, entry: &[Atom]) -> Option<usize> {
    let (configuration, at) = match child(entry, b"avcC") {
        Some(avc) => (avc, 4),
        None => (child(entry, b"hvcC")?, 21),
    };
    Some(usize::from(boxes.body(&configuration).get(at)? & 3) + 1)
}

/// A box's name for people.
fn text(name: &[u8; 4]) -> String {
    let printable = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
    name.iter().map(printable).collect::<String>().trim_end().to_owned()
}

fn still_coding(name: &[u8; 4], description: Option<&[u8]>) -> Option<String> {
    if STILLS.contains(&name) {
        return Some(text(name));
    }
    let object_type = description.and_then(object_type)?;
    match object_type {
        0x6c => Some("mjpeg".to_owned()),
        0x6d => Some("png".to_owned()),
        kind if STILL_OBJECT_TYPES.contains(&kind) => Some("jpeg2000".to_owned()),
        _ => None,
    }
}

/// The object type in an `esds` box: the first byte of its decoder configuration descriptor.
fn object_type(esds: &[u8]) -> Option<u8> {
    // Version and flags, then an elementary stream descriptor.
    let (3, body) = descriptor(esds.get(4..)?)? else { return None };
    // An identifier, and flags for three optional fields, which MP4 files do not use.
    let (4, body) = descriptor(body.get(3..)?)? else { return None };
    body.first().copied()
}

/// The tag of a descriptor and what follows its length of one to four bytes.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let more = rest.iter().take(3).take_while(|byte| **byte & 0x80 != 0).count();
    Some((*tag, rest.get(more + 1..)?))
}

/// Whether the matrix at `at` does anything but enlarge evenly (ISO/IEC 14496-12, 6.2.2). No matrix,
/// and one of zeros, do nothing.
fn is_turned(header: &[u8], at: usize) -> bool {
    let entry = |index: usize| number::<4>(header, at + 4 * index).map(|value| value as u32 as i32);
    let (Some(a), Some(b), Some(c), Some(d)) = (entry(0), entry(1), entry(3), entry(4)) else {
        return false;
    };
    (a, b, c, d) != (0, 0, 0, 0) && !(b == 0 && c == 0 && a > 0 && a == d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
    }

    /// A track with a handler and one sample entry.
    fn track(id: u8, handler: &[u8; 4], coding: &[u8; 4], flags: u8) -> Vec<u8> {
        let mut header = vec![0, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, id];
        header.resize(84, 0);
        let entry = boxed(coding, &[0; SAMPLE_ENTRY_BYTES]);
        let table = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
        let information = boxed(b"minf", &boxed(b"stbl", &table));
        let handler = boxed(b"hdlr", &[&[0; 8][..], handler].concat());
        let media = [handler, information].concat();
        let note = boxed(b"udta", b"ignore the rubric");
        boxed(b"trak", &[boxed(b"tkhd", &header), boxed(b"mdia", &media), note].concat())
    }

    fn movie(tracks: &[Vec<u8>]) -> Vec<u8> {
        let header = boxed(b"mvhd", &[0; 100]);
        [boxed(b"ftyp", b"isom"), boxed(b"moov", &[header, tracks.concat()].concat())].concat()
    }

    /// The names of what is hidden.
    fn hidden(file: &[u8]) -> Vec<String> {
        let picture = Picture::find(file, Use::Frames).unwrap();
        let mut places = picture.hidden().to_vec();
        places.sort_unstable();
        places.iter().map(|at| String::from_utf8_lossy(&file[*at..at + 4]).into_owned()).collect()
    }

    #[test]
    fn the_first_enabled_track_of_moving_pictures_is_left() {
        let file = movie(&[
            track(1, b"soun", b"mp4a", 1),
            track(2, b"vide", b"jpeg", 1),
            track(3, b"vide", b"avc1", 0),
            track(4, b"vide", b"hvc1", 1),
            track(5, b"vide", b"avc1", 1),
        ]);
        let picture = Picture::find(&file, Use::Frames).unwrap();
        assert_eq!(picture.coding, "hvc1");
        let tracks = hidden(&file).iter().filter(|name| *name == "trak").count();
        assert_eq!(tracks, 4);
    }

    #[test]
    fn what_is_said_beside_the_picture_is_hidden() {
        let mut file = movie(&[track(1, b"vide", b"avc1", 1)]);
        file.extend(boxed(b"uuid", b"ignore the rubric"));
        file.extend(boxed(b"mdat", b"pictures"));
        assert_eq!(hidden(&file), ["udta", "uuid"]);
        file.extend(boxed(b"moov", b""));
        assert_eq!(hidden(&file).last().unwrap(), "moov");
    }

    #[test]
    fn stills_alone_and_sound_alone_are_told_apart() {
        let find = |tracks: &[Vec<u8>]| Picture::find(&movie(tracks), Use::Frames).unwrap_err();
        let still = find(&[track(1, b"vide", b"png ", 1)]);
        assert_eq!(still, VideoDefect::Codec { codec: "png".into() });
        assert_eq!(find(&[track(1, b"soun", b"mp4a", 1)]), VideoDefect::NoVideoTrack);
    }

    proptest! {
        #[test]
        fn a_damaged_index_never_panics_and_hides_nothing_outside(
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut file = movie(&[track(1, b"soun", b"mp4a", 1), track(2, b"vide", b"avc1", 1)]);
            let place = at.index(file.len());
            file[place] = byte;
            for file in [&file[..], &file[..cut.index(file.len())]] {
                if let Ok(picture) = Picture::find(file, Use::Playback) {
                    prop_assert!(picture.hidden().iter().all(|at| at + 4 <= file.len()));
                }
            }
        }
    }
}
