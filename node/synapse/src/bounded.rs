//! Bodies of strangers: read to a bound, and no further.

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// It is longer than the bound, whatever its headers say.
    TooLarge,
    /// The connection broke.
    BrokeOff,
}

/// Reads a body of at most `limit` bytes. A longer one is given up at the first byte too many.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, BodyEnd>
where
    B: axum::body::HttpBody,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A body whose announced length is too long is not read at all.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyEnd::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyEnd::TooLarge),
        Err(_) => Err(BodyEnd::BrokeOff),
    }
}
