//! The log.

super::declare::settings! {
    pub(crate) struct LogConfig {
        /// the level or filter of the log
        LOG_LEVEL = setting("error, warn, info, debug, trace, or a tracing filter", Some("info"))
            => level: String, parsed(filter);
        /// the format of the log
        LOG_FORMAT = setting("text or json", Some("text")) => json: bool, parsed(is_json);
    }
}

fn filter(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    // A single word that is not a level would be the name of a module, and silence all others.
    let filter = match text.as_str() {
        "off" | "error" | "warn" | "info" | "debug" | "trace" => &text,
        "warning" => "warn",
        "critical" | "fatal" => "error",
        _ if !text.contains(['=', ',']) => return None,
        _ => &text,
    };
    tracing_subscriber::EnvFilter::try_new(filter).ok().map(|_| filter.to_owned())
}

fn is_json(text: &str) -> Option<bool> {
    match text {
        "text" => Some(false),
        "json" => Some(true),
        _ => None,
    }
}
