//! The challenges of a local subnet: skeletons that walk, each on a way of its own, and the sound by
//! which a miner knows them.

use std::f64::consts::TAU;

use super::skeleton::{Names, Skeleton, WIDTH};
use crate::seed::Seed;

/// How many challenges there are.
pub const CLIPS: usize = 12;
/// Frames of a clip: a second and a half.
const FRAMES: usize = 45;
/// Where the skeletons walk: on a circle around the resting pose, in millimetres. Two neighbours on
/// it are further apart than the distance beyond which an answer is another motion.
const RADIUS: f64 = 2500.0;
/// How far a skeleton walks, and how far it bends its joints, in millimetres and degrees.
const STRIDE: f64 = 120.0;
const BEND: f64 = 25.0;
/// Samples of a second of sound, and how many there are.
const RATE: u32 = 8000;
const SAMPLES: u32 = 3000;

/// A challenge.
#[derive(Clone, Debug, PartialEq)]
pub struct MotionClip {
    /// What miners are sent.
    pub wav: Vec<u8>,
    skeleton: Skeleton,
    frames: Vec<[f64; WIDTH]>,
}

/// All challenges of a seed.
pub fn clips(seed: &Seed) -> Vec<MotionClip> {
    (0..CLIPS).map(|index| MotionClip::draw(seed, index)).collect()
}

impl MotionClip {
    fn draw(seed: &Seed, index: usize) -> Self {
        let name = format!("dance/{index}");
        let skeleton = Skeleton::draw(seed, &name);
        let place = TAU * index as f64 / CLIPS as f64;
        let of = |what: String| seed.between(&format!("{name}/{what}"), -1.0, 1.0);
        let frame = |frame: usize| {
            let time = frame as f64 / FRAMES as f64;
            let walked = STRIDE * time;
            let mut numbers = [0.0; WIDTH];
            numbers[0] = RADIUS * place.cos() + walked * of("x".into());
            numbers[1] = 900.0 + 30.0 * (TAU * 2.0 * time).sin();
            numbers[2] = RADIUS * place.sin() + walked * of("z".into());
            for (channel, number) in numbers.iter_mut().enumerate().skip(3) {
                let phase = of(format!("phase/{channel}"));
                *number = BEND * of(format!("bend/{channel}")) * (TAU * (time + phase)).sin();
            }
            numbers
        };
        let frames = (0..FRAMES).map(frame).collect();
        Self { wav: wav(150 + 20 * index as u32), skeleton, frames }
    }

    /// What answers are compared with.
    pub fn reference(&self) -> String {
        self.skeleton.file(Names::Reference, &self.frames)
    }

    /// The same motion under the names of an answer, with the root moved by up to `noise`
    /// millimetres in each frame.
    pub(super) fn answer(&self, noise: f64, seed: &Seed, name: &str) -> String {
        let moved = |(number, frame): (usize, &[f64; WIDTH])| {
            let mut frame = *frame;
            for (axis, coordinate) in frame.iter_mut().take(3).enumerate() {
                let of = format!("{name}/noise/{number}/{axis}");
                *coordinate += seed.between(&of, -noise, noise);
            }
            frame
        };
        let frames: Vec<_> = self.frames.iter().enumerate().map(moved).collect();
        self.skeleton.file(Names::Answer, &frames)
    }

    /// The resting pose of its skeleton, which does not move.
    pub(super) fn still(&self) -> String {
        let mut frame = [0.0; WIDTH];
        frame[1] = 900.0;
        self.skeleton.file(Names::Answer, &[frame; FRAMES])
    }
}

/// A tone as a WAV file of one channel with eight bits.
fn wav(hertz: u32) -> Vec<u8> {
    let mut file = Vec::with_capacity(44 + SAMPLES as usize);
    file.extend(b"RIFF");
    file.extend((36 + SAMPLES).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend(1_u16.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(8_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(SAMPLES.to_le_bytes());
    let period = (RATE / hertz).max(2);
    file.extend((0..SAMPLES).map(|sample| if sample % period < period / 2 { 200 } else { 56 }));
    file
}

#[cfg(test)]
mod tests {
    use leoma_scoring::motion::{Bvh, MAX_DISTANCE, clip_of_answer, clip_of_reference, distance};

    use super::*;

    fn apart(answer: &str, reference: &MotionClip) -> f64 {
        let answer = clip_of_answer(&Bvh::parse(answer.as_bytes()).unwrap()).unwrap();
        let reference = Bvh::parse(reference.reference().as_bytes()).unwrap();
        distance(&answer, &clip_of_reference(&reference).unwrap())
    }

    #[test]
    fn every_challenge_is_told_by_its_sound_and_far_from_all_others() {
        let seed = Seed::new("clips");
        let all = clips(&seed);
        assert_eq!(all, clips(&seed));
        for (index, clip) in all.iter().enumerate() {
            assert!(clip.wav.starts_with(b"RIFF") && clip.wav.len() == 44 + SAMPLES as usize);
            assert!(all[..index].iter().all(|other| other.wav != clip.wav));
            assert!(apart(&clip.answer(0.0, &seed, "a"), clip) < 1e-6);
            let near = apart(&clip.answer(0.2, &seed, "a"), clip);
            assert!((0.5..5.0).contains(&near), "{near}");
            let rough = apart(&clip.answer(150.0, &seed, "a"), clip);
            assert!((800.0..3000.0).contains(&rough), "{rough}");
            assert!(apart(&clip.still(), clip) > MAX_DISTANCE);
            for other in all.iter().filter(|other| *other != clip) {
                assert!(apart(&other.answer(0.0, &seed, "a"), clip) > MAX_DISTANCE);
            }
        }
    }
}
