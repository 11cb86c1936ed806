//! Logging: structured lines on standard error, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Crates whose `info` lines are of no use to an operator.
const QUIET: &str = ",libp2p=warn,libp2p_gossipsub=error,subxt=warn,jsonrpsee=warn,cubecl=warn,burn=warn,hyper=warn";

/// Starts the logging of a scoring process. The validator that reads its lines adds the time.
pub(crate) fn init_worker() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn{QUIET}")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _already_set = builder.without_time().with_target(false).with_ansi(false).try_init();
}

/// Starts logging. `level` is a level or a tracing filter; `RUST_LOG` overrides it.
pub(crate) fn init(level: &str, json: bool) {
    let words =
        if level.contains(['=', ',']) { level.to_owned() } else { format!("{level}{QUIET}") };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(words));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the first call counts, which matters in tests.
    let _already_set = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
}
