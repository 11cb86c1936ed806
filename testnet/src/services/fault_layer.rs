//! The layer in front of every stand-in that shows the ordered faults.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;

use super::faults::{FaultBoard, FaultKind, Service};

/// What [`FaultKind::Oversize`] adds: more than any validator takes for a video.
const OVERSIZE_BYTES: usize = 256 << 20;
/// Filler goes out in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
/// Time for the first half of a cut body to leave.
const BREAK_AFTER: Duration = Duration::from_millis(100);
/// Answers of the stand-ins are smaller than this; a body is only collected in order to be cut.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// One listener, as the layer sees it.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) board: FaultBoard,
    pub(super) service: Service,
    pub(super) name: String,
}

/// Marks a request that must get an untrue answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lie;

/// Applies the fault that the board has for this request, or else answers it.
pub(super) async fn show_faults(
    State(listener): State<Listener>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(fault) = listener.board.meet(listener.service, &listener.name, request.uri().path())
    else {
        return next.run(request).await;
    };
    tracing::info!(
        service = %listener.service,
        name = listener.name,
        kind = ?fault.kind,
        "fault shown"
    );
    match fault.kind {
        FaultKind::Http500 => {
            (StatusCode::INTERNAL_SERVER_ERROR, "ordered to fail").into_response()
        }
        FaultKind::Http429 => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "ordered to refuse")
                .into_response()
        }
        FaultKind::Http401 => refuse(StatusCode::UNAUTHORIZED),
        FaultKind::Http402 => refuse(StatusCode::PAYMENT_REQUIRED),
        FaultKind::Http403 => refuse(StatusCode::FORBIDDEN),
        FaultKind::Http404 => refuse(StatusCode::NOT_FOUND),
        FaultKind::Http503 => refuse(StatusCode::SERVICE_UNAVAILABLE),
        FaultKind::Reset => Response::new(Body::from_stream(futures::stream::once(async {
            Err::<Bytes, _>(std::io::Error::other("ordered to reset"))
        }))),
        FaultKind::Stall => std::future::pending().await,
        FaultKind::Slow => {
            tokio::time::sleep(fault.delay()).await;
            next.run(request).await
        }
        FaultKind::Lie => {
            request.extensions_mut().insert(Lie);
            next.run(request).await
        }
        FaultKind::Garbage => (StatusCode::OK, Bytes::from_static(&[0x9c; 4096])).into_response(),
        FaultKind::Truncate => truncate(next.run(request).await).await,
        FaultKind::Endless => append(next.run(request).await, None),
        FaultKind::Oversize => append(next.run(request).await, Some(OVERSIZE_BYTES / PIECE_BYTES)),
    }
}

fn refuse(status: StatusCode) -> Response {
    (status, "ordered to refuse").into_response()
}

/// Announces the whole body, sends half of it, and breaks the connection.
async fn truncate(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MAX_ANSWER_BYTES).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = async {
        // An error at once would break the connection before the half is sent.
        tokio::time::sleep(BREAK_AFTER).await;
        Err(std::io::Error::other("ordered to break off"))
    };
    let pieces = futures::stream::iter([Ok(half)]).chain(futures::stream::once(broken));
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Adds filler to the body: `pieces` of it, or without end.
fn append(response: Response, pieces: Option<usize>) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let filler = futures::stream::repeat(Ok(Bytes::from_static(&[0; PIECE_BYTES])));
    let filler = match pieces {
        Some(pieces) => filler.take(pieces).left_stream(),
        None => filler.right_stream(),
    };
    let filler = filler.map(|piece: Result<Bytes, Infallible>| piece.map_err(axum::Error::new));
    Response::from_parts(parts, Body::from_stream(body.into_data_stream().chain(filler)))
}
