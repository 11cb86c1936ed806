//! Each reason for which an axon refuses a request, with its HTTP status.

use super::class::BodyFault;
use crate::python_json::Value;

/// Why a request is refused. Texts name no byte of the request: they go into headers and logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404: no such synapse.
    #[error("no such synapse is served here")]
    UnknownSynapse,
    /// 405: a synapse takes `POST` only.
    #[error("a synapse must be sent with POST")]
    Method,
    /// 431: more or longer headers than the SDK ever sends.
    #[error("the headers are too many or too long")]
    HeadersTooLarge,
    /// 400: a header that cannot be used.
    #[error("header {name}: {reason}")]
    Header {
        /// The header.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// 403: the operator does not serve this hotkey.
    #[error("this hotkey is not served: {0}")]
    Forbidden(&'static str),
    /// 401: not signed by the hotkey that it names, for us, now, for the first time.
    #[error("not verified: {0}")]
    NotVerified(&'static str),
    /// 429: this caller has as many requests under way as it may have.
    #[error("too many requests of this hotkey are under way")]
    CallerBusy,
    /// 503: no place became free within the request's own time-out.
    #[error("too many requests are under way")]
    Busy,
    /// 413: a longer body than the synapse may have.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// 408: the body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// 400: the body broke off.
    #[error("the body broke off")]
    BodyBrokeOff,
    /// 400: the body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// 504: there was no answer within the request's own time-out.
    #[error("no answer within the request's timeout")]
    TimedOut,
    /// 500: our own fault.
    #[error("the synapse could not be answered")]
    Failed,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Header { .. } | Self::Body(_) | Self::BodyBrokeOff => 400,
            Self::NotVerified(_) => 401,
            Self::Forbidden(_) => 403,
            Self::UnknownSynapse => 404,
            Self::Method => 405,
            Self::BodyTooSlow => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::CallerBusy => 429,
            Self::HeadersTooLarge => 431,
            Self::Failed => 500,
            Self::Busy => 503,
            Self::TimedOut => 504,
        }
    }

    /// The body that the SDK reads: `{"message": "…"}`.
    #[must_use]
    pub fn body(&self) -> String {
        Value::object([("message", self.to_string().into())]).to_string()
    }
}
