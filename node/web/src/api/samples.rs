//! `/samples/…`: every verdict, and what validators of other versions post.

use axum::Json;
use axum::extract::{Path, Query, State};
use leoma_protocol::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rows::{Rows, VerdictFilter};
use super::writes::{
    Accepted, Refused, Signed, SignedByListed, at_most, board_of_listed, need_hotkey, read_json,
    short_texts, unprocessable,
};
use crate::board::{PostedSample, Sample, WantedSamples};
use crate::site::{ApiError, ErrorBody, Now, Site, block_time, iso};
use crate::view::{Found, View};

/// Most samples in one post: every miner of a full subnet, and as many again.
const MAX_POSTED: usize = 512;

/// One verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampleRow {
    /// A number of its own: it stays the same.
    pub id: i64,
    /// The task.
    pub task_id: u64,
    /// Who sampled.
    pub validator_hotkey: String,
    /// The miner.
    pub miner_hotkey: String,
    /// What was asked for; null for verdict files, which do not hold it.
    pub prompt: Option<String>,
    /// Whether it passed.
    pub passed: bool,
    /// 0 to 100.
    pub confidence: Option<i64>,
    /// Why, in words.
    pub reasoning: Option<String>,
    /// When it was signed or posted.
    pub evaluated_at: Option<String>,
    /// Time to the complete answer.
    pub latency_ms: Option<i64>,
}

/// A number that follows from what the verdict is about, below 2^53 so that JavaScript keeps it.
fn id_of(found: Found<'_>) -> i64 {
    let verdict = &found.file.verdict;
    let parts: [&[u8]; 3] =
        [&verdict.task_id.to_le_bytes(), verdict.producer.as_bytes(), found.entry.miner.as_bytes()];
    let Digest([a, b, c, d, e, f, ..]) = Digest::of_parts(&parts);
    i64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn row(view: &View, found: Found<'_>) -> SampleRow {
    let (verdict, entry) = (&found.file.verdict, found.entry);
    SampleRow {
        id: id_of(found),
        task_id: verdict.task_id,
        validator_hotkey: verdict.producer.to_string(),
        miner_hotkey: entry.miner.to_string(),
        prompt: None,
        passed: entry.passed,
        confidence: Some(entry.confidence.into()),
        reasoning: Some(entry.reasoning.to_string()),
        evaluated_at: block_time(view, verdict.block),
        latency_ms: (entry.latency_ms > 0).then(|| entry.latency_ms.cast_signed()),
    }
}

fn posted_row(posted: PostedSample) -> SampleRow {
    SampleRow {
        id: posted.id,
        task_id: posted.sample.task_id,
        validator_hotkey: posted.validator,
        miner_hotkey: posted.sample.miner_hotkey,
        prompt: Some(posted.sample.prompt),
        passed: posted.sample.passed,
        confidence: posted.sample.confidence,
        reasoning: posted.sample.reasoning,
        evaluated_at: iso(posted.at),
        latency_ms: posted.sample.latency_ms,
    }
}

/// Tasks and producers of the files that are held, as far as `filter` asks for them.
fn held(view: &View, filter: &VerdictFilter) -> Vec<(u64, String)> {
    let files = view.snapshot.files.iter().map(|file| &file.verdict);
    let asked = files.filter(|verdict| {
        filter.task_id.is_none_or(|wanted| wanted == verdict.task_id)
            && filter.validator_hotkey.as_ref().is_none_or(|wanted| **wanted == *verdict.producer)
    });
    asked.map(|verdict| (verdict.task_id, verdict.producer.to_string())).collect()
}

/// Verdicts of files first: they are signed for their task. Posted samples follow, save those of a
/// validator whose file of the task is held.
async fn answer(
    site: &Site,
    view: &View,
    filter: &VerdictFilter,
    rows: Rows,
) -> Result<Json<Vec<SampleRow>>, ApiError> {
    let (limit, offset) = (rows.limit(), rows.offset());
    let (skipped, mut answer) = {
        let mut found = filter.of(view);
        let skipped = found.by_ref().take(offset).count();
        let answer: Vec<SampleRow> = found.take(limit).map(|found| row(view, found)).collect();
        (skipped, answer)
    };
    if answer.len() < limit
        && let Some(board) = site.board()?
    {
        let wanted = WantedSamples {
            task_id: filter.task_id,
            validator: filter.validator_hotkey.clone(),
            miner: filter.miner_hotkey.clone(),
            without: held(view, filter),
            skip: offset - skipped,
            limit: limit - answer.len(),
        };
        let posted = board.samples(wanted).await?;
        answer.extend(posted.into_iter().map(posted_row));
    }
    Ok(Json(answer))
}

#[utoipa::path(
    get, path = "/samples/list", params(VerdictFilter, Rows),
    responses((status = 200, body = [SampleRow]))
)]
pub(super) async fn list(
    State(site): State<Site>,
    Now(view): Now,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Result<Json<Vec<SampleRow>>, ApiError> {
    answer(&site, &view, &filter, rows).await
}

#[utoipa::path(
    get, path = "/samples/task", params(VerdictFilter, Rows),
    responses((status = 200, body = [SampleRow]))
)]
pub(super) async fn of_any_task(
    State(site): State<Site>,
    Now(view): Now,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Result<Json<Vec<SampleRow>>, ApiError> {
    answer(&site, &view, &filter, rows).await
}

#[utoipa::path(
    get, path = "/samples/task/{task_id}", params(("task_id" = u64, Path,), VerdictFilter, Rows),
    responses((status = 200, body = [SampleRow]), (status = 404, body = ErrorBody))
)]
pub(super) async fn of_task(
    State(site): State<Site>,
    Now(view): Now,
    Path(task_id): Path<String>,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Result<Json<Vec<SampleRow>>, ApiError> {
    let task_id = Some(task_id.parse().map_err(|_| ApiError::not_found("this task"))?);
    answer(&site, &view, &VerdictFilter { task_id, ..filter }, rows).await
}

#[utoipa::path(
    get, path = "/samples/validator/{hotkey}",
    params(("hotkey" = String, Path,), VerdictFilter, Rows),
    responses((status = 200, body = [SampleRow]))
)]
pub(super) async fn of_validator(
    State(site): State<Site>,
    Now(view): Now,
    Path(hotkey): Path<String>,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Result<Json<Vec<SampleRow>>, ApiError> {
    let filter = VerdictFilter { validator_hotkey: Some(hotkey), ..filter };
    answer(&site, &view, &filter, rows).await
}

#[utoipa::path(
    get, path = "/samples/miner/{hotkey}", params(("hotkey" = String, Path,), VerdictFilter, Rows),
    responses((status = 200, body = [SampleRow]))
)]
pub(super) async fn of_miner(
    State(site): State<Site>,
    Now(view): Now,
    Path(hotkey): Path<String>,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Result<Json<Vec<SampleRow>>, ApiError> {
    let filter = VerdictFilter { miner_hotkey: Some(hotkey), ..filter };
    answer(&site, &view, &filter, rows).await
}

/// Samples of one validator.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Samples {
    /// Not checked: the call itself is signed.
    #[serde(default, rename = "signature")]
    _signature: Option<String>,
    /// The samples.
    samples: Vec<Sample>,
}

fn texts(sample: &Sample) -> [(&'static str, Option<&String>, usize); 9] {
    [
        ("miner_hotkey", Some(&sample.miner_hotkey), 48),
        ("prompt", Some(&sample.prompt), 4096),
        ("s3_bucket", Some(&sample.s3_bucket), 255),
        ("s3_prefix", Some(&sample.s3_prefix), 1024),
        ("reasoning", sample.reasoning.as_ref(), 4096),
        ("original_artifacts", sample.original_artifacts.as_ref(), 8192),
        ("generated_artifacts", sample.generated_artifacts.as_ref(), 8192),
        ("presentation_order", sample.presentation_order.as_ref(), 64),
        ("evaluation_signature", sample.evaluation_signature.as_ref(), 256),
    ]
}

async fn keep(site: &Site, signed: Signed) -> Result<Json<Accepted>, ApiError> {
    let Samples { samples, .. } = read_json(&signed.body)?;
    at_most(&samples, MAX_POSTED, "samples")?;
    for (index, sample) in samples.iter().enumerate() {
        let of = format!("samples[{index}].");
        short_texts(&of, &texts(sample))?;
        need_hotkey(&of, &sample.miner_hotkey)?;
        if !sample.confidence.is_none_or(|value| (0..=100).contains(&value)) {
            return Err(unprocessable(format!("samples[{index}].confidence must be 0 to 100")));
        }
    }
    let accepted = samples.len();
    let board = board_of_listed(site).await?;
    board.add_samples(&signed.caller.to_string(), site.now(), samples).await?;
    Ok(Json(Accepted { accepted }))
}

#[utoipa::path(
    post, path = "/samples", request_body = Samples,
    responses((status = 200, body = Accepted), Refused)
)]
pub(super) async fn post(
    State(site): State<Site>,
    SignedByListed(signed): SignedByListed,
) -> Result<Json<Accepted>, ApiError> {
    keep(&site, signed).await
}

#[utoipa::path(
    post, path = "/samples/batch", request_body = Samples,
    responses((status = 200, body = Accepted), Refused)
)]
pub(super) async fn post_batch(
    State(site): State<Site>,
    SignedByListed(signed): SignedByListed,
) -> Result<Json<Accepted>, ApiError> {
    keep(&site, signed).await
}
