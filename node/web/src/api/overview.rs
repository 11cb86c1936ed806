//! `/health`, `/overview` and `/weights`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::site::{ApiError, Now, Site, iso};
use crate::validity::Validities;
use crate::view::{HEAD_TOO_OLD_SECONDS, Validity, View};

/// Whether the service works.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy`, `starting` or `degraded`.
    pub status: String,
    /// The program's version.
    pub version: String,
    /// Whether what is posted can be kept and read.
    pub database: bool,
    /// Whether the subnet was read from the chain, and a new block was seen within two minutes.
    pub metagraph_synced: bool,
    /// When the newest block was seen.
    pub last_sync: Option<String>,
}

#[utoipa::path(get, path = "/health", responses((status = 200, body = Health)))]
pub(super) async fn health(State(site): State<Site>) -> Json<Health> {
    let view = match site.subnet() {
        Ok(subnet) => subnet.view().await.map_err(|_| "degraded"),
        Err(_) => Err("starting"),
    };
    let database = match site.board() {
        Ok(Some(board)) => board.blacklist().await.is_ok(),
        Ok(None) => true,
        Err(_) => false,
    };
    let head_seen_at = view.as_ref().ok().map(|view| view.snapshot.head_seen_at);
    // Without the chain the last view is still shown.
    let synced = head_seen_at.is_some_and(|seen| site.now() - seen <= HEAD_TOO_OLD_SECONDS);
    let status = match &view {
        Ok(_) if database && synced => "healthy",
        Ok(_) => "degraded",
        Err(status) => status,
    };
    Json(Health {
        status: status.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database,
        metagraph_synced: synced,
        last_sync: head_seen_at.and_then(iso),
    })
}

/// The subnet in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overview {
    /// Miners with a verdict in the window.
    pub active_miners: usize,
    /// Miners that may be sampled.
    pub valid_miners: usize,
    /// Miners with a slot on the subnet.
    pub total_miners: usize,
    /// Validators on the allowlist or with a permit.
    pub total_validators: usize,
    /// Validators on the allowlist.
    pub permissioned_validators: usize,
    /// Blocks that a task takes; 0 without an allowlist.
    pub rotation_interval: u64,
    /// Whose turn it is.
    pub current_sampler: Option<String>,
    /// The newest task with a verdict file.
    pub latest_task_id: Option<u64>,
    /// The window's first task.
    pub window_start: Option<u64>,
    /// The window's last task.
    pub window_end: Option<u64>,
}

#[utoipa::path(get, path = "/overview", responses((status = 200, body = Overview)))]
pub(super) async fn overview(
    State(site): State<Site>,
    Now(view): Now,
) -> Result<Json<Overview>, ApiError> {
    let snapshot = &view.snapshot;
    let validities = Validities::read(&site, &view).await?;
    let is_valid =
        |miner: &&crate::view::Miner| validities.of(&view, miner).validity == Validity::Valid;
    let turn = snapshot.turn.as_ref();
    Ok(Json(Overview {
        active_miners: view.tallies.len(),
        valid_miners: snapshot.miners.iter().filter(is_valid).count(),
        total_miners: snapshot.miners.iter().filter(|one| one.uid.is_some()).count(),
        total_validators: snapshot.validators.len(),
        permissioned_validators: snapshot.validators.iter().filter(|one| one.listed).count(),
        rotation_interval: turn.map_or(0, |turn| turn.interval),
        current_sampler: turn
            .and_then(|turn| turn.producers.get(turn.step))
            .map(|hotkey| hotkey.to_string()),
        latest_task_id: view.latest_task(),
        window_start: snapshot.window.map(|(first, _)| first),
        window_end: snapshot.window.map(|(_, last)| last),
    }))
}

/// The weights of the newest epoch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Weights {
    /// The slot with all weight; null before the first epoch.
    pub winner_uid: Option<u16>,
    /// The ranked miners that are still on the subnet.
    pub miners: Vec<MinerWeight>,
}

/// One miner's weight.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MinerWeight {
    /// The miner.
    pub miner_hotkey: String,
    /// Its slot.
    pub uid: u16,
    /// The mean of the validators' pass rates.
    pub pass_rate: f64,
    /// Its share of all weight: 1.0 for the winner and 0.0 for the others, unless a policy record
    /// pays several.
    pub weight: f64,
}

#[utoipa::path(get, path = "/weights", responses((status = 200, body = Weights)))]
pub(super) async fn weights(Now(view): Now) -> Json<Weights> {
    Json(Weights {
        winner_uid: view.newest_epoch().and_then(|epoch| epoch.winner_uid),
        miners: miner_weights(&view),
    })
}

fn miner_weights(view: &View) -> Vec<MinerWeight> {
    let ranks = view.newest_epoch().map_or(&[][..], |epoch| &epoch.ranks);
    let weight = |rank: &crate::view::Rank| {
        Some(MinerWeight {
            miner_hotkey: rank.miner.to_string(),
            uid: view.miner(&rank.miner)?.uid?,
            pass_rate: rank.rate,
            weight: view.weight_of(&rank.miner),
        })
    };
    ranks.iter().filter_map(weight).collect()
}
