//! What the mechanism oracle reads prices from.

use leoma_storage::Secret;

use super::values::http_url;
use crate::mechanism::oracle::Hours;

super::declare::settings! {
    pub(crate) struct OracleConfig {
        /// where closing prices are read, for mechanism oracle: asked with ?from=T&to=T&step=S in
        /// seconds since 1970, it answers [{"t": T, "close": "5000.12"}, …], where a close is the
        /// price at the moment t
        MARKET_URL = setting("an http:// or https:// address", None)
            => url: Option<String>, optional(http_url);
        /// key for MARKET_URL, sent as Authorization: Bearer; keys in the address itself would be
        /// shown
        MARKET_API_KEY = secret("a text") => key: Option<Secret>, secret();
        /// when miners are asked for forecasts: on New York's weekdays from 9:30 to 15:30, or at
        /// all times
        MARKET_HOURS = setting("new_york or always", Some("new_york"))
            => hours: Hours, parsed(Hours::of_word);
    }
}

impl OracleConfig {
    /// The feed's address.
    ///
    /// # Errors
    /// [`ConfigError`](super::ConfigError) if it is not set.
    pub(crate) fn need_url(&self) -> Result<&str, super::ConfigError> {
        self.url.as_deref().ok_or_else(|| super::ConfigError::missing(&MARKET_URL))
    }
}
