use leoma_protocol::Nano;
use proptest::prelude::*;

use super::*;

const REFERENCE: &str = include_str!("../../../vectors/motion/ref.bvh");
const BENT: &str = include_str!("../../../vectors/motion/bent.bvh");
const SAME: &str = include_str!("../../../vectors/motion/same.bvh");

fn apart(answer: &str) -> f64 {
    let answer = Bvh::parse(answer.as_bytes()).unwrap();
    let reference = Bvh::parse(REFERENCE.as_bytes()).unwrap();
    distance(&clip_of_answer(&answer).unwrap(), &clip_of_reference(&reference).unwrap())
}

#[test]
fn distances_are_those_of_the_published_formula() {
    // Beyond the reference's last frame nothing is compared.
    assert_eq!(Bvh::parse(SAME.as_bytes()).unwrap().frames(), 5);
    assert!(apart(SAME).abs() < 1e-9, "{}", apart(SAME));
    // By another program, in floats of 64 bits; the upstream library has 58.68354 in 32.
    assert!((apart(BENT) - 58.683_545_885_856_72).abs() < 1e-9, "{}", apart(BENT));
}

#[test]
fn values_are_those_of_the_published_formula() {
    let nano = |distance, seconds| Nano::from_f64(value(Some(distance), seconds)).unwrap().0;
    assert_eq!(nano(0.0, 0.0), 886_737_799);
    assert_eq!(nano(1000.0, 60.0), 704_971_145);
    assert_eq!(nano(12.5, 3.0), 883_591_655);
    assert_eq!(nano(1e9, 180.0), 183_262_201);
    // Time is clamped, and no answer is worth nothing.
    assert_eq!(nano(1e9, 1e6), 183_262_201);
    assert_eq!(nano(0.0, -5.0), 886_737_799);
    assert_eq!(value(None, 1.0), 0.0);
}

/// The smallest file there is: one joint that moves.
const SMALL: &str = "HIERARCHY ROOT a { OFFSET 1 2 3 CHANNELS 2 Xposition Zrotation \
                     End Site { OFFSET 0 1 0 } } MOTION Frames: 2 Frame Time: 0.03 5 90 6 0";

fn fault(file: &str) -> String {
    Bvh::parse(file.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_malformed_part_is_named() {
    Bvh::parse(SMALL.as_bytes()).unwrap();
    for (from, to, named) in [
        ("HIERARCHY ", "", "not HIERARCHY"),
        ("ROOT", "JOINT", "not ROOT"),
        ("ROOT a {", "ROOT {", "no joint's name"),
        ("a {", "a [", "not {"),
        ("OFFSET 1 2 3", "OFFSET 1 2", "`CHANNELS`"),
        ("OFFSET 1", "OFFSET one", "`one`"),
        ("OFFSET 1", "OFFSET NaN", "`NaN`"),
        ("OFFSET 1", "OFFSET 1e10", "`1e10`"),
        ("CHANNELS 2", "CHANNELS 7", "up to 6"),
        ("CHANNELS 2", "CHANNELS +2", "`+2`"),
        ("CHANNELS 2", "CHANNELS 3", "`End`, is no channel"),
        ("Xposition", "Wposition", "`Wposition`, is no channel"),
        ("Xposition", "Zrotation", "twice"),
        ("End Site { OFFSET", "End { OFFSET", "not Site"),
        ("OFFSET 0 1 0 }", "OFFSET 0 1 0 JOINT", "`JOINT`, not }"),
        ("} } MOTION", "} MOTION", "`MOTION`, not JOINT"),
        ("MOTION", "motions", "not MOTION"),
        ("Frames: 2", "Frames: 0", "no frames"),
        ("Frames: 2", "Frames: 20001", "up to 20000"),
        ("Frames: 2", "Frames: -1", "`-1`"),
        ("Time: 0.03", "Time: soon", "`soon`"),
        (" 6 0", " 6 NaN", "`NaN`"),
        (" 6 0", " 6 inf", "`inf`"),
        (" 6 0", " 6 1e999", "`1e999`"),
        (" 6 0", " 6", "ends after"),
        (" 6 0", " 6 0 7", "goes on with `7`"),
    ] {
        let changed = SMALL.replacen(from, to, 1);
        assert_ne!(changed, SMALL, "{from}");
        let found = fault(&changed);
        assert!(found.contains(named), "{from} as {to}: {found}");
    }
    for cut in 0..SMALL.len() - 1 {
        assert!(Bvh::parse(&SMALL.as_bytes()[..cut]).is_err(), "cut after {cut}");
    }
    assert!(Bvh::parse(b"HIERARCHY \xff").unwrap_err().to_string().contains("UTF-8"));
    // What a stranger wrote does not fill a log line, nor move its cursor.
    let long = fault(&format!("\u{1b}[2J{}", "x".repeat(5000)));
    assert!(long.len() < 200 && !long.contains('\u{1b}'), "{long}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_kept() {
    let mut deep = String::from("HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 0 ");
    for _ in 0..MAX_JOINTS {
        deep += "JOINT b { OFFSET 0 0 0 CHANNELS 0 ";
    }
    assert!(fault(&deep).contains("more than 512 joints"));
    let large = vec![b' '; MAX_BVH_BYTES + 1];
    assert!(Bvh::parse(&large).unwrap_err().to_string().contains("bytes"));
    // A hundred bytes that claim many frames of no numbers cost what the frames are.
    let none = "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 0 } MOTION Frames: 20000 Frame Time: 1";
    assert_eq!(Bvh::parse(none.as_bytes()).unwrap().frames(), MAX_FRAMES);
}

#[test]
fn a_missing_or_doubled_joint_is_named() {
    let of =
        |file: &str| clip_of_answer(&Bvh::parse(file.as_bytes()).unwrap()).unwrap_err().to_string();
    assert!(of(&SAME.replace("Left_palm", "left_palm")).contains("no joint Left_palm"));
    assert!(of(&SAME.replace("Right_palm", "Left_palm")).contains("2 joints"));
    assert!(of(REFERENCE).contains("no joint Pelvis"), "a reference has other names");
}

#[test]
fn a_root_that_moves_is_where_its_channels_say() {
    // Twenty-two joints on one spot, but for the root's offset, which its channels replace.
    let joints: String = JOINTS[1..]
        .iter()
        .map(|(name, _)| format!("JOINT {name} {{ OFFSET 0 2 0 CHANNELS 0 }} "))
        .collect();
    let file = format!(
        "HIERARCHY ROOT Pelvis {{ OFFSET 0 90 0 CHANNELS 2 Xposition Zrotation {joints}}} \
         MOTION Frames: 1 Frame Time: 1 5 90"
    );
    let clip = clip_of_answer(&Bvh::parse(file.as_bytes()).unwrap()).unwrap();
    let near = |point: Point, x: f64, y: f64| {
        (point[0] - x).abs() < 1e-12 && (point[1] - y).abs() < 1e-12 && point[2].abs() < 1e-12
    };
    // The one channel of its position replaces one coordinate.
    assert!(near(clip.frame(0)[0], 5.0, 90.0), "{:?}", clip.frame(0)[0]);
    // A quarter turn around z takes y to -x.
    assert!(clip.frame(0)[1..].iter().all(|point| near(*point, 3.0, 90.0)));
    assert_eq!((clip.frames(), clip.frame(1).len()), (1, 0));
}

proptest! {
    #[test]
    fn no_file_breaks_the_reader(words in prop::collection::vec("[A-Za-z{}:.0-9-]{1,12}", 0..60)) {
        let _ = Bvh::parse(words.join(" ").as_bytes());
    }

    #[test]
    fn a_file_with_other_words_in_it_is_read_or_refused(at in 0_usize..4000, word in "[ -~]{0,9}") {
        let at = at.min(SAME.len());
        let changed = format!("{}{word}{}", &SAME[..at], &SAME[at..]);
        if let Ok(bvh) = Bvh::parse(changed.as_bytes())
            && let Ok(clip) = clip_of_answer(&bvh)
        {
            let reference = Bvh::parse(REFERENCE.as_bytes()).unwrap();
            let found = distance(&clip, &clip_of_reference(&reference).unwrap());
            prop_assert!(found.is_finite() && found >= 0.0);
            prop_assert!((0.0..=1.0).contains(&value(Some(found), 1.0)));
        }
    }

    #[test]
    fn nearer_and_sooner_is_never_worth_less(
        near in 0.0_f64..1e5, more in 0.0_f64..1e5, soon in 0.0_f64..400.0, later in 0.0_f64..400.0,
    ) {
        prop_assert!(value(Some(near), soon) >= value(Some(near + more), soon));
        prop_assert!(value(Some(near), soon) >= value(Some(near), soon + later));
        prop_assert!(value(Some(near + more), soon + later) > 0.18);
    }

    #[test]
    fn a_distance_is_the_same_both_ways(offset in -1e6_f64..1e6) {
        let moved = SAME.replace("OFFSET -1 4 -0.5", &format!("OFFSET {offset} 4 -0.5"));
        let bvh = Bvh::parse(moved.as_bytes()).unwrap();
        let moved = clip_of_answer(&bvh).unwrap();
        let still = clip_of_answer(&Bvh::parse(SAME.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(distance(&moved, &still), distance(&still, &moved));
        prop_assert_eq!(distance(&moved, &moved), 0.0);
    }
}
