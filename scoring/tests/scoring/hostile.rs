//! Files that their senders made to break us, or that broke on the way.

use crate::support;
use crate::support::Studio;
use leoma_protocol::verdict::EntryStatus;
use leoma_scoring::media::{
    ClipShape, Limits, MediaError, SceneRules, VideoDefect, choose_segment, cut_clip, decode,
    first_frame_png, one_shot_segments, probe, read_bounded,
};
use leoma_scoring::{AspectPolicy, DeviceChoice, Outcome, Scorer};
use std::io::Read;

const TEST_PATTERN: &str = "-f lavfi -i testsrc2=s=832x480:r=16";
const ENCODE: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

fn defect(bytes: &[u8]) -> VideoDefect {
    let ffmpeg = support::ffmpeg().unwrap();
    match decode(&ffmpeg, bytes, &Limits::ANSWER) {
        Err(MediaError::Video(defect)) => defect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_file_decodes_to_what_ffmpeg_itself_writes() {
    let Some(ffmpeg) = support::ffmpeg() else { return };
    let studio = Studio::new();
    let video = studio.make("a.mp4", TEST_PATTERN, &format!("-frames:v 9 {ENCODE}"));
    let clip = decode(&ffmpeg, &video, &Limits::ANSWER).unwrap();
    let raw = studio.make("a.yuv", "-i {}/a.mp4", "-pix_fmt yuv420p -f rawvideo");
    assert_eq!((clip.width(), clip.height(), clip.len()), (832, 480, 9));
    let frame = raw.len() / 9;
    for index in 0..9 {
        let planes = &raw[index * frame..(index + 1) * frame];
        let (blue, red) = clip.chroma(index);
        assert_eq!([clip.luma(index), blue, red].concat(), planes, "frame {index}");
    }
    let info = probe(&ffmpeg, &video, &Limits::ANSWER).unwrap();
    assert_eq!(
        (info.width, info.height, info.frames, info.codec.as_str()),
        (832, 480, Some(9), "h264")
    );
    assert_eq!(info.fps.map(|fps| (fps.numerator, fps.denominator)), Some((16, 1)));
}

#[test]
fn empty_random_and_truncated_files_are_defects() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    let video = studio.make("a.mp4", TEST_PATTERN, &format!("-frames:v 20 {ENCODE}"));
    assert_eq!(defect(&[]), VideoDefect::Empty);
    let noise: Vec<u8> =
        (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(matches!(defect(&noise), VideoDefect::OtherKind { .. }));
    // The index stands at the end of this file, so truncation loses it.
    for length in [1, 40, video.len() / 2, video.len() - 1000] {
        let defect = defect(&video[..length]);
        let is_named = matches!(defect, VideoDefect::CutOff | VideoDefect::OtherKind { .. });
        assert!(is_named, "{length}: {defect}");
    }
    // Nor is a file with the index first taken for a shorter one.
    let index_first = studio.make("b.mp4", "-i {}/a.mp4", "-c copy -movflags +faststart");
    assert_eq!(defect(&index_first[..index_first.len() / 2]), VideoDefect::CutOff);
}

#[test]
fn a_damaged_stream_is_refused_and_not_painted_over() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    for (name, encode) in [("h264", ENCODE), ("mpeg4", "-c:v mpeg4 -q:v 4")] {
        let video =
            studio.make(&format!("{name}.mp4"), TEST_PATTERN, &format!("-frames:v 20 {encode}"));
        let data = video.windows(4).position(|name| name == b"mdat").unwrap();
        for part in [3, 5, 8] {
            let mut damaged = video.clone();
            let place = data + (video.len() - data) * part / 10;
            damaged[place..place + 40].fill(0xa5);
            assert!(
                matches!(defect(&damaged), VideoDefect::Undecodable { .. }),
                "{name} at {place}"
            );
        }
    }
}

#[test]
fn sound_beside_the_picture_is_ignored_and_sound_alone_and_unlisted_codecs_are_defects() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    let sound = studio.make("sound.mp4", "-f lavfi -i sine=d=1", "-c:a aac");
    assert_eq!(defect(&sound), VideoDefect::NoVideoTrack);
    let graph = "-f lavfi -i testsrc2=s=832x480:r=16 -f lavfi -i sine";
    let both = studio.make("both.mp4", graph, &format!("-frames:v 5 -t 1 {ENCODE} -c:a aac"));
    let ffmpeg = support::ffmpeg().unwrap();
    assert_eq!(decode(&ffmpeg, &both, &Limits::ANSWER).unwrap().len(), 5);
    let still = studio.make("mjpeg.mp4", TEST_PATTERN, "-frames:v 5 -c:v mjpeg -pix_fmt yuvj420p");
    assert!(matches!(defect(&still), VideoDefect::Codec { .. } | VideoDefect::Undecodable { .. }));
}

#[test]
fn a_playlist_named_mp4_opens_no_file() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    studio.make("secret.mp4", TEST_PATTERN, &format!("-frames:v 5 {ENCODE}"));
    let secret = studio.path("secret.mp4");
    for playlist in [
        format!("ffconcat version 1.0\nfile '{}'\n", secret.display()),
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{}\n#EXT-X-ENDLIST\n",
            secret.display()
        ),
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n".to_owned(),
        "<?xml version=\"1.0\"?><MPD><Period/></MPD>".to_owned(),
    ] {
        let defect = defect(playlist.as_bytes());
        assert!(matches!(defect, VideoDefect::OtherKind { .. }), "{defect}");
    }
}

#[test]
fn ten_minutes_and_8k_are_refused_by_name() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    let long =
        studio.make("long.mp4", "-f lavfi -i color=s=832x480:r=16", &format!("-t 600 {ENCODE}"));
    assert!(long.len() < 4 << 20);
    assert_eq!(defect(&long), VideoDefect::TooManyFrames { limit: Limits::ANSWER.frames });
    let huge = studio.make(
        "huge.mp4",
        "-f lavfi -i color=s=7680x4320:r=1",
        &format!("-frames:v 2 {ENCODE}"),
    );
    assert!(matches!(defect(&huge), VideoDefect::TooManyPixels { width: 7680, height: 4320, .. }));
}

#[test]
fn a_frame_count_that_the_index_hides_is_still_limited() {
    let Some(ffmpeg) = support::ffmpeg() else { return };
    let studio = Studio::new();
    // Fragmented files state no count.
    let flags = format!("-frames:v 40 {ENCODE} -movflags frag_keyframe+empty_moov");
    let video = studio.make("fragments.mp4", "-f lavfi -i color=s=320x240:r=16", &flags);
    let limits = Limits { frames: 30, ..Limits::ANSWER };
    match decode(&ffmpeg, &video, &limits) {
        Err(MediaError::Video(defect)) => {
            assert_eq!(defect, VideoDefect::TooManyFrames { limit: 30 })
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(decode(&ffmpeg, &video, &Limits::ANSWER).unwrap().len(), 40);
}

#[test]
fn other_layouts_are_converted() {
    let Some(ffmpeg) = support::ffmpeg() else { return };
    let studio = Studio::new();
    for layout in ["yuv444p", "yuv420p10le"] {
        let flags = format!("-frames:v 3 -c:v libx264 -preset ultrafast -pix_fmt {layout}");
        let video = studio.make("layout.mp4", TEST_PATTERN, &flags);
        let clip = decode(&ffmpeg, &video, &Limits::ANSWER).unwrap();
        assert_eq!(
            (clip.len(), clip.luma(0).len(), clip.chroma(0).0.len()),
            (3, 832 * 480, 416 * 240),
            "{layout}"
        );
    }
}

#[test]
fn an_endless_body_ends_at_the_limit() {
    let limits = Limits { file_bytes: 1000, ..Limits::ANSWER };
    let endless = read_bounded(std::io::repeat(0), &limits).unwrap();
    assert_eq!(endless, Err(VideoDefect::TooLarge { got: 1001, limit: 1000 }));
    let exact = read_bounded(std::io::repeat(7).take(1000), &limits).unwrap();
    assert_eq!(exact.map(|bytes| bytes.len()), Ok(1000));
    assert_eq!(read_bounded(std::io::empty(), &limits).unwrap(), Err(VideoDefect::Empty));
}

#[test]
fn every_defect_becomes_the_status_that_its_sender_reads() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    let scorer = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    let source = studio.make("source.mp4", TEST_PATTERN, &format!("-frames:v 81 {ENCODE}"));
    let reference = scorer.reference(&source).unwrap();
    let sized = |size: &str, frames: u32| {
        studio.make(
            "v.mp4",
            &format!("-f lavfi -i testsrc2=s={size}:r=16"),
            &format!("-frames:v {frames} {ENCODE}"),
        )
    };
    let cases = [
        (Vec::new(), EntryStatus::Undecodable),
        (b"#EXTM3U\n".to_vec(), EntryStatus::Undecodable),
        (source[..source.len() / 2].to_vec(), EntryStatus::Undecodable),
        (sized("640x360", 81), EntryStatus::WrongResolution),
        (sized("480x832", 81), EntryStatus::WrongResolution),
        (sized("3840x2160", 2), EntryStatus::WrongResolution),
        (sized("832x480", 1), EntryStatus::TooShort),
        (sized("832x480", 70), EntryStatus::TooShort),
        (sized("832x480", 400), EntryStatus::TooLong),
    ];
    for (index, (answer, expected)) in cases.into_iter().enumerate() {
        match scorer.score(&reference, &answer).unwrap().outcome {
            Outcome::Unusable { status, reason, .. } => {
                assert_eq!(status, expected, "case {index}: {reason}")
            }
            other => panic!("case {index}: {other:?}"),
        }
    }
}

#[test]
fn a_clip_is_cut_from_one_shot_and_starts_with_its_first_frame() {
    let Some(ffmpeg) = support::ffmpeg() else { return };
    let studio = Studio::new();
    // Eight seconds, a cut, then eight more, at another size and rate than the task's.
    let graph = "-filter_complex [0:v][1:v]concat -t 16";
    let inputs =
        "-f lavfi -t 8 -i testsrc2=s=960x540:r=24 -f lavfi -t 8 -i mandelbrot=s=960x540:r=24";
    let source = studio.make("source.mp4", inputs, &format!("{graph} {ENCODE}"));
    let clip_ms = ClipShape::TASK.duration_ms();
    let rules = SceneRules::REFERENCE;
    let shots = one_shot_segments(&ffmpeg, &source, &rules, clip_ms, &Limits::SOURCE).unwrap();
    assert_eq!(shots.len(), 2, "{shots:?}");
    assert!(
        shots[0].start_ms == 2000 && shots[0].end_ms <= 7850 && shots[1].start_ms >= 8150,
        "{shots:?}"
    );
    let start = choose_segment([3; 32], &shots, ClipShape::TASK.duration_ms()).unwrap();
    let clip = cut_clip(&ffmpeg, &source, start, &ClipShape::TASK, &Limits::SOURCE).unwrap();
    let decoded = decode(&ffmpeg, &clip, &Limits::ANSWER).unwrap();
    assert_eq!((decoded.width(), decoded.height(), decoded.len()), (832, 480, 81));
    assert_eq!(decoded.info().fps.map(|fps| (fps.numerator, fps.denominator)), Some((16, 1)));
    assert_eq!(clip, cut_clip(&ffmpeg, &source, start, &ClipShape::TASK, &Limits::SOURCE).unwrap());
    let picture = first_frame_png(&ffmpeg, &clip, &Limits::ANSWER).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    match cut_clip(&ffmpeg, &source, 14_000, &ClipShape::TASK, &Limits::SOURCE) {
        Err(MediaError::Video(VideoDefect::TooShort { .. })) => {}
        other => panic!("{other:?}"),
    }
}
