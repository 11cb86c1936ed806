//! The faults that stand-ins are ordered to show, and what they count.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most faults kept at a time; a scenario names a handful.
pub(crate) const MAX_FAULTS: usize = 256;
/// Delay of [`FaultKind::Slow`] where the order names none.
const DEFAULT_DELAY_MS: u64 = 2_000;
/// Longest delay that may be ordered: beyond it, use [`FaultKind::Stall`].
const MAX_DELAY_MS: u64 = 600_000;

/// A stand-in that can be told to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The Chutes API and the gateway before the miners.
    Chutes,
    /// A miner itself.
    Miner,
    /// The model registry.
    HuggingFace,
    /// The language model.
    Gemini,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How a stand-in misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers 500.
    #[serde(rename = "http_500")]
    Http500,
    /// Answers 429 with `Retry-After: 1`.
    #[serde(rename = "http_429")]
    Http429,
    /// Answers 401.
    #[serde(rename = "http_401")]
    Http401,
    /// Answers 402, as where an account has no balance.
    #[serde(rename = "http_402")]
    Http402,
    /// Answers 403.
    #[serde(rename = "http_403")]
    Http403,
    /// Answers 404.
    #[serde(rename = "http_404")]
    Http404,
    /// Answers 503, as where no instance is free.
    #[serde(rename = "http_503")]
    Http503,
    /// Breaks the connection before the first byte of a body.
    Reset,
    /// Takes the request and never answers.
    Stall,
    /// Answers rightly, `delay_ms` late.
    Slow,
    /// Gives a well-formed answer that is untrue; what that is, each service's module says.
    Lie,
    /// Answers 200 with bytes that mean nothing.
    Garbage,
    /// Breaks off in the middle of the announced body.
    Truncate,
    /// Never ends its body.
    Endless,
    /// Adds a quarter of a gigabyte to its body.
    Oversize,
}

/// An order to misbehave, as `POST /admin/faults` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The stand-in that misbehaves.
    pub service: Service,
    /// For one target only: a miner's slug, a chute id, a model's name. Without it: for every
    /// request.
    #[serde(default)]
    pub target: Option<String>,
    /// How it misbehaves.
    pub kind: FaultKind,
    /// How many requests it concerns; without it, all until the faults are cleared.
    #[serde(default)]
    pub count: Option<u32>,
    /// Lateness of [`FaultKind::Slow`], milliseconds.
    #[serde(default)]
    pub delay_ms: Option<u64>,
}

impl Fault {
    /// Lateness of [`FaultKind::Slow`].
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(DEFAULT_DELAY_MS).min(MAX_DELAY_MS))
    }

    fn concerns(&self, service: Service, name: &str, path: &str) -> bool {
        let meant = |target: &String| target == name || path.contains(target.as_str());
        self.service == service && self.count != Some(0) && self.target.as_ref().is_none_or(meant)
    }
}

/// The board is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are already {MAX_FAULTS} faults; clear them with DELETE /admin/faults")]
pub struct TooManyFaults;

/// The standing orders of all stand-ins, and how often each was asked and misbehaved.
#[derive(Clone, Debug, Default)]
pub struct FaultBoard {
    inner: Arc<Mutex<Board>>,
}

#[derive(Debug, Default)]
struct Board {
    faults: Vec<Fault>,
    counts: BTreeMap<String, Counts>,
}

/// What one listener has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Requests that met a fault.
    pub faults: u64,
}

impl FaultBoard {
    /// Adds an order. The newest order that concerns a request is the one it meets.
    ///
    /// # Errors
    /// When the board is full.
    pub fn add(&self, fault: Fault) -> Result<(), TooManyFaults> {
        let mut board = self.lock();
        board.faults.retain(|fault| fault.count != Some(0));
        if board.faults.len() >= MAX_FAULTS {
            return Err(TooManyFaults);
        }
        board.faults.push(fault);
        Ok(())
    }

    /// Ends all orders.
    pub fn clear(&self) {
        self.lock().faults.clear();
    }

    /// The standing orders, oldest first.
    pub fn faults(&self) -> Vec<Fault> {
        self.lock().faults.clone()
    }

    /// Requests and faults per listener, by `service/name`.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.lock().counts.clone()
    }

    /// Counts a request to `path` of the listener `name`, and takes the fault that it meets.
    pub(super) fn meet(&self, service: Service, name: &str, path: &str) -> Option<Fault> {
        let mut board = self.lock();
        let fault =
            board.faults.iter_mut().rev().find(|fault| fault.concerns(service, name, path)).map(
                |fault| {
                    fault.count = fault.count.map(|left| left.saturating_sub(1));
                    fault.clone()
                },
            );
        // Names are those of our own listeners: this map cannot be grown from outside.
        let counts = board.counts.entry(format!("{service}/{name}")).or_default();
        counts.requests += 1;
        counts.faults += u64::from(fault.is_some());
        fault
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(target: Option<&str>, count: Option<u32>) -> Fault {
        Fault {
            service: Service::Chutes,
            target: target.map(str::to_owned),
            kind: FaultKind::Http500,
            count,
            delay_ms: None,
        }
    }

    #[test]
    fn a_fault_meets_its_target_and_runs_out() {
        let board = FaultBoard::default();
        board.add(fault(Some("abc"), Some(1))).unwrap();
        assert_eq!(board.meet(Service::Chutes, "api", "/chutes/other"), None);
        assert_eq!(board.meet(Service::Gemini, "api", "/chutes/abc"), None);
        assert!(board.meet(Service::Chutes, "api", "/chutes/abc").is_some());
        assert_eq!(board.meet(Service::Chutes, "api", "/chutes/abc"), None);
        assert_eq!(board.counts()["chutes/api"], Counts { requests: 3, faults: 1 });
    }

    #[test]
    fn a_fault_without_count_lasts_until_cleared() {
        let board = FaultBoard::default();
        board.add(fault(None, None)).unwrap();
        for _ in 0..3 {
            assert!(board.meet(Service::Chutes, "api", "/").is_some());
        }
        board.clear();
        assert!(board.meet(Service::Chutes, "api", "/").is_none());
    }

    #[test]
    fn the_board_is_bounded() {
        let board = FaultBoard::default();
        for _ in 0..MAX_FAULTS {
            board.add(fault(None, Some(1))).unwrap();
        }
        assert_eq!(board.add(fault(None, None)), Err(TooManyFaults));
    }

    #[test]
    fn orders_are_read_from_json() {
        let order: Fault =
            serde_json::from_str(r#"{"service":"hugging_face","kind":"http_429","count":2}"#)
                .unwrap();
        assert_eq!(
            (order.service, order.kind, order.count),
            (Service::HuggingFace, FaultKind::Http429, Some(2))
        );
        assert!(serde_json::from_str::<Fault>(r#"{"service":"gemini","kind":"http_500"}"#).is_ok());
        assert!(
            serde_json::from_str::<Fault>(r#"{"service":"gemini","kind":"nonsense"}"#).is_err()
        );
    }
}
