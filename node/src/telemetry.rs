//! Logging: structured lines on standard error, as text or JSON.

use std::ffi::OsStr;
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
        let no_color = std::env::var_os("NO_COLOR");
        let colours = coloured(std::io::stderr().is_terminal(), no_color.as_deref());
        builder.with_ansi(colours).with_target(false).try_init()
    };
}

/// Whether lines are coloured: on a terminal, unless `NO_COLOR` has a value (see no-color.org).
fn coloured(on_terminal: bool, no_color: Option<&OsStr>) -> bool {
    on_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_switches_colours_off() {
        assert!(coloured(true, None) && coloured(true, Some(OsStr::new(""))));
        assert!(!coloured(true, Some(OsStr::new("1"))) && !coloured(true, Some(OsStr::new("0"))));
        assert!(!coloured(false, None));
    }
}
