//! `/miners/…`.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rows::{Rows, VerdictFilter};
use super::writes::{
    Accepted, Refused, SignedByListed, at_most, board_of_listed, need_hotkey, read_json,
    short_texts, unprocessable,
};
use crate::board::{Report, ReportedMiner};
use crate::site::{ApiError, ErrorBody, Now, Site, block_time, iso};
use crate::validity::{Known, Validities};
use crate::view::{Found, Validity, View};

/// Most miners in a report: the slots of a subnet.
const MAX_REPORTED: usize = 1024;
/// Longest text in a report: names of repositories and chutes, hashes, reasons.
const MAX_TEXT_CHARS: usize = 512;

/// One miner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Miner {
    /// Its slot; null when it has left the subnet.
    pub uid: Option<u16>,
    /// Its hotkey.
    pub hotkey: String,
    /// The model's repository.
    pub model_name: Option<String>,
    /// The committed revision.
    pub model_revision: Option<String>,
    /// SHA-256 over the hashes of the model's weight files.
    pub model_hash: Option<String>,
    /// The chute that serves it.
    pub chute_id: Option<String>,
    /// The name of that chute's endpoint.
    pub chute_slug: Option<String>,
    /// Whether it may be sampled.
    pub is_valid: bool,
    /// Why not.
    pub invalid_reason: Option<String>,
    /// The block of its commitment.
    pub block: Option<u64>,
    /// When it was checked.
    pub last_validated_at: Option<String>,
}

/// Miners, and how many of them are valid.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Miners {
    /// By slot.
    pub miners: Vec<Miner>,
    /// How many.
    pub total: usize,
    /// How many of these may be sampled.
    pub valid_count: usize,
}

/// A miner of the subnet with a verdict in the window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveMiner {
    /// Its slot.
    pub uid: u16,
    /// Its hotkey.
    pub hotkey: String,
    /// The model's repository.
    pub model_name: Option<String>,
    /// The committed revision.
    pub model_revision: Option<String>,
    /// The name of its chute's endpoint.
    pub chute_slug: Option<String>,
    /// The block of its commitment.
    pub block: Option<u64>,
    /// Whether it may be sampled.
    pub active: bool,
    /// Whether it has a place in the newest epoch.
    pub eligible: bool,
    /// That place, 1 for the winner.
    pub rank: Option<u32>,
    /// Its share of all weight in the newest epoch: 1.0 for the winner and 0.0 for the others,
    /// unless a policy record pays several.
    pub weight: f64,
    /// The mean of the validators' pass rates, 0 to 1.
    pub score: f64,
    /// Verdicts that passed.
    pub tasks_passed: u32,
    /// All verdicts.
    pub tasks_evaluated: u32,
    /// Validators with a verdict.
    pub validators_evaluating: usize,
    /// When the newest verdict was signed.
    pub last_evaluated_at: Option<String>,
    /// The mean time to a complete answer.
    pub avg_latency_ms: Option<f64>,
    /// The validators' pass rates, ascending.
    pub validator_scores: Vec<f64>,
}

/// One verdict on a miner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MinerTask {
    /// The task.
    pub task_id: u64,
    /// Whether it passed.
    pub passed: bool,
    /// Who sampled.
    pub validator_hotkey: Option<String>,
    /// 0 to 100.
    pub overall_score: Option<f64>,
    /// Time to the complete answer.
    pub latency_ms: Option<u64>,
    /// When it was signed.
    pub updated: Option<String>,
}

pub(super) fn tenths(score: u16) -> f64 {
    f64::from(score) / 10.0
}

/// The miners as this validator, or else a strict majority of reports, sees them.
async fn miners(site: &Site, view: &View) -> Result<Vec<Miner>, ApiError> {
    let validities = Validities::read(site, view).await?;
    let mut miners: Vec<Miner> = view
        .snapshot
        .miners
        .iter()
        .map(|miner| {
            let Known { validity, at, reported } = validities.of(view, miner);
            let (is_valid, invalid_reason) = match validity {
                Validity::Valid => (true, None),
                Validity::Invalid(reason) => (false, Some(reason)),
                Validity::Unknown => (false, None),
            };
            let reported = |field: fn(&ReportedMiner) -> &Option<String>| {
                reported.and_then(|reported| field(reported).clone())
            };
            Miner {
                uid: miner.uid,
                hotkey: miner.hotkey.to_string(),
                model_name: miner.model_name.clone(),
                model_revision: miner.model_revision.clone(),
                model_hash: miner.model_hash.clone().or(reported(|one| &one.model_hash)),
                chute_id: miner.chute_id.clone(),
                chute_slug: miner.chute_slug.clone().or(reported(|one| &one.chute_slug)),
                is_valid,
                invalid_reason,
                block: miner.commit_block,
                last_validated_at: at.and_then(iso),
            }
        })
        .collect();
    miners.sort_by(|a, b| {
        (a.uid.is_none(), a.uid, &a.hotkey).cmp(&(b.uid.is_none(), b.uid, &b.hotkey))
    });
    Ok(miners)
}

fn counted(miners: Vec<Miner>) -> Json<Miners> {
    let valid_count = miners.iter().filter(|miner| miner.is_valid).count();
    Json(Miners { total: miners.len(), valid_count, miners })
}

#[utoipa::path(get, path = "/miners/list", responses((status = 200, body = Miners)))]
pub(super) async fn list(
    State(site): State<Site>,
    Now(view): Now,
) -> Result<Json<Miners>, ApiError> {
    Ok(counted(miners(&site, &view).await?.into_iter().filter(|one| one.uid.is_some()).collect()))
}

#[utoipa::path(get, path = "/miners/valid", responses((status = 200, body = Miners)))]
pub(super) async fn valid(
    State(site): State<Site>,
    Now(view): Now,
) -> Result<Json<Miners>, ApiError> {
    Ok(counted(miners(&site, &view).await?.into_iter().filter(|one| one.is_valid).collect()))
}

#[utoipa::path(get, path = "/miners/all", responses((status = 200, body = Miners)))]
pub(super) async fn all(
    State(site): State<Site>,
    Now(view): Now,
) -> Result<Json<Miners>, ApiError> {
    Ok(counted(miners(&site, &view).await?))
}

#[utoipa::path(get, path = "/miners/active", responses((status = 200, body = [ActiveMiner])))]
pub(super) async fn active(
    State(site): State<Site>,
    Now(view): Now,
) -> Result<Json<Vec<ActiveMiner>>, ApiError> {
    let validities = Validities::read(&site, &view).await?;
    let mut active: Vec<ActiveMiner> = view
        .tallies
        .iter()
        .filter_map(|(hotkey, tallies)| {
            let miner = view.miner(hotkey)?;
            // One that has left the subnet is no longer active.
            let uid = miner.uid?;
            let Known { validity, reported, .. } = validities.of(&view, miner);
            let reported_slug = reported.and_then(|one| one.chute_slug.clone());
            let rank = view.rank_of(hotkey);
            let mut validator_scores: Vec<f64> =
                tallies.by_validator.values().map(crate::view::Tally::rate).collect();
            validator_scores.sort_by(f64::total_cmp);
            Some(ActiveMiner {
                uid,
                hotkey: hotkey.to_string(),
                model_name: miner.model_name.clone(),
                model_revision: miner.model_revision.clone(),
                chute_slug: miner.chute_slug.clone().or(reported_slug),
                block: miner.commit_block,
                active: validity == Validity::Valid,
                eligible: rank.is_some(),
                rank,
                weight: view.weight_of(hotkey),
                score: tallies.score(),
                tasks_passed: tallies.total.passed,
                tasks_evaluated: tallies.total.evaluated,
                validators_evaluating: tallies.by_validator.len(),
                last_evaluated_at: block_time(&view, tallies.total.newest_block),
                avg_latency_ms: tallies.total.mean_latency(),
                validator_scores,
            })
        })
        .collect();
    active.sort_by(|a, b| {
        let place = |one: &ActiveMiner| one.rank.unwrap_or(u32::MAX);
        (place(a), &a.hotkey).cmp(&(place(b), &b.hotkey))
    });
    Ok(Json(active))
}

async fn one(site: &Site, view: &View, hotkey: Option<&str>) -> Result<Json<Miner>, ApiError> {
    let found = miners(site, view).await?.into_iter().find(|one| Some(&*one.hotkey) == hotkey);
    found.map(Json).ok_or_else(|| ApiError::not_found("this miner"))
}

#[utoipa::path(
    get, path = "/miners/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = Miner), (status = 404, body = ErrorBody))
)]
pub(super) async fn by_hotkey(
    State(site): State<Site>,
    Now(view): Now,
    Path(hotkey): Path<String>,
) -> Result<Json<Miner>, ApiError> {
    one(&site, &view, Some(&hotkey)).await
}

#[utoipa::path(
    get, path = "/miners/info/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = Miner), (status = 404, body = ErrorBody))
)]
pub(super) async fn info(
    State(site): State<Site>,
    Now(view): Now,
    Path(hotkey): Path<String>,
) -> Result<Json<Miner>, ApiError> {
    one(&site, &view, Some(&hotkey)).await
}

#[utoipa::path(
    get, path = "/miners/uid/{uid}", params(("uid" = u16, Path,)),
    responses((status = 200, body = Miner), (status = 404, body = ErrorBody))
)]
pub(super) async fn by_uid(
    State(site): State<Site>,
    Now(view): Now,
    Path(uid): Path<String>,
) -> Result<Json<Miner>, ApiError> {
    let miner = uid.parse().ok().and_then(|uid| view.miner_at(uid));
    one(&site, &view, miner.map(|miner| &*miner.hotkey)).await
}

fn task_row(view: &View, found: Found<'_>) -> MinerTask {
    MinerTask {
        task_id: found.file.verdict.task_id,
        passed: found.entry.passed,
        validator_hotkey: Some(found.file.verdict.producer.to_string()),
        overall_score: found.entry.score.map(tenths),
        latency_ms: (found.entry.latency_ms > 0).then_some(found.entry.latency_ms),
        updated: block_time(view, found.file.verdict.block),
    }
}

pub(super) fn filtered(view: &View, filter: &VerdictFilter, rows: Rows) -> Vec<MinerTask> {
    let found = filter.of(view).skip(rows.offset()).take(rows.limit());
    found.map(|found| task_row(view, found)).collect()
}

#[utoipa::path(
    get, path = "/miners/{hotkey}/tasks", params(("hotkey" = String, Path,), VerdictFilter, Rows),
    responses((status = 200, body = [MinerTask]))
)]
pub(super) async fn tasks(
    Now(view): Now,
    Path(hotkey): Path<String>,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Json<Vec<MinerTask>> {
    let filter = VerdictFilter { miner_hotkey: Some(hotkey), ..filter };
    Json(filtered(&view, &filter, rows))
}

#[utoipa::path(
    get, path = "/miners/tasks", params(VerdictFilter, Rows),
    responses((status = 200, body = [MinerTask]))
)]
pub(super) async fn tasks_of_all(
    Now(view): Now,
    Query(filter): Query<VerdictFilter>,
    Query(rows): Query<Rows>,
) -> Json<Vec<MinerTask>> {
    Json(filtered(&view, &filter, rows))
}

/// A validator's report about every miner.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MinerReport {
    /// Every miner with a commitment.
    miners: Vec<ReportedMiner>,
}

#[utoipa::path(
    post, path = "/miners/report", request_body = MinerReport,
    responses((status = 200, body = Accepted), Refused)
)]
pub(super) async fn report(
    State(site): State<Site>,
    SignedByListed(signed): SignedByListed,
) -> Result<Json<Accepted>, ApiError> {
    let MinerReport { miners } = read_json(&signed.body)?;
    at_most(&miners, MAX_REPORTED, "miners")?;
    let mut named = HashSet::new();
    for (index, miner) in miners.iter().enumerate() {
        let of = format!("miners[{index}].");
        short_texts(&of, &texts(miner))?;
        need_hotkey(&of, &miner.miner_hotkey)?;
        // Each name is a vote on that miner.
        if !named.insert(&miner.miner_hotkey) {
            return Err(unprocessable(format!("miners[{index}] is named twice")));
        }
    }
    let accepted = miners.len();
    let report = Report { validator: signed.caller.to_string(), at: site.now(), miners };
    board_of_listed(&site).await?.put_report(report).await?;
    Ok(Json(Accepted { accepted }))
}

fn texts(miner: &ReportedMiner) -> [(&'static str, Option<&String>, usize); 7] {
    [
        ("miner_hotkey", Some(&miner.miner_hotkey), 48),
        ("model_name", miner.model_name.as_ref(), MAX_TEXT_CHARS),
        ("model_revision", miner.model_revision.as_ref(), MAX_TEXT_CHARS),
        ("model_hash", miner.model_hash.as_ref(), MAX_TEXT_CHARS),
        ("chute_id", miner.chute_id.as_ref(), MAX_TEXT_CHARS),
        ("chute_slug", miner.chute_slug.as_ref(), MAX_TEXT_CHARS),
        ("invalid_reason", miner.invalid_reason.as_ref(), MAX_TEXT_CHARS),
    ]
}
