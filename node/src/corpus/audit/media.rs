//! The steps that look at videos.

use bytes::Bytes;
use leoma_scoring::media::{
    Clip, Limits, MediaError, SceneRules, Segment, VideoDefect, cut_clip, decode, first_frame_png,
    one_shot_segments,
};

use super::super::choice::{choose_clip, is_challenge};
use super::super::cutting::videos_doing;
use super::super::proof::{ClipProof, Skipped, segments};
use super::super::reading::{CorpusVideo, SkipReason};
use super::task::{Step, TaskAudit};

/// Largest mean squared difference of two frames' luma that is still the same cut: 34 dB. Two
/// encoders at the clip's quality are above 40 dB of each other; the frame before or after in a
/// moving picture is below 30 dB.
const SAME_FRAME: u64 = 26;

/// Whether a proof has the shots of the manifest, and what it says of their motion.
fn manifest_shots(
    name: &'static str,
    proof: &ClipProof,
    named: &[[u64; 2]],
    nonrigid: Option<&[u32]>,
) -> Step {
    if named != proof.shots {
        return Step::fail(name, format!("{:?}, the manifest has {named:?}", proof.shots));
    }
    if nonrigid != proof.nonrigid.as_deref() {
        let finding = format!("own motion {:?}, the manifest has {nonrigid:?}", proof.nonrigid);
        return Step::fail(name, finding);
    }
    let passed_over = nonrigid.unwrap_or_default().iter().filter(|own| !is_challenge(**own));
    match passed_over.count() {
        0 => Step::pass(name, format!("the manifest's {}", named.len())),
        few => Step::pass(name, format!("the manifest's {}, {few} passed over", named.len())),
    }
}

impl TaskAudit<'_> {
    fn here(&self) -> String {
        let (major, minor) = self.ffmpeg.version();
        format!("{major}.{minor}")
    }

    /// A finding that another ffmpeg may explain: a failure only where it is the same one.
    fn differs(&self, name: &'static str, proof: &ClipProof, finding: &str) -> Step {
        let here = self.here();
        if here == proof.ffmpeg {
            return Step::fail(name, finding);
        }
        let finding = format!(
            "{finding}; the sampler had ffmpeg {}, here is {here}: check with that one",
            proof.ffmpeg
        );
        Step::unchecked(name, finding)
    }

    /// Runs `work` on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&leoma_scoring::media::Ffmpeg) -> Result<T, MediaError> + Send + 'static,
    ) -> Result<T, Looked> {
        let ffmpeg = self.ffmpeg.clone();
        match tokio::task::spawn_blocking(move || work(&ffmpeg)).await {
            Ok(Ok(value)) => Ok(value),
            // About this machine's speed, which says nothing against the sampler.
            Ok(Err(MediaError::Video(defect @ VideoDefect::TooExpensive { .. }))) => {
                Err(Looked::Fault(defect.to_string()))
            }
            Ok(Err(MediaError::Video(defect))) => Err(Looked::Defect(defect.to_string())),
            Ok(Err(MediaError::Fault(fault))) => Err(Looked::Fault(fault.to_string())),
            Err(error) => Err(Looked::Fault(error.to_string())),
        }
    }

    async fn found_shots(&self, bytes: Bytes, clip_ms: u64) -> Result<Vec<Segment>, Looked> {
        self.blocking(move |ffmpeg| {
            one_shot_segments(ffmpeg, &bytes, &SceneRules::REFERENCE, clip_ms, &Limits::SOURCE)
        })
        .await
    }

    pub(super) async fn shots(
        &self,
        proof: &ClipProof,
        listed: Option<&CorpusVideo>,
        source: Option<Bytes>,
    ) -> Step {
        const NAME: &str = "shots";
        if let Some(listed) = listed
            && let Some(named) = &listed.shots
        {
            return manifest_shots(NAME, proof, named, listed.nonrigid.as_deref());
        }
        if proof.nonrigid.is_some() {
            let finding = "shots were passed over, and the manifest that says which is not known";
            return Step::unchecked(NAME, finding);
        }
        let Some(source) = source else {
            return Step::unchecked(NAME, "the source video is not available");
        };
        match self.found_shots(source, proof.clip_shape().duration_ms()).await {
            Ok(found) if found == proof.segments() => {
                Step::pass(NAME, format!("{} found again", found.len()))
            }
            Ok(found) => {
                let found: Vec<_> = found.iter().map(|shot| [shot.start_ms, shot.end_ms]).collect();
                self.differs(NAME, proof, &format!("{:?}, found here were {found:?}", proof.shots))
            }
            Err(Looked::Defect(defect)) => self.differs(NAME, proof, &defect),
            Err(Looked::Fault(fault)) => Step::unchecked(NAME, fault),
        }
    }

    /// Whether a video that was passed over gives no clip here either.
    pub(super) async fn skipped(
        &self,
        proof: &ClipProof,
        skipped: &Skipped,
        video: &CorpusVideo,
    ) -> Step {
        const NAME: &str = "skipped";
        let (key, reason) = (&skipped.key, &skipped.reason);
        let told = format!("{key} ({reason})");
        // Where the manifest names the shots, no video and no ffmpeg is needed to see that one is
        // long enough and a challenge.
        let (nonrigid, clip_ms) = (video.nonrigid.as_deref(), proof.clip_shape().duration_ms());
        if let (SkipReason::NoShot | SkipReason::NoChallenge, Some(shots)) = (reason, &video.shots)
        {
            match choose_clip(proof.seed.hash, &segments(shots), nonrigid, clip_ms) {
                Some(chosen) => {
                    let finding = format!(
                        "{told}: the manifest has a shot for a clip from {} ms",
                        chosen.start_ms
                    );
                    return Step::fail(NAME, finding);
                }
                None if *reason == SkipReason::NoChallenge => {
                    return Step::pass(NAME, format!("{told}, as the manifest says"));
                }
                None => {}
            }
        }
        let bytes = match video.fetch(self.source).await {
            Err(error) => return Step::unchecked(NAME, format!("{told}: {error}")),
            Ok(Err(now)) => {
                return match (reason, &now) {
                    (SkipReason::Missing, SkipReason::Missing)
                    | (SkipReason::OtherBytes(_), SkipReason::OtherBytes(_)) => {
                        Step::pass(NAME, told)
                    }
                    _ => Step::unchecked(NAME, format!("{told}: here {now}")),
                };
            }
            Ok(Ok(bytes)) => bytes,
        };
        match reason {
            // Only a manifest says it, and it was looked at above.
            SkipReason::NoChallenge => {
                Step::fail(NAME, format!("{told}: the corpus says nothing about motion"))
            }
            SkipReason::Missing | SkipReason::Unreachable(_) | SkipReason::OtherBytes(_) => {
                Step::unchecked(
                    NAME,
                    format!(
                        "{told}: it is there now, as the corpus says; it may not have been then"
                    ),
                )
            }
            SkipReason::NoShot | SkipReason::Unusable(_) => {
                let shots = match &video.shots {
                    Some(shots) => Ok(segments(shots)),
                    None => self.found_shots(bytes.clone(), clip_ms).await,
                };
                let chosen = match shots {
                    Ok(shots) => choose_clip(proof.seed.hash, &shots, nonrigid, clip_ms),
                    Err(Looked::Defect(defect)) => {
                        return Step::pass(NAME, format!("{told}: here {defect}"));
                    }
                    Err(Looked::Fault(fault)) => {
                        return Step::unchecked(NAME, format!("{told}: {fault}"));
                    }
                };
                let Some(chosen) = chosen else {
                    return Step::pass(NAME, format!("{told}: no shot is long enough here either"));
                };
                let shape = proof.clip_shape();
                let cut = self
                    .blocking(move |ffmpeg| {
                        match cut_clip(ffmpeg, &bytes, chosen.start_ms, &shape, &Limits::SOURCE) {
                            Ok(_) => Ok(None),
                            Err(error) => videos_doing(error).map(Some).map_err(MediaError::Fault),
                        }
                    })
                    .await;
                match cut {
                    Ok(None) => self.differs(
                        NAME,
                        proof,
                        &format!("{told}: here it gives a clip from {} ms", chosen.start_ms),
                    ),
                    Ok(Some(found)) => Step::pass(NAME, format!("{told}: here {found}")),
                    Err(Looked::Defect(fault) | Looked::Fault(fault)) => {
                        Step::unchecked(NAME, format!("{told}: {fault}"))
                    }
                }
            }
        }
    }

    pub(super) async fn cut(
        &self,
        proof: &ClipProof,
        source: Option<Bytes>,
        clip: Option<Bytes>,
    ) -> Step {
        const NAME: &str = "cut";
        let (Some(source), Some(clip)) = (source, clip) else {
            return Step::unchecked(NAME, "the source video or the clip is not available");
        };
        let (shape, start_ms) = (proof.clip_shape(), proof.start_ms);
        let compared = self
            .blocking(move |ffmpeg| {
                let cut = cut_clip(ffmpeg, &source, start_ms, &shape, &Limits::SOURCE)?;
                if clip == cut {
                    return Ok(Compared::SameBytes);
                }
                let ours = decode(ffmpeg, &cut, &Limits::ANSWER)?;
                // What is wrong with the published clip is a finding; what is wrong with ours is
                // not.
                match decode(ffmpeg, &clip, &Limits::ANSWER) {
                    Ok(theirs) => Ok(compare(&theirs, &ours)),
                    Err(MediaError::Video(defect)) => Ok(Compared::Broken(defect.to_string())),
                    Err(fault) => Err(fault),
                }
            })
            .await;
        match compared {
            Ok(Compared::SameBytes) => Step::pass(NAME, "cut again here, it is the same file"),
            Ok(Compared::SameFrames { worst }) => Step::pass(
                NAME,
                format!("cut again here, all frames agree (mean squared difference up to {worst})"),
            ),
            Ok(Compared::OtherFrames { frame, difference }) => Step::fail(
                NAME,
                format!(
                    "frame {frame} is not that of the source: mean squared difference {difference}, {SAME_FRAME} allowed"
                ),
            ),
            Ok(Compared::OtherShape { theirs, ours }) => Step::fail(
                NAME,
                format!(
                    "{} frames of {}x{}, not {} of {}x{}",
                    theirs[0], theirs[1], theirs[2], ours[0], ours[1], ours[2]
                ),
            ),
            Ok(Compared::Broken(defect)) => Step::fail(NAME, defect),
            Err(Looked::Defect(defect)) => {
                self.differs(NAME, proof, &format!("here the source gives no clip: {defect}"))
            }
            Err(Looked::Fault(fault)) => Step::unchecked(NAME, fault),
        }
    }

    pub(super) async fn first_frame(&self, proof: &ClipProof, picture: Bytes, clip: Bytes) -> Step {
        const NAME: &str = "first_frame";
        match self.blocking(move |ffmpeg| first_frame_png(ffmpeg, &clip, &Limits::ANSWER)).await {
            Ok(ours) if ours == picture => Step::pass(NAME, "it is the clip's first frame"),
            Ok(_) => {
                self.differs(NAME, proof, "it is not the picture that is made from the clip here")
            }
            Err(Looked::Defect(defect)) => self.differs(NAME, proof, &defect),
            Err(Looked::Fault(fault)) => Step::unchecked(NAME, fault),
        }
    }
}

/// Why a video gave nothing.
enum Looked {
    /// The video is at fault.
    Defect(String),
    /// This machine is at fault.
    Fault(String),
}

/// What two cuts have in common.
#[derive(Debug, PartialEq, Eq)]
enum Compared {
    SameBytes,
    SameFrames { worst: u64 },
    OtherFrames { frame: usize, difference: u64 },
    OtherShape { theirs: [usize; 3], ours: [usize; 3] },
    Broken(String),
}

fn compare(theirs: &Clip, ours: &Clip) -> Compared {
    let shape = |clip: &Clip| [clip.len(), clip.width(), clip.height()];
    if shape(theirs) != shape(ours) {
        return Compared::OtherShape { theirs: shape(theirs), ours: shape(ours) };
    }
    let mut worst = 0;
    for frame in 0..ours.len() {
        let (a, b) = (theirs.luma(frame), ours.luma(frame));
        let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        let difference = squares / (a.len() as u64).max(1);
        if difference > SAME_FRAME {
            return Compared::OtherFrames { frame, difference };
        }
        worst = worst.max(difference);
    }
    Compared::SameFrames { worst }
}
