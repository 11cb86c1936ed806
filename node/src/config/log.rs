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
    tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_lowercase())
}

fn is_json(text: &str) -> Option<bool> {
    match text {
        "text" => Some(false),
        "json" => Some(true),
        _ => None,
    }
}
