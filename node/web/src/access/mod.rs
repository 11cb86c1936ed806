//! Who may call, and how often.
//!
//! | file | subject |
//! |---|---|
//! | `signature.rs` | signed calls: headers, expiry, replay |
//! | `rate.rs` | requests per address |
//! | `videos.rs` | turns and room for videos, in all, per bucket and per address |
//! | `host.rs` | names under which the operator's listener may be asked |

mod host;
mod rate;
mod signature;
mod videos;

pub(crate) use host::{asked_host, is_trusted_host};
pub(crate) use rate::RateLimit;
#[cfg(test)]
pub(crate) use signature::recorded;
pub(crate) use signature::{Claim, Denied, SignedCalls};
pub(crate) use videos::{Busy, Permits, Videos};
