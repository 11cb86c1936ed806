//! Reads ffmpeg's YUV4MPEG2 output, which states the frame size.

use super::clip::frame_bytes;
use super::{Clip, Frame, Limits, VideoDefect, VideoInfo};
use std::ops::ControlFlow;

/// A header line is under 100 bytes.
const MAX_HEADER_BYTES: usize = 256;

/// Parses a YUV4MPEG2 stream as it arrives, and holds at most one unfinished frame.
pub(super) struct Yuv4Mpeg {
    limits: Limits,
    size: Option<(usize, usize, usize)>,
    header: Vec<u8>,
    frame: Option<Vec<u8>>,
    frames: Vec<Frame>,
    defect: Option<VideoDefect>,
}

impl Yuv4Mpeg {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            size: None,
            header: Vec::new(),
            frame: None,
            frames: Vec::new(),
            defect: None,
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> ControlFlow<()> {
        while !bytes.is_empty() && self.defect.is_none() {
            bytes = match (self.size, self.frame.take()) {
                (Some((_, _, wanted)), Some(mut frame)) => {
                    let taken = bytes.len().min(wanted - frame.len());
                    frame.extend_from_slice(&bytes[..taken]);
                    if frame.len() == wanted {
                        self.frames.push(Frame { planes: frame });
                    } else {
                        self.frame = Some(frame);
                    }
                    &bytes[taken..]
                }
                _ => self.push_header(bytes),
            };
        }
        if self.defect.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Collects a header line, handles it, and returns the bytes after it.
    fn push_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.header.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        if self.header.len() > MAX_HEADER_BYTES {
            self.fail("endless stream header");
            return &[];
        }
        let Some(end) = end else { return &[] };
        let line = std::mem::take(&mut self.header);
        match self.size {
            None => match stream_size(&line)
                .filter(|(_, _, bytes)| *bytes as u64 <= self.limits.pixels * 3 / 2 + 8192)
            {
                Some(size) => self.size = Some(size),
                None => self.fail("unexpected stream header"),
            },
            Some(_) if self.frames.len() >= self.limits.frames => {
                self.defect = Some(VideoDefect::TooManyFrames { limit: self.limits.frames });
            }
            Some((_, _, wanted)) if line.starts_with(b"FRAME") => {
                self.frame = Some(Vec::with_capacity(wanted))
            }
            Some(_) => self.fail("unexpected frame header"),
        }
        &bytes[end + 1..]
    }

    fn fail(&mut self, complaint: &str) {
        self.defect = Some(VideoDefect::Undecodable { complaint: complaint.to_owned() });
    }

    pub(super) fn finish(self, info: VideoInfo) -> Result<Clip, VideoDefect> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        if self.frame.is_some() || !self.header.is_empty() {
            return Err(VideoDefect::Undecodable {
                complaint: "the last frame is incomplete".to_owned(),
            });
        }
        match self.size {
            Some((width, height, _)) if !self.frames.is_empty() => {
                Ok(Clip::of(width, height, self.frames, info))
            }
            _ => Err(VideoDefect::NoFrames),
        }
    }
}

/// Width, height and bytes per frame from a line such as `YUV4MPEG2 W832 H480 F16:1 Ip A1:1
/// C420jpeg`.
fn stream_size(line: &[u8]) -> Option<(usize, usize, usize)> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("YUV4MPEG2 ")?;
    let field = |letter: char| line.split(' ').find_map(|field| field.strip_prefix(letter));
    let (width, height) = (field('W')?.parse().ok()?, field('H')?.parse().ok()?);
    field('C')?.starts_with("420").then_some(())?;
    Some((width, height, frame_bytes(width, height)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info() -> VideoInfo {
        VideoInfo {
            width: 3,
            height: 3,
            fps: None,
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        }
    }

    fn stream(frames: usize) -> Vec<u8> {
        let mut bytes = b"YUV4MPEG2 W3 H3 F16:1 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2\n".to_vec();
        for index in 0..frames {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend(std::iter::repeat_n(index as u8, 9 + 4 + 4));
        }
        bytes
    }

    fn read(bytes: &[u8], piece: usize, frames: usize) -> Result<Clip, VideoDefect> {
        let mut reader = Yuv4Mpeg::new(Limits { frames, ..Limits::ANSWER });
        for piece in bytes.chunks(piece) {
            if reader.push(piece).is_break() {
                break;
            }
        }
        reader.finish(info())
    }

    #[test]
    fn a_stream_cut_into_any_pieces_gives_the_same_frames() {
        for piece in [1, 2, 7, 17, 1000] {
            let clip = read(&stream(5), piece, 10).unwrap();
            assert_eq!((clip.width(), clip.height(), clip.len()), (3, 3, 5));
            assert!(clip.luma(4).iter().all(|value| *value == 4));
            assert_eq!(clip.chroma(4).1.len(), 4);
        }
    }

    #[test]
    fn too_many_frames_no_frames_and_half_a_frame_are_told_apart() {
        assert_eq!(read(&stream(5), 50, 4), Err(VideoDefect::TooManyFrames { limit: 4 }));
        assert_eq!(read(&stream(0), 50, 4), Err(VideoDefect::NoFrames));
        let whole = stream(2);
        let more = [&whole[..], b"FRA"].concat();
        for cut in [&whole[..whole.len() - 1], &more] {
            let half = read(cut, 50, 4);
            assert!(matches!(half, Err(VideoDefect::Undecodable { .. })), "{half:?}");
        }
    }

    #[test]
    fn a_header_line_has_its_limit_in_one_piece_and_in_many() {
        let long = [&stream(0)[..], b"FRAME", &[b' '; MAX_HEADER_BYTES], b"\n", &[1; 17]].concat();
        for piece in [1, 100, 1000] {
            assert!(
                matches!(read(&long, piece, 4), Err(VideoDefect::Undecodable { .. })),
                "{piece}"
            );
        }
    }

    #[test]
    fn a_huge_stated_size_is_refused_before_memory_is_taken() {
        let header = b"YUV4MPEG2 W999999999 H999999999 F16:1 C420\nFRAME\n";
        assert!(matches!(read(header, 50, 4), Err(VideoDefect::Undecodable { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
            let _ = read(&bytes, piece, 3);
            let mut after_header = stream(1);
            after_header.extend_from_slice(&bytes);
            let _ = read(&after_header, piece, 3);
        }
    }
}
