//! Files that real software writes: each test is named after its case in `docs/field.md`.

use crate::support::{self, Studio};
use leoma_scoring::media::{
    Clip, ClipShape, Limits, MediaError, SceneRules, VideoDefect, cut_clip, decode, judge_copy,
    one_shot_segments, probe,
};
use leoma_scoring::{AspectPolicy, DeviceChoice, Outcome, Scorer};

const TEST_PATTERN: &str = "-f lavfi -i testsrc2=s=832x480:r=16";
const ENCODE: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
const FRAMES: &str = "-frames:v 17";

fn decoded(bytes: &[u8]) -> Result<Clip, VideoDefect> {
    let ffmpeg = support::ffmpeg().unwrap();
    match decode(&ffmpeg, bytes, &Limits::ANSWER) {
        Ok(clip) => Ok(clip),
        Err(MediaError::Video(defect)) => Err(defect),
        Err(fault) => panic!("{fault}"),
    }
}

fn studio() -> Option<Studio> {
    support::ffmpeg().map(|_| Studio::new())
}

/// Offsets of the boxes that lead to the last one of `path`, outermost first, in a file as ffmpeg
/// writes it, with the index at the end.
fn places(bytes: &[u8], path: &[&[u8; 4]]) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut at, mut end) = (0, bytes.len());
    for name in path {
        while at < end && &bytes[at + 4..at + 8] != name.as_slice() {
            at += size(bytes, at);
        }
        assert!(at < end, "no {:?}", String::from_utf8_lossy(*name));
        found.push(at);
        (end, at) = (at + size(bytes, at), at + 8);
    }
    found
}

fn size(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(*bytes[at..].first_chunk::<4>().unwrap()) as usize
}

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

/// Puts `new` in place of the innermost box, and corrects the sizes of the boxes around it.
fn replaced(bytes: &[u8], path: &[&[u8; 4]], new: &[u8]) -> Vec<u8> {
    let places = places(bytes, path);
    let (inner, outer) = places.split_last().unwrap();
    let old = size(bytes, *inner);
    let mut changed = [&bytes[..*inner], new, &bytes[inner + old..]].concat();
    for at in outer {
        let size = (size(bytes, *at) + new.len() - old) as u32;
        changed[*at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    changed
}

/// Gives the first track other durations of frames, in units of the usual one.
fn timed(bytes: &[u8], durations: &[(u32, f64)]) -> Vec<u8> {
    let path = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"];
    let at = *places(bytes, &path).last().unwrap();
    let usual = u32::from_be_bytes(*bytes[at + 20..].first_chunk::<4>().unwrap());
    let mut body = [0_u32, durations.len() as u32].map(u32::to_be_bytes).concat();
    for (count, factor) in durations {
        body.extend_from_slice(&count.to_be_bytes());
        body.extend_from_slice(&((f64::from(usual) * factor) as u32).to_be_bytes());
    }
    replaced(bytes, &path, &boxed(b"stts", &body))
}

/// Puts a box in front of the tracks, as taggers do.
fn in_front_of_the_tracks(bytes: &[u8], new: &[u8]) -> Vec<u8> {
    let path = [b"moov", b"mvhd"];
    let at = *places(bytes, &path).last().unwrap();
    let header = &bytes[at..at + size(bytes, at)];
    replaced(bytes, &path, &[header, new].concat())
}

fn metadata(items: &[u8]) -> Vec<u8> {
    let handler = boxed(b"hdlr", &[&[0; 8][..], b"mdirappl", &[0; 9]].concat());
    let items = boxed(b"ilst", items);
    boxed(b"udta", &boxed(b"meta", &[&[0; 4][..], &handler, &items].concat()))
}

#[test]
fn e1_a_cover_in_front_or_behind_is_passed_over() {
    let Some(studio) = studio() else { return };
    let plain = studio.make("a.mp4", TEST_PATTERN, &format!("{FRAMES} {ENCODE}"));
    let cover = studio.make("c.jpg", "-f lavfi -i color=red:s=600x600", "-frames:v 1");
    let data = boxed(b"data", &[&[0, 0, 0, 13, 0, 0, 0, 0][..], &cover].concat());
    let front = in_front_of_the_tracks(&plain, &metadata(&boxed(b"covr", &data)));
    let map = "-map 0 -map 1 -c copy -disposition:v:1 attached_pic";
    let behind = studio.make("b.mp4", "-i {}/a.mp4 -i {}/c.jpg", map);
    // A cover as a track of its own, which is the first.
    let track = studio.make(
        "t.mov",
        "-i {}/c.jpg -i {}/a.mp4",
        "-map 0 -map 1 -c copy -disposition:v:0 0 -f mov",
    );
    for (name, file) in [("front", front), ("behind", behind), ("track", track)] {
        assert!(decoded(&file) == decoded(&plain), "{name}: {:?}", decoded(&file));
    }
}

#[test]
fn e1_e14_a_source_with_a_cover_and_other_tracks_is_cut() {
    let Some(studio) = studio() else { return };
    let ffmpeg = support::ffmpeg().unwrap();
    std::fs::write(studio.path("s.srt"), "1\n00:00:00,000 --> 00:00:09,000\nhello\n").unwrap();
    studio.make("plain.mp4", TEST_PATTERN, &format!("-t 9 {ENCODE}"));
    studio.make("c.jpg", "-f lavfi -i color=red:s=600x600", "-frames:v 1");
    let streams = "-map 0 -map 1 -map 2 -c copy -c:s mov_text -disposition:v:1 attached_pic";
    let source = studio.make("s.mp4", "-i {}/plain.mp4 -i {}/c.jpg -i {}/s.srt", streams);
    let clip_ms = ClipShape::TASK.duration_ms();
    let shots =
        one_shot_segments(&ffmpeg, &source, &SceneRules::REFERENCE, clip_ms, &Limits::SOURCE);
    assert_eq!(shots.unwrap().len(), 1);
    let clip = cut_clip(&ffmpeg, &source, 2000, &ClipShape::TASK, &Limits::SOURCE).unwrap();
    assert_eq!(decoded(&clip).unwrap().len(), 81);
}

#[test]
fn e3_an_edit_list_that_hides_frames_is_refused_and_one_that_hides_none_is_not() {
    let Some(studio) = studio() else { return };
    let reordered = "-frames:v 81 -c:v libx264 -preset ultrafast -bf 3 -pix_fmt yuv420p";
    let plain = studio.make("a.mp4", TEST_PATTERN, reordered);
    assert_eq!(decoded(&plain).unwrap().len(), 81);
    let cut = studio.make("cut.mp4", "-ss 1.3 -i {}/a.mp4", "-c copy");
    assert_eq!(decoded(&cut), Err(VideoDefect::HiddenFrames));
}

#[test]
fn e3_a_picture_that_players_turn_is_refused_and_a_source_is_turned() {
    let Some(studio) = studio() else { return };
    let ffmpeg = support::ffmpeg().unwrap();
    studio.make("a.mp4", TEST_PATTERN, &format!("-t 6 {ENCODE}"));
    for angle in ["90", "180"] {
        let flags = format!("-c copy -metadata:s:v:0 rotate={angle}");
        let turned = studio.make("r.mp4", "-i {}/a.mp4", &flags);
        assert_eq!(decoded(&turned), Err(VideoDefect::Turned), "{angle}");
    }
    let turned = studio.make("r.mp4", "-i {}/a.mp4", "-c copy -metadata:s:v:0 rotate=180");
    let upright = studio.make("u.mp4", "-i {}/r.mp4", &format!("-t 6 {ENCODE} -crf 1"));
    let cut = |source: &[u8]| {
        decoded(&cut_clip(&ffmpeg, source, 0, &ClipShape::TASK, &Limits::SOURCE).unwrap()).unwrap()
    };
    let difference = mean_difference(&cut(&turned), &cut(&upright));
    assert!(difference < 1.0, "{difference}");
}

/// The mean difference of luma in the middle frame.
fn mean_difference(one: &Clip, other: &Clip) -> f64 {
    let (one, other) = (one.luma(one.len() / 2), other.luma(other.len() / 2));
    let sum: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.len() as f64
}

#[test]
fn e4_mpeg_4_part_2_is_decoded_and_the_judge_gets_h264() {
    let Some(studio) = studio() else { return };
    let ffmpeg = support::ffmpeg().unwrap();
    let video =
        studio.make("x.mp4", TEST_PATTERN, &format!("{FRAMES} -c:v mpeg4 -q:v 3 -tag:v mp4v"));
    assert_eq!(decoded(&video).unwrap().len(), 17);
    let copy = judge_copy(&ffmpeg, &video, &Limits::ANSWER).unwrap();
    let info = probe(&ffmpeg, &copy, &Limits::ANSWER).unwrap();
    assert_eq!((info.codec.as_str(), info.frames), ("h264", Some(17)));
}

/// A scene with saturated colours, as software that starts from RGB codes it.
fn coded(studio: &Studio, name: &str, scale: &str, pixels: &str, tags: &str) -> Vec<u8> {
    let filter = format!("-vf format=rgb24,scale={scale},format={pixels}");
    let coding = "-c:v libx264 -preset veryfast -crf 6";
    studio.make(name, TEST_PATTERN, &format!("{FRAMES} {filter} {coding} {tags}"))
}

fn overall(scorer: &Scorer, source: &[u8], answer: &[u8]) -> f64 {
    let reference = scorer.reference(source).unwrap();
    match scorer.score(&reference, answer).unwrap().outcome {
        Outcome::Usable { grade, .. } => f64::from(grade.overall.tenths()) / 10.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn e6_e7_equal_pictures_score_alike_however_their_colours_are_coded() {
    let Some(studio) = studio() else { return };
    let policy = AspectPolicy { forbid_replay: false, ..AspectPolicy::SUBNET };
    let scorer = Scorer::open(DeviceChoice::Cpu, policy).unwrap();
    let bt709 = "out_color_matrix=bt709:out_range=tv";
    let bt601 = "out_color_matrix=bt601:out_range=tv";
    let full = "out_color_matrix=bt601:out_range=pc";
    let tagged = "-colorspace bt709 -color_range tv";
    let source = coded(&studio, "s.mp4", bt709, "yuv420p", tagged);
    let cases = [
        ("untagged BT.601", coded(&studio, "a.mp4", bt601, "yuv420p", "")),
        ("untagged BT.709", coded(&studio, "b.mp4", bt709, "yuv420p", "")),
        (
            "tagged BT.601",
            coded(&studio, "c.mp4", bt601, "yuv420p", "-colorspace bt470bg -color_range tv"),
        ),
        (
            "full range",
            coded(&studio, "d.mp4", full, "yuvj420p", "-colorspace bt470bg -color_range pc"),
        ),
        ("untagged full range", coded(&studio, "e.mp4", full, "yuvj420p", "")),
        (
            "RGB",
            studio.make(
                "f.mp4",
                TEST_PATTERN,
                &format!("{FRAMES} -vf format=rgb24 -c:v libx264rgb -preset veryfast -crf 6"),
            ),
        ),
    ];
    let plain = overall(&scorer, &source, &coded(&studio, "p.mp4", bt709, "yuv420p", tagged));
    for (name, answer) in cases {
        let got = overall(&scorer, &source, &answer);
        println!("{name}: {got}, plain {plain}");
        assert!((got - plain).abs() <= 0.1 + 1e-9, "{name}: {got}, not {plain}");
    }
}

#[test]
fn e9_a_last_frame_of_any_duration_leaves_81_frames_at_16_per_second() {
    let Some(studio) = studio() else { return };
    let plain = studio.make("a.mp4", TEST_PATTERN, &format!("-frames:v 81 {ENCODE}"));
    for last in [0.0, 1.0, 4.0, 16.0] {
        let clip = decoded(&timed(&plain, &[(80, 1.0), (1, last)])).unwrap();
        let rate = clip.info().fps.map(|rate| (rate.numerator, rate.denominator));
        assert_eq!((clip.len(), rate), (81, Some((16, 1))), "{last}");
        assert_eq!(clip.duration_ms(), 5062, "{last}");
    }
}

#[test]
fn e11_uneven_frame_times_give_each_frame_once() {
    let Some(studio) = studio() else { return };
    let uneven = "-vf setpts='if(lt(N\\,40)\\,N\\,N*1.5-20)/16/TB' -fps_mode vfr";
    let video = studio.make("a.mp4", TEST_PATTERN, &format!("-frames:v 81 {uneven} {ENCODE}"));
    let clip = decoded(&video).unwrap();
    assert_eq!(clip.len(), 81);
    assert!((6200..6400).contains(&clip.duration_ms()), "{}", clip.duration_ms());
    // Two frames close together.
    let plain = studio.make("b.mp4", TEST_PATTERN, &format!("-frames:v 81 {ENCODE} -bf 0"));
    let close = timed(&plain, &[(40, 1.0), (1, 0.4), (1, 1.6), (39, 1.0)]);
    let (plain, close) = (decoded(&plain).unwrap(), decoded(&close).unwrap());
    assert_eq!(close.len(), 81);
    assert!((0..81).all(|index| plain.luma(index) == close.luma(index)));
}

#[test]
fn e12_fragments_are_counted_by_decoding_and_half_a_fragment_is_cut_off() {
    let Some(studio) = studio() else { return };
    for flags in ["+frag_keyframe+empty_moov", "+frag_keyframe+empty_moov+default_base_moof"] {
        let output = format!("-frames:v 81 {ENCODE} -g 20 -movflags {flags}");
        let video = studio.make("a.mp4", TEST_PATTERN, &output);
        let clip = decoded(&video).unwrap();
        assert_eq!((clip.len(), clip.duration_ms()), (81, 5062), "{flags}");
        let last = video.windows(4).rposition(|name| name == b"mdat").unwrap();
        assert_eq!(decoded(&video[..last + 100]), Err(VideoDefect::CutOff), "{flags}");
    }
}

#[test]
fn e14_other_tracks_beside_the_picture_change_nothing() {
    let Some(studio) = studio() else { return };
    let plain = studio.make("a.mp4", TEST_PATTERN, &format!("{FRAMES} {ENCODE}"));
    std::fs::write(studio.path("s.srt"), "1\n00:00:00,000 --> 00:00:01,000\nhello\n").unwrap();
    let sine = "-i {}/a.mp4 -f lavfi -t 1 -i sine";
    for (name, input, output) in [
        ("subtitles.mp4", "-i {}/a.mp4 -i {}/s.srt", "-c copy -c:s mov_text"),
        ("timecode.mp4", "-i {}/a.mp4", "-c copy -timecode 00:00:00:00"),
        ("pcm.mov", sine, "-c:v copy -c:a pcm_s16le -f mov"),
        ("vorbis.mp4", sine, "-c:v copy -c:a libvorbis"),
        ("eac3.mp4", sine, "-c:v copy -c:a eac3"),
        ("mp2.mp4", sine, "-c:v copy -c:a mp2"),
    ] {
        let file = studio.make(name, input, output);
        assert!(decoded(&file) == decoded(&plain), "{name}: {:?}", decoded(&file));
    }
}

#[test]
fn e15_megabytes_of_metadata_and_a_hundred_thousand_keys_cost_nothing() {
    let Some(studio) = studio() else { return };
    let ffmpeg = support::ffmpeg().unwrap();
    let plain = studio.make("a.mp4", TEST_PATTERN, &format!("{FRAMES} {ENCODE}"));
    let item = |name: &[u8; 4], text: &[u8]| {
        boxed(name, &boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0][..], text].concat()))
    };
    let comment = metadata(&item(b"\xa9cmt", &vec![b'x'; 5 << 20]));
    // Keys are given by number: `moov/meta` with `keys` and `ilst`.
    let count = 100_000_u32;
    let key = |index: u32| boxed(b"mdta", format!("leoma.key.{index}").as_bytes());
    let keys = (0..count).flat_map(key);
    let keys = boxed(
        b"keys",
        &[0, count].into_iter().flat_map(u32::to_be_bytes).chain(keys).collect::<Vec<_>>(),
    );
    let values: Vec<u8> =
        (1..=count).flat_map(|index| item(&index.to_be_bytes(), b"value")).collect();
    let handler = boxed(b"hdlr", &[&[0; 8][..], b"mdta", &[0; 13]].concat());
    let many = boxed(b"meta", &[handler, keys, boxed(b"ilst", &values)].concat());
    // With this little processor time for each step, not even a tenth of the keys can be read.
    let limits = Limits { cpu: std::time::Duration::from_secs(3), ..Limits::ANSWER };
    for (name, extra) in [("a comment", comment), ("keys", many)] {
        let file = in_front_of_the_tracks(&plain, &extra);
        assert!(file.len() > plain.len() + (3 << 20));
        let clip = decode(&ffmpeg, &file, &limits).unwrap();
        assert!(clip == decoded(&plain).unwrap(), "{name}");
    }
}

#[test]
fn e16_the_judge_gets_the_picture_only() {
    let Some(studio) = studio() else { return };
    let ffmpeg = support::ffmpeg().unwrap();
    let lie = "INJECTED";
    std::fs::write(studio.path("s.srt"), format!("1\n00:00:00,000 --> 00:00:01,000\n{lie}\n"))
        .unwrap();
    let chapters = format!(
        ";FFMETADATA1\ntitle={lie}\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle={lie}\n"
    );
    std::fs::write(studio.path("m.txt"), chapters).unwrap();
    studio.make("plain.mp4", TEST_PATTERN, &format!("{FRAMES} {ENCODE} -bsf:v h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+{lie}"));
    let inputs = "-i {}/plain.mp4 -i {}/s.srt -i {}/m.txt";
    let output = format!(
        "-map 0 -map 1 -map_metadata 2 -map_chapters 2 -c copy -c:s mov_text -metadata comment={lie} \
         -metadata:s:v:0 handler_name={lie}"
    );
    let video = studio.make("x.mp4", inputs, &output);
    let count =
        |bytes: &[u8]| bytes.windows(lie.len()).filter(|window| *window == lie.as_bytes()).count();
    assert!(count(&video) >= 5, "{}", count(&video));
    let copy = judge_copy(&ffmpeg, &video, &Limits::ANSWER).unwrap();
    assert_eq!(count(&copy), 0);
    let (shown, measured) = (decoded(&copy).unwrap(), decoded(&video).unwrap());
    assert_eq!((shown.len(), shown.duration_ms()), (measured.len(), measured.duration_ms()));
    assert!((0..17).all(|index| shown.luma(index) == measured.luma(index)
        && shown.chroma(index) == measured.chroma(index)));
}

#[test]
fn e18_what_is_no_mp4_is_named() {
    let Some(studio) = studio() else { return };
    let flags = "-frames:v 3";
    let webm = studio.make("a.webm", TEST_PATTERN, "-frames:v 3 -c:v libvpx-vp9");
    let gif = studio.make("a.gif", TEST_PATTERN, flags);
    let png = studio.make("a.png", TEST_PATTERN, "-frames:v 1");
    let base64: Vec<u8> = b"AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAAAI".repeat(9);
    let cases: [(&[u8], &str); 8] = [
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "an HTML page"),
        (b"{\"detail\":\"no instances\"}", "JSON"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "gzip-compressed data"),
        (&webm, "a WebM or Matroska file"),
        (&gif, "a GIF picture"),
        (&png, "a PNG picture"),
        (&base64, "base64 text"),
        (b"not found", "plain text"),
    ];
    for (bytes, kind) in cases {
        assert_eq!(decoded(bytes), Err(VideoDefect::OtherKind { kind }));
    }
    assert_eq!(decoded(b""), Err(VideoDefect::Empty));
    let prores = studio.make("p.mov", TEST_PATTERN, "-frames:v 3 -c:v prores -f mov");
    assert_eq!(decoded(&prores), Err(VideoDefect::Codec { codec: "apcn".into() }));
    // Padding after the last box is ignored.
    let plain = studio.make("a.mp4", TEST_PATTERN, &format!("-frames:v 3 {ENCODE}"));
    for padding in [&[0; 3000][..], b"more text", b"x"] {
        assert!(decoded(&[&plain, padding].concat()) == decoded(&plain));
    }
    let reason = VideoDefect::OtherKind { kind: "JSON" }.to_string();
    assert_eq!(reason, "the file is JSON, not an MP4 video");
}

#[test]
fn e19_one_colour_is_no_pass_and_no_number_that_is_none() {
    let Some(studio) = studio() else { return };
    let scorer = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    let source = studio.make("s.mp4", TEST_PATTERN, &format!("{FRAMES} {ENCODE}"));
    let reference = scorer.reference(&source).unwrap();
    for colour in ["white", "black", "teal"] {
        let input = format!("-f lavfi -i color={colour}:s=832x480:r=16");
        let answer = studio.make("f.mp4", &input, &format!("{FRAMES} {ENCODE}"));
        match scorer.score(&reference, &answer).unwrap().outcome {
            Outcome::Usable { grade, .. } => assert!(!grade.passed, "{colour}"),
            Outcome::Unusable { .. } => {}
        }
    }
}

#[test]
fn reasons_have_no_addresses_and_are_the_same_each_time() {
    let Some(studio) = studio() else { return };
    let mut video = studio.make("a.mp4", TEST_PATTERN, &format!("{FRAMES} {ENCODE}"));
    let data = video.windows(4).position(|name| name == b"mdat").unwrap();
    video[data + 5000..data + 5400].fill(0x5a);
    let reasons: Vec<String> =
        (0..3).map(|_| decoded(&video).map(|_| ()).unwrap_err().to_string()).collect();
    assert_eq!(reasons[0], "the video cannot be decoded: the decoder finds its pictures damaged");
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
}
