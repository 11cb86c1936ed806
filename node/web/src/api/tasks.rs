//! `/tasks/…`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use leoma_protocol::Hotkey;
use serde::Serialize;
use utoipa::ToSchema;

use super::miners::{MinerTask, filtered, tenths};
use super::rows::{Rows, VerdictFilter};
use crate::site::{ApiError, ErrorBody, Now, Site, block_time};
use crate::source::{Media, MediaObject};
use crate::view::{TaskFile, Verdict, View};

/// One task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Task {
    /// Its number.
    pub task_id: u64,
    /// What the miners were asked for; null where the sampler's bucket cannot be read.
    pub description: Option<String>,
    /// The first frame's path in the sampler's bucket.
    pub first_frame_path: String,
    /// The source clip's path there.
    pub original_clip_path: String,
    /// An address of the first frame that expires soon.
    pub first_frame_url: Option<String>,
    /// An address of the source clip that expires soon.
    pub original_clip_url: Option<String>,
    /// Miners with a verdict.
    pub miner_count: usize,
    /// Who sampled.
    pub sampler_hotkey: Option<String>,
    /// The verdicts.
    pub miners: Vec<TaskMiner>,
}

/// One verdict of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskMiner {
    /// The miner.
    pub miner_hotkey: String,
    /// Whether it passed.
    pub passed: bool,
    /// Time to the complete answer.
    pub latency_ms: Option<u64>,
    /// When it was signed.
    pub updated: Option<String>,
}

/// One miner's answer to a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskOfMiner {
    /// The task's number.
    pub task_id: u64,
    /// What the miners were asked for; null where the sampler's bucket cannot be read.
    pub description: Option<String>,
    /// The first frame's path in the sampler's bucket.
    pub first_frame_path: String,
    /// The source clip's path there.
    pub original_clip_path: String,
    /// An address of the first frame that expires soon.
    pub first_frame_url: Option<String>,
    /// An address of the source clip that expires soon.
    pub original_clip_url: Option<String>,
    /// Miners with a verdict.
    pub miner_count: usize,
    /// Who sampled.
    pub sampler_hotkey: Option<String>,
    /// The verdicts.
    pub miners: Vec<TaskMiner>,
    /// The answer's path in the sampler's bucket.
    pub generated_video_path: String,
    /// An address of the answer that expires soon.
    pub generated_video_url: Option<String>,
    /// Every validator's verdict.
    pub validators: Vec<TaskVerdict>,
    /// The verdict of the file that speaks for the task.
    pub final_passed: bool,
    /// Time to the complete answer.
    pub latency_ms: Option<u64>,
}

/// One validator's verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskVerdict {
    /// The validator.
    pub validator_hotkey: String,
    /// Whether it passed.
    pub passed: bool,
    /// When it was signed.
    pub evaluated_at: Option<String>,
    /// 0 to 100.
    pub confidence: Option<u8>,
    /// Why, in words.
    pub reasoning: Option<String>,
    /// Each aspect, 0 to 100.
    pub aspect_scores: Option<BTreeMap<String, i64>>,
    /// 0 to 100.
    pub overall_score: Option<f64>,
}

/// The window's tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WindowTasks {
    /// In ascending order.
    pub task_ids: Vec<u64>,
}

/// The newest task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatestTask {
    /// Its number; null without a verdict file.
    pub task_id: Option<u64>,
}

#[utoipa::path(
    get, path = "/tasks", params(VerdictFilter, Rows),
    responses((status = 200, body = [MinerTask]))
)]
pub(super) async fn list(
    Now(view): Now,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Json<Vec<MinerTask>> {
    Json(filtered(&view, &filter, rows))
}

#[utoipa::path(get, path = "/tasks/latest", responses((status = 200, body = LatestTask)))]
pub(super) async fn latest(Now(view): Now) -> Json<LatestTask> {
    Json(LatestTask { task_id: view.latest_task() })
}

#[utoipa::path(get, path = "/tasks/window", responses((status = 200, body = WindowTasks)))]
pub(super) async fn window(Now(view): Now) -> Json<WindowTasks> {
    let in_window = view.snapshot.files.iter().filter(|file| file.in_window);
    let mut task_ids: Vec<u64> = in_window.map(|file| file.verdict.task_id).collect();
    task_ids.dedup();
    Json(WindowTasks { task_ids })
}

fn file_of<'a>(view: &'a View, task_id: &str) -> Result<&'a TaskFile, ApiError> {
    let number: Option<u64> = task_id.parse().ok();
    number.and_then(|id| view.file_of(id)).ok_or_else(|| ApiError::not_found("this task"))
}

/// Every verdict of a file.
fn task_miners(view: &View, verdict: &Verdict) -> Vec<TaskMiner> {
    let updated = block_time(view, verdict.block);
    let row = |entry: &crate::view::Entry| TaskMiner {
        miner_hotkey: entry.miner.to_string(),
        passed: entry.passed,
        latency_ms: (entry.latency_ms > 0).then_some(entry.latency_ms),
        updated: updated.clone(),
    };
    verdict.entries.iter().map(row).collect()
}

/// Presigned addresses and the prompt of a task.
struct Shown {
    description: Option<String>,
    first_frame_url: Option<String>,
    original_clip_url: Option<String>,
    generated_video_url: Option<String>,
}

impl Shown {
    async fn of(
        site: &Site,
        view: &View,
        file: &TaskFile,
        miner: Option<&str>,
    ) -> Result<Self, ApiError> {
        let subnet = site.subnet()?;
        let task_id = file.verdict.task_id;
        let Ok(producer) = file.verdict.producer.parse::<Hotkey>() else {
            return Err(ApiError::not_found("the sampler"));
        };
        let record = subnet.record(task_id, producer).await;
        let media = |object| Media { task_id, producer, object };
        let answer = miner.and_then(|miner| miner.parse().ok()).map(MediaObject::Answer);
        let objects = [Some(MediaObject::FirstFrame), Some(MediaObject::Clip), answer];
        let mut addresses = [None, None, None];
        // Other mechanisms publish none of these.
        if view.snapshot.has_clips {
            for (address, object) in addresses.iter_mut().zip(objects) {
                if let Some(object) = object {
                    *address = subnet.presign(media(object)).await;
                }
            }
        }
        let [first_frame_url, original_clip_url, generated_video_url] = addresses;
        Ok(Self {
            description: record.ok().flatten().and_then(|record| record.prompt.clone()),
            first_frame_url,
            original_clip_url,
            generated_video_url,
        })
    }
}

#[utoipa::path(
    get, path = "/tasks/{id}", params(("id" = u64, Path,)),
    responses((status = 200, body = Task), (status = 404, body = ErrorBody))
)]
pub(super) async fn task(
    State(site): State<Site>,
    Now(view): Now,
    Path(id): Path<String>,
) -> Result<Json<Task>, ApiError> {
    let file = file_of(&view, &id)?;
    let verdict = &*file.verdict;
    let shown = Shown::of(&site, &view, file, None).await?;
    Ok(Json(Task {
        task_id: verdict.task_id,
        description: shown.description,
        first_frame_path: format!("{}/first_frame.png", verdict.task_id),
        original_clip_path: format!("{}/original_clip.mp4", verdict.task_id),
        first_frame_url: shown.first_frame_url,
        original_clip_url: shown.original_clip_url,
        miner_count: verdict.entries.len(),
        sampler_hotkey: Some(verdict.producer.to_string()),
        miners: task_miners(&view, verdict),
    }))
}

#[utoipa::path(
    get, path = "/tasks/{id}/miner/{hotkey}",
    params(("id" = u64, Path,), ("hotkey" = String, Path,)),
    responses((status = 200, body = TaskOfMiner), (status = 404, body = ErrorBody))
)]
pub(super) async fn task_of_miner(
    State(site): State<Site>,
    Now(view): Now,
    Path((id, hotkey)): Path<(String, String)>,
) -> Result<Json<TaskOfMiner>, ApiError> {
    let file = file_of(&view, &id)?;
    let speaking = view.entry_of(file, &hotkey);
    let entry = speaking.ok_or_else(|| ApiError::not_found("this miner's answer to the task"))?;
    let shown = Shown::of(&site, &view, file, Some(&hotkey)).await?;
    let task_id = file.verdict.task_id;
    let verdicts = view.files_of(task_id).iter().filter_map(|file| {
        let entry = view.entry_of(file, &hotkey)?;
        let points = |(name, score): (&str, u16)| (name.to_owned(), tenths(score).round() as i64);
        let scores = entry.aspects.map(|scores| scores.named().into_iter().map(points));
        Some(TaskVerdict {
            validator_hotkey: file.verdict.producer.to_string(),
            passed: entry.passed,
            evaluated_at: block_time(&view, file.verdict.block),
            confidence: Some(entry.confidence),
            reasoning: Some(entry.reasoning.to_string()),
            aspect_scores: scores.map(Iterator::collect),
            overall_score: entry.score.map(tenths),
        })
    });
    Ok(Json(TaskOfMiner {
        task_id,
        description: shown.description,
        first_frame_path: format!("{task_id}/first_frame.png"),
        original_clip_path: format!("{task_id}/original_clip.mp4"),
        first_frame_url: shown.first_frame_url,
        original_clip_url: shown.original_clip_url,
        miner_count: file.verdict.entries.len(),
        sampler_hotkey: Some(file.verdict.producer.to_string()),
        miners: task_miners(&view, &file.verdict),
        generated_video_path: format!("{task_id}/generated_videos/{hotkey}.mp4"),
        generated_video_url: shown.generated_video_url,
        validators: verdicts.collect(),
        final_passed: entry.passed,
        latency_ms: (entry.latency_ms > 0).then_some(entry.latency_ms),
    }))
}
