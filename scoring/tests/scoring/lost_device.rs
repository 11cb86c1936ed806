//! A GPU that goes away from a running container, as after its host reloads its services.

use std::fmt::Write as _;
use std::sync::Mutex;

use leoma_scoring::worker::{FaultKind, ScorerPool, WorkerFault};
use leoma_scoring::{Device, ScoreFault};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::worker::{SOURCE, folder, options, reason, soon, until};

/// Errors in the log, one a line.
static ERRORS: Mutex<String> = Mutex::new(String::new());

/// Writes errors to [`ERRORS`].
struct Errors;

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                write!(self.0, "{field}={value:?} ").unwrap();
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        ERRORS.lock().unwrap().push_str(&(line.0 + "\n"));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn j4_a_device_that_goes_away_is_no_clips_fault_and_the_log_says_once_what_to_do() {
    let _already_set = tracing::subscriber::set_global_default(Errors);
    let folder = folder();
    let options = options("loses_its_device_after_two_clips", folder.path());
    let devices = vec![Device::Cuda { index: 0 }];
    let pool = soon(ScorerPool::open_on(devices, options)).await.unwrap();
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(reason(soon(pool.score(&source, SOURCE)).await.unwrap()), "done");
    }
    for _ in 0..3 {
        let lost = soon(pool.score(&source, SOURCE)).await.unwrap_err();
        let ScoreFault::Worker(fault) = lost else { panic!("{lost:?}") };
        assert!(matches!(fault, WorkerFault::Start { kind: FaultKind::Device, .. }), "{fault:?}");
        // So no miner gets an entry, not even the one whose clip was being scored.
        assert!(!fault.is_about_one_clip() && !fault.is_crash());
    }
    let said = ERRORS.lock().unwrap().clone();
    let advice = "restart the container or the machine, or score with LEOMA_DEVICE=cpu";
    assert_eq!(said.matches(advice).count(), 1, "{said}");

    // A device that comes back by itself is used again.
    std::fs::write(folder.path().join("back"), "").unwrap();
    until("the device is used again", || pool.counts().up == 1).await;
    assert_eq!(reason(soon(pool.score(&source, SOURCE)).await.unwrap()), "done");
}
