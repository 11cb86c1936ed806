//! Decodes a file to canonical frames, through ffmpeg's YUV4MPEG2 output, which states the frame
//! size.

use super::input::{STDIN_AS_FILE, input_flags};
use super::jail::{Allowance, Ended, Output, run, sealed_file};
use super::probe::probe_file;
use super::{Ffmpeg, Limits, MediaError, VideoDefect, VideoInfo, check_size};
use std::fmt;
use std::fs::File;
use std::ops::ControlFlow;

/// Threads of one decoder. More gain little on five seconds of video, and one answer could take
/// every core.
const DECODER_THREADS: &str = "2";
/// A header line is under 100 bytes.
const MAX_HEADER_BYTES: usize = 256;

/// One frame: planar YUV 4:2:0, 8 bits, the luma plane first.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    planes: Vec<u8>,
}

/// Frames of one size in presentation order, at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    width: usize,
    height: usize,
    frames: Vec<Frame>,
    info: VideoInfo,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("bytes", &self.planes.len()).finish()
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clip")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

impl Clip {
    /// Builds a clip from planes laid out as in [`Frame`]; `None` where a size does not fit or
    /// there is no frame.
    pub fn from_planes(
        width: usize,
        height: usize,
        info: VideoInfo,
        planes: Vec<Vec<u8>>,
    ) -> Option<Self> {
        let bytes = frame_bytes(width, height)?;
        let fits = !planes.is_empty() && planes.iter().all(|plane| plane.len() == bytes);
        let frames = planes.into_iter().map(|planes| Frame { planes }).collect();
        fits.then_some(Self { width, height, frames, info })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of frames, at least 1.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Always false: a clip has at least one frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What the file claimed about itself.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Luma of frame `index`: `height` rows of `width` bytes, 16 to 235 nominal.
    pub fn luma(&self, index: usize) -> &[u8] {
        &self.frames[index].planes[..self.width * self.height]
    }

    /// Both chroma planes of frame `index`, blue difference then red difference, each half size
    /// rounded up.
    pub fn chroma(&self, index: usize) -> (&[u8], &[u8]) {
        let planes = &self.frames[index].planes[self.width * self.height..];
        planes.split_at(planes.len() / 2)
    }

    /// Duration in milliseconds by frame count and stated rate; 0 where no rate is stated.
    pub fn duration_ms(&self) -> u64 {
        let Some(fps) = self.info.fps else { return 0 };
        self.len() as u64 * 1000 * u64::from(fps.denominator) / u64::from(fps.numerator)
    }
}

/// Decodes all frames of the first video track of an MP4.
///
/// # Errors
/// [`VideoDefect`] for every fault of the file, [`super::MediaFault`] for every fault of this
/// machine.
pub fn decode(ffmpeg: &Ffmpeg, bytes: &[u8], limits: &Limits) -> Result<Clip, MediaError> {
    decode_if(ffmpeg, bytes, limits, |_| Ok(()))
}

/// [`decode`], if `accept` agrees to the file's claims before any frame is decoded.
pub(crate) fn decode_if(
    ffmpeg: &Ffmpeg,
    bytes: &[u8],
    limits: &Limits,
    accept: impl FnOnce(&VideoInfo) -> Result<(), VideoDefect>,
) -> Result<Clip, MediaError> {
    check_size(bytes, limits)?;
    let input = sealed_file(bytes)?;
    let info = probe_file(ffmpeg, &input, limits)?;
    if info.frames.is_some_and(|frames| frames > limits.frames as u64) {
        return Err(VideoDefect::TooManyFrames { limit: limits.frames }.into());
    }
    accept(&info)?;
    let mut args = vec!["-nostdin".to_owned()];
    args.extend(input_flags(limits.pixels));
    // What a decoder shows in place of a damaged part depends on the timing of its threads, so a
    // damaged stream is refused.
    args.extend(["-xerror", "-err_detect", "explode"].map(str::to_owned));
    args.extend(
        ["-threads", DECODER_THREADS, "-noautorotate", "-i", STDIN_AS_FILE].map(str::to_owned),
    );
    args.extend(["-map", "0:v:0", "-an", "-sn", "-dn", "-frames:v"].map(str::to_owned));
    args.push((limits.frames + 1).to_string());
    args.extend(ffmpeg.passthrough_timing().map(str::to_owned));
    let sink_flags = ["-sws_flags", "accurate_rnd+bitexact+full_chroma_int", "-pix_fmt", "yuv420p"];
    args.extend(sink_flags.map(str::to_owned));
    args.extend(["-f", "yuv4mpegpipe", "-strict", "-1", "pipe:1"].map(str::to_owned));
    read_frames(ffmpeg, &args, &input, limits, info)
}

/// Runs ffmpeg with `args`, which end in a YUV4MPEG2 stream on its standard output, and collects
/// the frames.
pub(super) fn read_frames(
    ffmpeg: &Ffmpeg,
    args: &[String],
    input: &File,
    limits: &Limits,
    info: VideoInfo,
) -> Result<Clip, MediaError> {
    let mut reader = Yuv4Mpeg::new(*limits);
    let mut sink = |bytes: &[u8]| reader.push(bytes);
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: 0 };
    let ended = run(&ffmpeg.ffmpeg, args, input, Output::Pipe(&mut sink), allowance)?;
    match ended {
        Ended::Success | Ended::Stopped => Ok(reader.finish(info)?),
        Ended::Failure { complaint } => Err(VideoDefect::Undecodable { complaint }.into()),
        Ended::OutOfCpu => Err(VideoDefect::TooExpensive { seconds: limits.cpu.as_secs() }.into()),
    }
}

/// Bytes of one 4:2:0 frame; `None` on overflow or an empty side.
fn frame_bytes(width: usize, height: usize) -> Option<usize> {
    let chroma = width.div_ceil(2).checked_mul(height.div_ceil(2))?;
    let luma = width.checked_mul(height)?;
    luma.checked_add(chroma.checked_mul(2)?).filter(|_| luma > 0)
}

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
                Ok(Clip { width, height, frames: self.frames, info })
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
