//! The signals that end a program cleanly.

use tokio::signal::unix::{SignalKind, signal};

/// Listens from now on, on the current tokio runtime, and returns at SIGINT, SIGTERM or SIGHUP.
pub(crate) fn stop_signal() -> impl Future<Output = ()> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    // Without handlers, a signal ends this process at once, and the kernel ends its parts with it.
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    async move {
        let any = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(any).await;
    }
}
