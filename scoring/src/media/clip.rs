//! Decoded frames of one size, when they are shown, and their colours.

use super::colour::{Conversion, Matrix};
use super::info::{Rational, VideoInfo};
use super::times::FrameTimes;
use std::fmt;

/// The tag of canonical colours.
pub(super) const CANONICAL_COLOURS: &str = "bt709";

/// One frame: planar YUV 4:2:0, 8 bits, the luma plane first.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub(super) planes: Vec<u8>,
}

/// Frames of one size in presentation order, at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    width: usize,
    height: usize,
    frames: Vec<Frame>,
    info: VideoInfo,
    /// When frames are shown that are not evenly spaced.
    times: Option<FrameTimes>,
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
    /// From frames of this size, at least one.
    pub(super) fn of(width: usize, height: usize, frames: Vec<Frame>, info: VideoInfo) -> Self {
        Self { width, height, frames, info, times: None }
    }

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
        fits.then_some(Self { width, height, frames, info, times: None })
    }

    /// The same moments with other planes; `None` as in [`Clip::from_planes`], or where the number
    /// of frames is another.
    pub(crate) fn with_planes(
        &self,
        width: usize,
        height: usize,
        planes: Vec<Vec<u8>>,
    ) -> Option<Self> {
        let clip = Self::from_planes(width, height, self.info.clone(), planes)?;
        (clip.len() == self.len()).then(|| Self { times: self.times.clone(), ..clip })
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

    /// Duration in milliseconds by frame count and rate, or by the times of frames that are not
    /// evenly spaced; 0 where there is no rate.
    pub fn duration_ms(&self) -> u64 {
        if let Some(times) = &self.times {
            return times.duration_ms();
        }
        let Some(fps) = self.info.fps else { return 0 };
        self.len() as u64 * 1000 * u64::from(fps.denominator) / u64::from(fps.numerator)
    }

    /// Index of the frame on screen at `numerator / denominator` seconds after the first frame
    /// appears; `None` where there is no rate.
    pub(crate) fn shown_at(&self, numerator: u128, denominator: u128) -> Option<usize> {
        let last = self.len() - 1;
        if let Some(times) = &self.times {
            return Some(times.shown_at(numerator, denominator).min(last));
        }
        let fps = self.info.fps?;
        let index = numerator * u128::from(fps.numerator)
            / (denominator * u128::from(fps.denominator)).max(1);
        Some(usize::try_from(index).unwrap_or(last).min(last))
    }

    /// Sets the times of its frames, which are kept only where frames are not evenly spaced.
    pub(super) fn shown_at_times(self, times: Option<FrameTimes>) -> Self {
        Self { times: times.filter(|times| !times.are_even()), ..self }
    }

    /// Resamples frames that are not evenly spaced to what is on screen at `fps` frames per second.
    /// A sender may put the last frame an hour after the others, so no more than `most` frames are
    /// made.
    pub(super) fn evenly_spaced(self, fps: u32, most: usize) -> Self {
        let Some(times) = &self.times else { return self };
        let count = times.duration_ms().saturating_mul(u64::from(fps)).div_ceil(1000);
        let count = count.min(most as u64).max(1);
        let shown = |index: u64| times.shown_at(2 * u128::from(index) + 1, 2 * u128::from(fps));
        let frames = (0..count).map(|index| self.frames[shown(index)].clone()).collect();
        let fps = Some(Rational { numerator: fps, denominator: 1 });
        Self { frames, info: VideoInfo { fps, ..self.info }, times: None, ..self }
    }

    /// With the colours that an untagged clip most likely means. Software that writes RGB without a
    /// tag codes it by BT.601, as ffmpeg does by default; copies of a clip of ours keep BT.709. Where
    /// the task gives a first frame, its colours tell them apart; else the rule of players decides.
    pub(crate) fn with_likely_colours(self, given: Option<&Self>) -> Self {
        if self.info.colour_space.is_some() {
            return self;
        }
        let bt601 = self.converted(Matrix::BT601, false);
        let is_bt601 = match given {
            Some(given) => bt601.colour_distance(given) < self.colour_distance(given),
            None => Matrix::untagged(self.info.height) == Matrix::BT601,
        };
        let mut likely = if is_bt601 { bt601 } else { self };
        likely.info.colour_space = Some(CANONICAL_COLOURS.to_owned());
        likely
    }

    /// The sum of absolute differences of the colours of both first frames, at one size.
    fn colour_distance(&self, other: &Self) -> u64 {
        let colours = |clip: &Self| clip.frames[0].planes[clip.width * clip.height..].to_vec();
        colours(self)
            .iter()
            .zip(&colours(other))
            .map(|(ours, theirs)| u64::from(ours.abs_diff(*theirs)))
            .sum()
    }

    fn converted(&self, matrix: Matrix, full_range: bool) -> Self {
        let conversion = Conversion::new(matrix, full_range);
        let planes = (0..self.len()).map(|index| {
            let (blue, red) = self.chroma(index);
            conversion.planes(self.width, self.luma(index), blue, red)
        });
        self.with_planes(self.width, self.height, planes.collect()).unwrap_or_else(|| self.clone())
    }

    /// In BT.709 with limited range, by its tag. An untagged clip keeps its matrix.
    pub(super) fn with_canonical_colours(self, full_range: bool) -> Self {
        let tagged = Matrix::tagged(self.info.colour_space.as_deref());
        let matrix = tagged.unwrap_or(Matrix::BT709);
        let mut clip = if matrix == Matrix::BT709 && !full_range {
            self
        } else {
            self.converted(matrix, full_range)
        };
        clip.info.colour_space = tagged.map(|_| CANONICAL_COLOURS.to_owned());
        clip
    }
}

/// Bytes of one 4:2:0 frame; `None` on overflow or an empty side.
pub(super) fn frame_bytes(width: usize, height: usize) -> Option<usize> {
    let chroma = width.div_ceil(2).checked_mul(height.div_ceil(2))?;
    let luma = width.checked_mul(height)?;
    luma.checked_add(chroma.checked_mul(2)?).filter(|_| luma > 0)
}

#[cfg(test)]
mod tests {
    use super::super::{Ffmpeg, Limits, decode};
    use super::*;
    use std::process::Command;

    /// One scene of saturated colours as RGB, coded with `scale`'s options, format and tags.
    fn coded(ffmpeg: &Ffmpeg, scale: &str, pixels: &str, tags: &str) -> Clip {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        let filter = format!("format=rgb24,scale={scale},format={pixels}");
        let codec = if pixels == "gbrp" { "libx264rgb" } else { "libx264" };
        let made = Command::new(&ffmpeg.ffmpeg)
            .args("-nostdin -v error -y -f lavfi -i testsrc2=s=416x240:r=16 -frames:v 5".split(' '))
            .args(["-vf", &filter, "-c:v", codec, "-preset", "veryfast", "-crf", "4"])
            .args(tags.split_whitespace())
            .arg(&path)
            .status();
        assert!(made.unwrap().success(), "{scale} {pixels} {tags}");
        decode(ffmpeg, &std::fs::read(&path).unwrap(), &Limits::ANSWER).unwrap()
    }

    fn mean_difference(one: &Clip, other: &Clip) -> f64 {
        let (one, other) = (&one.frames[4].planes, &other.frames[4].planes);
        assert_eq!(one.len(), other.len());
        let sum: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / one.len() as f64
    }

    /// A clip of tiny frames at these times, in sixteenths of a second.
    fn shown_at_sixteenths(starts: impl IntoIterator<Item = i64>) -> Clip {
        let unit = Rational { numerator: 1, denominator: 16 };
        let stamps: Vec<(i64, u64)> = starts.into_iter().map(|start| (start, 1)).collect();
        let planes: Vec<Vec<u8>> = (0..stamps.len()).map(|frame| vec![frame as u8; 6]).collect();
        let info = VideoInfo {
            width: 2,
            height: 2,
            fps: Some(unit),
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        };
        Clip::from_planes(2, 2, info, planes).unwrap().shown_at_times(FrameTimes::of(stamps, unit))
    }

    #[test]
    fn a_last_frame_after_an_hour_or_after_ages_makes_no_endless_copy() {
        for last in [3600 * 16, i64::MAX] {
            let clip = shown_at_sixteenths((0..80).chain([last]));
            let copy = clip.evenly_spaced(16, Limits::ANSWER.frames);
            assert_eq!(copy.len(), Limits::ANSWER.frames, "{last}");
            assert_eq!((copy.luma(3)[0], copy.luma(161)[0]), (3, 79), "{last}");
        }
        // What a player shows of five frames that become slower.
        let copy = shown_at_sixteenths([0, 1, 2, 6, 10]).evenly_spaced(16, Limits::ANSWER.frames);
        let shown: Vec<u8> = (0..copy.len()).map(|index| copy.luma(index)[0]).collect();
        assert_eq!(shown, [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4]);
    }

    #[test]
    fn e6_e7_equal_pictures_are_equal_however_their_colours_are_coded() {
        let Ok(ffmpeg) = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")) else {
            return;
        };
        let exact = "flags=accurate_rnd+full_chroma_int";
        let bt709 = format!("out_color_matrix=bt709:out_range=tv:{exact}");
        let bt601 = format!("out_color_matrix=bt601:out_range=tv:{exact}");
        let full = format!("out_color_matrix=bt601:out_range=pc:{exact}");
        let source = coded(&ffmpeg, &bt709, "yuv420p", "-colorspace bt709 -color_range tv");
        // How far the matrices differ without a conversion.
        let raw = coded(&ffmpeg, &bt601, "yuv420p", "");
        assert!(mean_difference(&raw, &source) > 4.0, "{}", mean_difference(&raw, &source));
        let cases = [
            ("untagged BT.601", &bt601, "yuv420p", ""),
            ("untagged BT.709", &bt709, "yuv420p", ""),
            ("tagged BT.601", &bt601, "yuv420p", "-colorspace bt470bg -color_range tv"),
            ("full range", &full, "yuvj420p", "-colorspace bt470bg -color_range pc"),
            ("untagged full range", &full, "yuvj420p", ""),
            ("RGB", &bt709, "gbrp", ""),
        ];
        for (name, scale, pixels, tags) in cases {
            let clip = coded(&ffmpeg, scale, pixels, tags).with_likely_colours(Some(&source));
            let difference = mean_difference(&clip, &source);
            println!("{name}: {difference:.2}");
            assert!(difference < 1.0, "{name}: {difference}");
            assert_eq!(clip.info().colour_space.as_deref(), Some("bt709"), "{name}");
        }
        // Without a given frame, a picture of few rows means BT.601.
        assert!(mean_difference(&raw.with_likely_colours(None), &source) < 1.0);
    }
}
