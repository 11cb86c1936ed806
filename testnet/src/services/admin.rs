//! The listener for tests and operators: it takes orders for faults, and reports request counts.
//!
//! `POST /admin/faults` adds one, `GET` lists them, `DELETE` clears them; `GET /admin/counts` gives
//! requests and faults per listener.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::faults::{Fault, FaultBoard};

pub(super) fn admin(board: FaultBoard) -> Router {
    Router::new()
        .route("/admin/faults", post(add).get(list).delete(clear))
        .route("/admin/counts", get(counts))
        .with_state(board)
}

async fn add(State(board): State<FaultBoard>, Json(fault): Json<Fault>) -> Response {
    match board.add(fault) {
        Ok(()) => StatusCode::CREATED.into_response(),
        Err(error) => {
            (StatusCode::CONFLICT, Json(json!({"error": error.to_string()}))).into_response()
        }
    }
}

async fn list(State(board): State<FaultBoard>) -> Response {
    Json(board.faults()).into_response()
}

async fn clear(State(board): State<FaultBoard>) -> StatusCode {
    board.clear();
    StatusCode::NO_CONTENT
}

async fn counts(State(board): State<FaultBoard>) -> Response {
    Json(board.counts()).into_response()
}
