//! The steps that need nothing but numbers.

use leoma_protocol::{BlockNumber, Digest, Network, TaskId};
use leoma_scoring::media::ClipShape;
use leoma_storage::{MAX_VIDEO_BYTES, SourceVideo};

use super::super::choice::{ChosenClip, MAX_VIDEOS_TRIED, choose_clip, videos_to_try};
use super::super::proof::{ClipProof, TaskMetadata, is_known_schema};
use super::super::reading::{Corpus, CorpusId};
use super::task::{Known, Step};

/// Sizes that a clip may have, as the settings allow them.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4096;

pub(super) fn metadata(
    bytes: &[u8],
    task_id: TaskId,
    network: Network,
) -> Result<TaskMetadata, Step> {
    const NAME: &str = "metadata";
    // The version first: an older or newer file is not a cheat.
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| Step::fail(NAME, format!("it is not JSON: {error}")))?;
    match &value["clip"]["schema"] {
        serde_json::Value::Null => {
            return Err(Step::unchecked(NAME, "it has no proof: an earlier release wrote it"));
        }
        schema if !is_known_schema(schema) => {
            let finding =
                format!("its proof has schema {schema}, which this release does not read");
            return Err(Step::unchecked(NAME, finding));
        }
        _ => {}
    }
    let metadata: TaskMetadata = serde_json::from_value(value)
        .map_err(|error| Step::fail(NAME, format!("its proof is malformed: {error}")))?;
    if metadata.task_id != task_id {
        return Err(Step::fail(NAME, format!("it is of task {}", metadata.task_id)));
    }
    if metadata.netuid != network.netuid || metadata.genesis != network.genesis {
        let finding = format!("it is of subnet {} on chain {}", metadata.netuid, metadata.genesis);
        return Err(Step::fail(NAME, finding));
    }
    // Every skipped video is looked at again, and the source is read whole.
    if metadata.clip.skipped.len() >= MAX_VIDEOS_TRIED
        || metadata.clip.source_bytes > MAX_VIDEO_BYTES
    {
        return Err(Step::fail(
            NAME,
            "its proof skips more videos, or has a larger one, than a sampler tries",
        ));
    }
    let shape = metadata.clip.clip_shape();
    let sizes_fit = SIDES.contains(&shape.width) && SIDES.contains(&shape.height);
    if shape != (ClipShape { width: shape.width, height: shape.height, ..ClipShape::TASK })
        || !sizes_fit
    {
        return Err(Step::fail(
            NAME,
            format!(
                "its clip has {} frames of {}x{} at {} per second",
                shape.frames, shape.width, shape.height, shape.fps
            ),
        ));
    }
    Ok(metadata)
}

pub(super) fn seed_block(proof: &ClipProof, start: &Known<BlockNumber>) -> Step {
    const NAME: &str = "seed_block";
    let block = proof.seed.block;
    match start {
        Known::Value(start) if *start == block => {
            Step::pass(NAME, format!("block {block} is the task's first"))
        }
        Known::Value(start) => {
            Step::fail(NAME, format!("block {block}, the task's first is {start}"))
        }
        Known::Unknown(reason) => Step::unchecked(NAME, reason),
    }
}

pub(super) fn seed_hash(proof: &ClipProof, hash: &Known<Digest>) -> Step {
    const NAME: &str = "seed_hash";
    let seed = proof.seed.hash;
    match hash {
        Known::Value(hash) if *hash == seed => Step::pass(NAME, format!("0x{seed}")),
        Known::Value(hash) => Step::fail(NAME, format!("0x{seed}, the block's is 0x{hash}")),
        Known::Unknown(reason) => Step::unchecked(NAME, reason),
    }
}

/// A listing is a snapshot: a different one now proves nothing; the same one shows that the choice
/// was made from it.
pub(super) fn listing(
    proof: &ClipProof,
    listing: Vec<SourceVideo>,
    ours: (u64, u64),
) -> (Option<Corpus>, Step) {
    const NAME: &str = "corpus";
    let CorpusId::Listing { sha256, videos, min_bytes, max_bytes } = proof.corpus else {
        return (None, Step::unchecked(NAME, "not chosen from a listing"));
    };
    let now = Corpus::listed(listing, (min_bytes, max_bytes));
    if now.id != proof.corpus {
        let finding = format!(
            "the listing was of {videos} videos ({sha256}), now it is of {}; a corpus manifest would tell which they were",
            now.videos.len()
        );
        return (None, Step::unchecked(NAME, finding));
    }
    let step = if (min_bytes, max_bytes) == ours {
        Step::pass(NAME, format!("the listing of {videos} videos is still the same"))
    } else {
        // The operator sets the limits, and they affect the choice: this proves neither a cheat nor
        // honesty.
        let (least, most) = ours;
        Step::unchecked(
            NAME,
            format!(
                "the listing holds, with videos of {min_bytes} to {max_bytes} bytes where {least} to {most} are usual"
            ),
        )
    };
    (Some(now), step)
}

/// Whether the draw gives these positions, and the corpus has these videos there.
pub(super) fn video(proof: &ClipProof, corpus: Option<&Corpus>) -> Step {
    const NAME: &str = "video";
    let videos = proof.corpus.videos();
    let named: Vec<(usize, &leoma_storage::Key)> = proof
        .skipped
        .iter()
        .map(|skipped| (skipped.index, &skipped.key))
        .chain([(proof.index, &proof.key)])
        .take(MAX_VIDEOS_TRIED + 1)
        .collect();
    let drawn: Vec<usize> = videos_to_try(proof.seed.hash, videos).take(named.len()).collect();
    if !drawn.iter().eq(named.iter().map(|(index, _)| index)) {
        let told: Vec<usize> = named.iter().map(|(index, _)| *index).collect();
        return Step::fail(
            NAME,
            format!("of {videos} videos the seed draws {drawn:?}, the proof has {told:?}"),
        );
    }
    let Some(corpus) = corpus else {
        let finding = format!(
            "position {} of {videos} is the seed's; which video was there is not known",
            proof.index
        );
        return Step::unchecked(NAME, finding);
    };
    for (index, key) in named {
        match corpus.videos.get(index) {
            Some(video) if video.key == *key => {}
            Some(video) => {
                return Step::fail(
                    NAME,
                    format!("position {index} holds {}, not {key}", video.key),
                );
            }
            None => return Step::fail(NAME, format!("the corpus has no position {index}")),
        }
    }
    match corpus.videos.get(proof.index).and_then(|video| video.expected.sha256) {
        Some(sha256) if sha256 != proof.source_sha256 => Step::fail(
            NAME,
            format!(
                "{} is {sha256} in the manifest, in the proof {}",
                proof.key, proof.source_sha256
            ),
        ),
        _ => Step::pass(NAME, format!("{} at position {} of {videos}", proof.key, proof.index)),
    }
}

pub(super) fn segment(proof: &ClipProof) -> Step {
    const NAME: &str = "segment";
    let told = ChosenClip { shot: proof.shot, start_ms: proof.start_ms };
    let clip_ms = proof.clip_shape().duration_ms();
    let nonrigid = proof.nonrigid.as_deref();
    let chosen = choose_clip(proof.seed.hash, &proof.segments(), nonrigid, clip_ms);
    let offset = proof.shots.get(proof.shot).and_then(|shot| proof.start_ms.checked_sub(shot[0]));
    match chosen {
        Some(chosen) if chosen == told && offset == Some(proof.offset_ms) => Step::pass(
            NAME,
            format!("shot {} from {} ms, {} ms into it", told.shot, told.start_ms, proof.offset_ms),
        ),
        Some(chosen) => Step::fail(
            NAME,
            format!(
                "the seed draws shot {} from {} ms, the proof has shot {} from {} ms ({} ms into it)",
                chosen.shot, chosen.start_ms, told.shot, told.start_ms, proof.offset_ms
            ),
        ),
        None => Step::fail(NAME, "no shot of the proof is long enough and a challenge"),
    }
}
