//! Honest answers pass and spoilt ones do not, on real MP4s.

use crate::support;
use crate::support::Studio;
use leoma_protocol::Digest;
use leoma_protocol::verdict::EntryStatus;
use leoma_scoring::calibration::continuation::{Course, Scene, SceneKind, free};
use leoma_scoring::{
    AspectPolicy, Aspects, DeviceChoice, Grade, Measures, Outcome, Reference, Scorer, TaskType,
};

struct Bench {
    studio: Studio,
    scorer: Scorer,
    reference: Reference,
}

impl Bench {
    fn new() -> Option<Self> {
        support::ffmpeg()?;
        let studio = Studio::new();
        // Copies of the source stand in for answers here.
        let policy = AspectPolicy { forbid_replay: false, ..AspectPolicy::SUBNET };
        let scorer = Scorer::open(DeviceChoice::Cpu, policy).unwrap();
        let reference = scorer.reference(&studio.scene("source.mp4")).unwrap();
        Some(Self { studio, scorer, reference })
    }

    fn outcome(&self, answer: &[u8]) -> Outcome {
        self.scorer.score(&self.reference, answer).unwrap().outcome
    }

    fn spoilt(&self, filter: &str) -> Outcome {
        self.outcome(&self.studio.copy("answer.mp4", "source.mp4", filter))
    }

    fn grade(&self, filter: &str) -> Grade {
        match self.spoilt(filter) {
            Outcome::Usable { grade, .. } => grade,
            Outcome::Unusable { status, reason, .. } => panic!("{filter}: {status:?}: {reason}"),
        }
    }
}

fn status(outcome: &Outcome) -> Option<EntryStatus> {
    match outcome {
        Outcome::Unusable { status, .. } => Some(status.clone()),
        Outcome::Usable { .. } => None,
    }
}

#[test]
fn honest_copies_pass_with_room_to_spare() {
    let Some(bench) = Bench::new() else { return };
    let encoders = [
        "libx264 -crf 26",
        "libx264 -crf 30 -preset veryfast",
        "libx265 -crf 28 -preset ultrafast -x265-params log-level=error",
    ];
    for encoder in encoders {
        let answer = bench.studio.make(
            "copy.mp4",
            "-i {}/source.mp4",
            &format!("-c:v {encoder} -pix_fmt yuv420p"),
        );
        match bench.outcome(&answer) {
            Outcome::Usable { grade, raw, .. } => {
                assert!(
                    grade.passed && grade.overall.tenths() >= 900,
                    "{encoder}: {grade:?} {raw:?}"
                );
            }
            other => panic!("{encoder}: {other:?}"),
        }
    }
    // One pixel aside, and wider by sixteen pixels, as models that need a multiple of 32 make it.
    for filter in ["crop=831:479:1:1,pad=832:480", "scale=848:480"] {
        let grade = bench.grade(filter);
        assert!(grade.passed, "{filter}: {grade:?}");
    }
}

#[test]
fn blur_noise_flicker_and_drift_do_not_pass() {
    let Some(bench) = Bench::new() else { return };
    for filter in [
        "gblur=4",
        "noise=alls=30:allf=t",
        "eq=brightness='0.08*mod(n,2)':eval=frame",
        "hue=h='n*2'",
    ] {
        let grade = bench.grade(filter);
        assert!(!grade.passed, "{filter}: {grade:?}");
    }
}

#[test]
fn another_course_passes() {
    let Some(bench) = Bench::new() else { return };
    for filter in ["pad=1200:480:0:0,crop=832:480:x='min(n*2,300)':y=0", "rotate='n*0.003'"] {
        let grade = bench.grade(filter);
        assert!(grade.passed, "{filter}: {grade:?}");
    }
}

#[test]
fn held_frames_and_low_frame_rates_do_not_pass() {
    let Some(bench) = Bench::new() else { return };
    assert!(!bench.grade("fps=4,fps=16").passed);
    assert!(!bench.grade("fps=8,fps=16").passed);
    let four_per_second =
        bench.studio.make("four.mp4", "-i {}/source.mp4", "-vf fps=4 -c:v libx264");
    assert_eq!(status(&bench.outcome(&four_per_second)), Some(EntryStatus::TooShort));
    let fast =
        bench.studio.make("fast.mp4", "-i {}/source.mp4", "-vf setpts=PTS/2 -r 32 -c:v libx264");
    assert_eq!(status(&bench.outcome(&fast)), Some(EntryStatus::TooShort));
}

#[test]
fn a_frozen_first_frame_is_called_frozen() {
    let Some(bench) = Bench::new() else { return };
    for filter in [
        "loop=loop=-1:size=1:start=0",
        "loop=loop=-1:size=1:start=0,noise=alls=15:allf=t",
        // A second of motion, then nothing.
        "loop=loop=80:size=1:start=16",
    ] {
        assert_eq!(status(&bench.spoilt(filter)), Some(EntryStatus::Frozen), "{filter}");
    }
}

#[test]
fn other_content_does_not_pass() {
    let Some(bench) = Bench::new() else { return };
    for filter in ["hflip", "reverse", "setpts=2*PTS,fps=16"] {
        let grade = bench.grade(filter);
        assert!(!grade.passed, "{filter}: {grade:?}");
    }
    let encode = "-frames:v 81 -c:v libx264 -pix_fmt yuv420p";
    let unrelated =
        bench.studio.make("unrelated.mp4", "-f lavfi -i testsrc2=s=832x480:r=16", encode);
    match bench.outcome(&unrelated) {
        Outcome::Usable { grade, .. } => {
            assert!(!grade.passed && grade.overall.tenths() < 300, "{grade:?}")
        }
        other => panic!("{other:?}"),
    }
    // The beginning is right and the rest is something else.
    let graph = "-filter_complex [0:v]trim=end_frame=20[a];[1:v]trim=end_frame=61[b];[a][b]concat";
    let late = bench.studio.make(
        "late.mp4",
        "-i {}/source.mp4 -i {}/unrelated.mp4",
        &format!("{graph} {encode}"),
    );
    match bench.outcome(&late) {
        Outcome::Usable { grade, .. } => assert!(!grade.passed, "{grade:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_source_itself_is_no_answer_in_whatever_form() {
    let Some(bench) = Bench::new() else { return };
    let scorer = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    for (filter, encoder) in [
        ("null", "libx264 -crf 18"),
        ("null", "libx264 -crf 32 -preset veryfast"),
        ("gblur=1.5", "libx264"),
        ("scale=640:368,scale=832:480", "libx264"),
        ("setpts=PTS/0.95,fps=16", "libx264"),
        ("eq=brightness=0.03:contrast=1.05", "libx264"),
    ] {
        let output = format!("-vf {filter} -c:v {encoder} -frames:v 81 -pix_fmt yuv420p");
        let answer = bench.studio.make("replay.mp4", "-i {}/source.mp4", &output);
        match scorer.score(&bench.reference, &answer).unwrap().outcome {
            Outcome::Unusable { status, reason, raw } => {
                println!("{filter} {encoder}: {:?}", raw.map(|raw| raw.replay()));
                assert_eq!(status, EntryStatus::Duplicate, "{filter} {encoder}: {reason}");
            }
            Outcome::Usable { grade, raw, .. } => panic!("{filter} {encoder}: {grade:?} {raw:?}"),
        }
    }
    // The same course, with other content where the first frame shows nothing.
    let scene = Scene::new(SceneKind::FastPan, 31, (832, 480));
    let source = scene.render(&Course::SOURCE, 81);
    let reference = scorer.prepared(source, Digest::of(b"rendered")).unwrap();
    let own = free(31).into_iter().find(|one| one.freedom == "uncovered").unwrap();
    let raw = scorer.measure(&reference, own.render(&scene, 81)).unwrap();
    println!("honest: {}", raw.replay());
    match scorer.outcome(raw) {
        Outcome::Usable { grade, .. } => assert!(grade.passed, "{grade:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scores_do_not_depend_on_the_run() {
    let Some(bench) = Bench::new() else { return };
    let answer = bench.studio.copy("answer.mp4", "source.mp4", "gblur=2");
    let first = bench.scorer.score(&bench.reference, &answer).unwrap();
    let second = bench.scorer.score(&bench.reference, &answer).unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn a_video_is_held_to_what_its_miner_was_given() {
    let Some(bench) = Bench::new() else { return };
    let raw = |filter: &str| match bench.spoilt(filter) {
        Outcome::Usable { raw, .. } => raw,
        Outcome::Unusable { status, reason, .. } => panic!("{filter}: {status:?}: {reason}"),
    };
    let passes = |raw: &Measures| {
        [TaskType::Ti2v, TaskType::T2v, TaskType::I2v].map(|task| {
            let policy = AspectPolicy::of(task);
            Aspects::from_measures(raw, &policy).grade(&policy).passed
        })
    };
    let good = raw("null");
    assert_eq!(passes(&good), [true, true, true]);
    // The same scene in another picture, and the same picture with a different course.
    assert_eq!(passes(&raw("vflip")), [false, true, false]);
    assert_eq!(passes(&raw("rotate='0.004*n'")), [true, true, true]);
    // The mirror turns the pan, which the prompt tells. Nothing else is wrong with it as an answer
    // to a prompt alone.
    let mirrored = raw("hflip");
    assert_eq!(passes(&mirrored), [false, false, false]);
    let weaknesses = Aspects::weaknesses(&mirrored, &AspectPolicy::of(TaskType::T2v));
    assert!(
        weaknesses.starts_with("camera_composition by camera_error") && !weaknesses.contains(','),
        "{weaknesses}"
    );
    // An answer that shows nothing of the prompt.
    let unread = Measures { text_similarity: Some(0.1), source_text_similarity: Some(0.3), ..good };
    assert_eq!(passes(&unread), [false, false, true]);
    // A fault that fails an answer to any task.
    let pumping = raw("geq=lum='lum(X,Y)*(1+0.2*mod(N,2))':cb='cb(X,Y)':cr='cr(X,Y)'");
    assert_eq!(passes(&pumping), [false, false, false]);
}
