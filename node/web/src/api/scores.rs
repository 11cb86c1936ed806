//! `/scores/…`: the window's pass rates.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use crate::site::{ApiError, ErrorBody, Now, block_time};
use crate::view::{MinerTallies, Tally, View};

/// Every miner's score.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scores {
    /// By miner.
    pub scores: BTreeMap<String, Aggregated>,
    /// Validators with a verdict in the window.
    pub total_validators: usize,
    /// When the newest verdict was signed.
    pub updated_at: Option<String>,
}

/// All validators' verdicts on a miner together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Aggregated {
    /// Verdicts.
    pub total_samples: u32,
    /// Those that passed.
    pub total_passed: u32,
    /// The mean of the validators' pass rates.
    pub avg_score: f64,
    /// The share of all verdicts that passed.
    pub pass_rate: f64,
    /// Validators with a verdict.
    pub validator_count: usize,
}

/// The ranking of the newest epoch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ranks {
    /// The winner first; miners without a place come last.
    pub ranks: Vec<RankRow>,
}

/// One miner's place.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RankRow {
    /// The miner.
    pub miner_hotkey: String,
    /// Its slot.
    pub uid: Option<u16>,
    /// Its place, 1 for the winner; null without one.
    pub rank: Option<u32>,
    /// Verdicts that passed.
    pub passed_count: u32,
    /// The mean of the validators' pass rates.
    pub pass_rate: f64,
    /// The block of its commitment.
    pub block: Option<u64>,
    /// Whether it has a place.
    pub eligible: bool,
}

/// The window in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Validators with a verdict.
    pub total_validators: usize,
    /// Miners with a verdict.
    pub total_miners: usize,
    /// Verdicts.
    pub total_samples: u32,
    /// Pairs of a validator and a miner.
    pub total_score_entries: usize,
    /// The share of verdicts that passed.
    pub overall_pass_rate: f64,
}

/// One miner's scores.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MinerScores {
    /// The miner.
    pub miner_hotkey: String,
    /// Each validator's score of it.
    pub by_validator: Vec<ByValidator>,
    /// All validators' scores together.
    pub aggregated: Aggregated,
}

/// One validator's score of a miner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ByValidator {
    /// The validator.
    pub validator_hotkey: String,
    /// Its pass rate of the miner.
    pub score: f64,
    /// Verdicts.
    pub total_samples: u32,
    /// Those that passed.
    pub total_passed: u32,
    /// The share that passed.
    pub pass_rate: f64,
    /// When the newest was signed.
    pub updated_at: Option<String>,
}

/// A validator's score of one miner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ByMiner {
    /// The miner.
    pub miner_hotkey: String,
    /// The validator's pass rate of it.
    pub score: f64,
    /// Verdicts.
    pub total_samples: u32,
    /// Those that passed.
    pub total_passed: u32,
    /// The share that passed.
    pub pass_rate: f64,
    /// When the newest was signed.
    pub updated_at: Option<String>,
}

/// One validator in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidatorScores {
    /// The validator.
    pub validator_hotkey: String,
    /// Miners with a verdict of it.
    pub total_miners: usize,
    /// Verdicts.
    pub total_samples: u32,
    /// Those that passed.
    pub total_passed: u32,
    /// The share that passed.
    pub pass_rate: f64,
    /// When the newest was signed.
    pub updated_at: Option<String>,
}

fn aggregated(tallies: &MinerTallies) -> Aggregated {
    Aggregated {
        total_samples: tallies.total.evaluated,
        total_passed: tallies.total.passed,
        avg_score: tallies.score(),
        pass_rate: tallies.total.rate(),
        validator_count: tallies.by_validator.len(),
    }
}

fn all_together(view: &View) -> Tally {
    view.validators.values().fold(Tally::default(), |sum, tally| sum.plus(tally))
}

#[utoipa::path(get, path = "/scores", responses((status = 200, body = Scores)))]
pub(super) async fn all(Now(view): Now) -> Json<Scores> {
    let scores = view.tallies.iter();
    Json(Scores {
        scores: scores.map(|(miner, one)| (miner.to_string(), aggregated(one))).collect(),
        total_validators: view.validators.len(),
        updated_at: block_time(&view, all_together(&view).newest_block),
    })
}

#[utoipa::path(get, path = "/scores/rank", responses((status = 200, body = Ranks)))]
pub(super) async fn rank(Now(view): Now) -> Json<Ranks> {
    let uid = |miner: &str| view.miner(miner).and_then(|miner| miner.uid);
    let epoch = view.newest_epoch();
    let ranked = epoch.into_iter().flat_map(|epoch| &epoch.ranks).map(|rank| RankRow {
        miner_hotkey: rank.miner.to_string(),
        uid: uid(&rank.miner),
        rank: Some(rank.rank),
        passed_count: rank.passed,
        pass_rate: rank.rate,
        block: rank.block,
        eligible: true,
    });
    let others = epoch.into_iter().flat_map(|epoch| &epoch.ineligible).map(|(miner, _)| {
        let tallies = view.tallies.get(miner);
        RankRow {
            miner_hotkey: miner.to_string(),
            uid: uid(miner),
            rank: None,
            passed_count: tallies.map_or(0, |one| one.total.passed),
            pass_rate: tallies.map_or(0.0, MinerTallies::score),
            block: view.miner(miner).and_then(|miner| miner.commit_block),
            eligible: false,
        }
    });
    Json(Ranks { ranks: ranked.chain(others).collect() })
}

#[utoipa::path(get, path = "/scores/stats", responses((status = 200, body = Stats)))]
pub(super) async fn stats(Now(view): Now) -> Json<Stats> {
    let sum = all_together(&view);
    Json(Stats {
        total_validators: view.validators.len(),
        total_miners: view.tallies.len(),
        total_samples: sum.evaluated,
        total_score_entries: view.tallies.values().map(|one| one.by_validator.len()).sum(),
        overall_pass_rate: sum.rate(),
    })
}

#[utoipa::path(
    get, path = "/scores/miner/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = MinerScores), (status = 404, body = ErrorBody))
)]
pub(super) async fn of_miner(
    Now(view): Now,
    Path(hotkey): Path<String>,
) -> Result<Json<MinerScores>, ApiError> {
    let tallies = view.tallies.get(&*hotkey);
    let tallies = tallies.ok_or_else(|| ApiError::not_found("a verdict on this miner"))?;
    let by_validator = tallies.by_validator.iter().map(|(validator, tally)| ByValidator {
        validator_hotkey: validator.to_string(),
        score: tally.rate(),
        total_samples: tally.evaluated,
        total_passed: tally.passed,
        pass_rate: tally.rate(),
        updated_at: block_time(&view, tally.newest_block),
    });
    Ok(Json(MinerScores {
        by_validator: by_validator.collect(),
        aggregated: aggregated(tallies),
        miner_hotkey: hotkey,
    }))
}

fn of_one_validator<'a>(
    view: &'a View,
    validator: &'a str,
) -> impl Iterator<Item = (&'a crate::view::HotkeyText, &'a Tally)> {
    view.tallies
        .iter()
        .filter_map(move |(miner, one)| Some((miner, one.by_validator.get(validator)?)))
}

#[utoipa::path(
    get, path = "/scores/validator/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = [ByMiner]))
)]
pub(super) async fn of_validator(Now(view): Now, Path(hotkey): Path<String>) -> Json<Vec<ByMiner>> {
    let mut rows: Vec<ByMiner> = of_one_validator(&view, &hotkey)
        .map(|(miner, tally)| ByMiner {
            miner_hotkey: miner.to_string(),
            score: tally.rate(),
            total_samples: tally.evaluated,
            total_passed: tally.passed,
            pass_rate: tally.rate(),
            updated_at: block_time(&view, tally.newest_block),
        })
        .collect();
    rows.sort_by(|a, b| a.miner_hotkey.cmp(&b.miner_hotkey));
    Json(rows)
}

#[utoipa::path(get, path = "/scores/validators", responses((status = 200, body = [ValidatorScores])))]
pub(super) async fn by_validators(Now(view): Now) -> Json<Vec<ValidatorScores>> {
    let mut rows: Vec<ValidatorScores> = view
        .validators
        .iter()
        .map(|(validator, tally)| ValidatorScores {
            validator_hotkey: validator.to_string(),
            total_miners: of_one_validator(&view, validator).count(),
            total_samples: tally.evaluated,
            total_passed: tally.passed,
            pass_rate: tally.rate(),
            updated_at: block_time(&view, tally.newest_block),
        })
        .collect();
    rows.sort_by(|a, b| a.validator_hotkey.cmp(&b.validator_hotkey));
    Json(rows)
}
