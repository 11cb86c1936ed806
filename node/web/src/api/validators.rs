//! `/validators/…`. Names of buckets are never shown.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use crate::site::{ApiError, ErrorBody, Now, block_time};
use crate::view::View;

/// One validator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Validator {
    /// Its slot; null when it is not registered.
    pub uid: Option<u16>,
    /// Its hotkey.
    pub hotkey: String,
    /// Its stake in TAO, for information.
    pub stake: f64,
    /// Whether it is on the allowlist.
    pub permissioned: bool,
    /// Whether we are connected to it; in `leoma api`, whether it was seen to work lately.
    pub online: bool,
    /// The newest task that it sampled.
    pub last_sampled_task_id: Option<u64>,
    /// When it sampled that task.
    pub last_sampled_at: Option<String>,
    /// Tasks of the window that it sampled.
    pub tasks_sampled: u32,
    /// Tasks of the window that were its turn.
    pub expected_turns: u32,
    /// The first over the second, 0 where none was expected.
    pub participation_rate: f64,
    /// Its verdicts in the window.
    pub evaluations: u32,
    /// The mean time to a complete answer.
    pub avg_latency_ms: Option<f64>,
}

/// One validator with its verdicts by miner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidatorDetail {
    /// The validator.
    #[serde(flatten)]
    pub validator: Validator,
    /// Its verdicts in the window.
    pub miner_scores: Vec<MinerScore>,
}

/// A validator's verdicts on one miner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MinerScore {
    /// The miner.
    pub miner_hotkey: String,
    /// The share that passed.
    pub pass_rate: f64,
    /// Verdicts.
    pub total_samples: u32,
    /// Those that passed.
    pub total_passed: u32,
}

fn shown(view: &View, validator: &crate::view::Validator) -> Validator {
    let hotkey = &validator.hotkey;
    let own = || view.snapshot.files.iter().filter(|file| file.verdict.producer == *hotkey);
    let newest = own().next_back();
    let tasks_sampled = own().filter(|file| file.in_window).count() as u32;
    let tally = view.validators.get(hotkey);
    let participation_rate = if validator.expected_turns == 0 {
        0.0
    } else {
        f64::from(tasks_sampled) / f64::from(validator.expected_turns)
    };
    Validator {
        uid: validator.uid,
        hotkey: hotkey.to_string(),
        stake: validator.stake,
        permissioned: validator.listed,
        online: validator.online,
        last_sampled_task_id: newest.map(|file| file.verdict.task_id),
        last_sampled_at: newest.and_then(|file| block_time(view, file.verdict.block)),
        tasks_sampled,
        expected_turns: validator.expected_turns,
        participation_rate,
        evaluations: tally.map_or(0, |tally| tally.evaluated),
        avg_latency_ms: tally.and_then(crate::view::Tally::mean_latency),
    }
}

#[utoipa::path(get, path = "/validators", responses((status = 200, body = [Validator])))]
pub(super) async fn list(Now(view): Now) -> Json<Vec<Validator>> {
    // One that is listed and not registered has no slot: it is at its own path alone.
    let registered = view.snapshot.validators.iter().filter(|one| one.uid.is_some());
    Json(registered.map(|one| shown(&view, one)).collect())
}

#[utoipa::path(
    get, path = "/validators/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = ValidatorDetail), (status = 404, body = ErrorBody))
)]
pub(super) async fn one(
    Now(view): Now,
    Path(hotkey): Path<String>,
) -> Result<Json<ValidatorDetail>, ApiError> {
    let validator = view.validator(&hotkey).ok_or_else(|| ApiError::not_found("this validator"))?;
    let mut miner_scores: Vec<MinerScore> = view
        .tallies
        .iter()
        .filter_map(|(miner, tallies)| {
            let tally = tallies.by_validator.get(&*hotkey)?;
            Some(MinerScore {
                miner_hotkey: miner.to_string(),
                pass_rate: tally.rate(),
                total_samples: tally.evaluated,
                total_passed: tally.passed,
            })
        })
        .collect();
    miner_scores.sort_by(|a, b| a.miner_hotkey.cmp(&b.miner_hotkey));
    Ok(Json(ValidatorDetail { validator: shown(&view, validator), miner_scores }))
}
