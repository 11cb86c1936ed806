//! What each fuzz target does with its input: reads it as if a miner had sent it, and checks what
//! must hold whatever it was. A panic is a finding.

// Without it there is nothing to fuzz, and nothing to build.
#![cfg(fuzzing)]

#[allow(dead_code, unreachable_pub, unused_imports, reason = "the targets use a part of it")]
#[path = "../../src/media/mod.rs"]
mod media;
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the targets use a part of it")]
#[path = "../../src/motion/mod.rs"]
mod motion;

use std::sync::OnceLock;
use std::time::Duration;

use media::{Clip, Ffmpeg, Limits, MediaError, VideoInfo, decode_if, fuzzing};
use motion::{Bvh, MAX_FRAMES, clip_of_answer, distance, value};

/// Small, so that thousands of files are tried in the time of a few real ones.
const LIMITS: Limits = Limits {
    file_bytes: 1 << 20,
    frames: 8,
    pixels: 320 * 240,
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};

fn ffmpeg() -> &'static Ffmpeg {
    static FFMPEG: OnceLock<Ffmpeg> = OnceLock::new();
    FFMPEG.get_or_init(|| Ffmpeg::find().expect("ffmpeg is installed"))
}

/// A miner's file goes through the real programs: it is refused for a fault of its own, or what
/// comes of it is within the limits and the same the second time.
pub fn container(data: &[u8]) {
    let decoded = || {
        let accept = |claims: &VideoInfo| {
            check_claims(claims);
            Ok(())
        };
        answered(decode_if(ffmpeg(), data, &LIMITS, accept))
    };
    if let Some(clip) = decoded() {
        check_clip(&clip);
        assert_eq!(decoded().as_ref(), Some(&clip), "two decodings of one file");
    }
}

/// What ffprobe and ffmpeg print is read as if they were the miner. The first byte says which of
/// the two speaks and in pieces of what length.
pub fn printed(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first % 2 == 0 {
        if let Ok(claims) = fuzzing::claims(rest, &LIMITS) {
            check_claims(&claims);
        }
        return;
    }
    let frames = fuzzing::frames(rest.chunks(usize::from(first / 2).max(1)), &LIMITS);
    if let Ok(clip) = &frames {
        check_clip(clip);
    }
    let whole = fuzzing::frames(std::iter::once(rest), &LIMITS);
    assert_eq!(frames.ok(), whole.ok(), "the length of the pieces changes what is read");
}

/// A miner's skeleton is refused in one line, or its distances are finite: from itself none.
pub fn skeleton(data: &[u8]) {
    let bvh = match Bvh::parse(data) {
        Ok(bvh) => bvh,
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 1000 && !told.contains(|c: char| c.is_control()), "{told:?}");
            return;
        }
    };
    assert!((1..=MAX_FRAMES).contains(&bvh.frames()));
    let Ok(clip) = clip_of_answer(&bvh) else { return };
    assert_eq!(clip.frames(), bvh.frames());
    assert!(distance(&clip, &clip) == 0.0, "away from itself");
    let far: f64 = clip.frame(0).iter().flatten().map(|number| number.abs()).sum();
    assert!(far.is_finite() && (0.0..=1.0).contains(&value(Some(far), 1.0)));
}

/// Panics where this machine is blamed for a file.
fn answered<T>(result: Result<T, MediaError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(MediaError::Video(defect)) => {
            let told = defect.to_string();
            assert!(told.len() < 2000 && !told.contains(|c: char| c.is_control()), "{told:?}");
            None
        }
        Err(MediaError::Fault(fault)) => panic!("a file is taken for this machine's fault: {fault}"),
    }
}

fn check_claims(claims: &VideoInfo) {
    let pixels = u64::from(claims.width) * u64::from(claims.height);
    assert!((1..=LIMITS.pixels).contains(&pixels), "{claims:?}");
    assert!(claims.fps.is_none_or(|fps| fps.numerator > 0 && fps.denominator > 0), "{claims:?}");
}

fn check_clip(clip: &Clip) {
    assert!((1..=LIMITS.frames).contains(&clip.len()), "{clip:?}");
    // A stream is as large as it says; its own limit has room for a line more.
    let (width, height) = (clip.width(), clip.height());
    assert!((width * height) as u64 <= LIMITS.pixels + 8192, "{clip:?}");
    for frame in 0..clip.len() {
        assert_eq!(clip.luma(frame).len(), width * height);
        assert_eq!(clip.chroma(frame).0.len(), width.div_ceil(2) * height.div_ceil(2));
    }
}
