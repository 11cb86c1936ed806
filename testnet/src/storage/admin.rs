//! Orders faults of a server in its own process, over HTTP on a second port: `POST /faults` with a
//! [`Fault`] adds one, `GET /faults` lists them, `DELETE /faults` removes them all.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

use super::faults::{Fault, Faults};

/// A rule has a few hundred bytes.
const MAX_BODY_BYTES: usize = 4096;

pub(super) fn router(faults: Faults) -> Router {
    Router::new()
        .route("/faults", get(list).post(inject).delete(clear))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(faults)
}

async fn list(State(faults): State<Faults>) -> Json<Vec<Fault>> {
    Json(faults.list())
}

async fn inject(
    State(faults): State<Faults>,
    Json(fault): Json<Fault>,
) -> Result<StatusCode, (StatusCode, String)> {
    tracing::info!(?fault, "fault set");
    let refused = |error: super::FaultError| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    faults.inject(fault).map(|()| StatusCode::NO_CONTENT).map_err(refused)
}

async fn clear(State(faults): State<Faults>) -> StatusCode {
    tracing::info!("cleared all faults");
    faults.clear();
    StatusCode::NO_CONTENT
}
