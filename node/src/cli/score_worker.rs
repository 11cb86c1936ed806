//! `leoma score-worker`: the process in which a validator scores. Nobody starts it by hand.

/// Answers its validator's frames until its standard input ends, then ends the process with
/// whatever it has in hand.
pub(super) async fn run() -> anyhow::Result<()> {
    crate::telemetry::init_worker();
    let served = tokio::task::spawn_blocking(leoma_scoring::worker::run).await?;
    if let Err(fault) = served {
        eprintln!("{fault}");
        std::process::exit(1);
    }
    std::process::exit(0);
}
