//! The three services that miners and prompts depend on.

use std::time::Duration;

use leoma_storage::Secret;

use super::error::ConfigError;
use super::values::{file_name, flag, http_url};

super::declare::settings! {
    pub(crate) struct ServicesConfig {
        /// how long a chute's state is cached
        CHUTE_CACHE_TTL = setting("seconds, 0 to 86400", Some("300"))
            => chute_ttl: Duration, seconds(0..=86_400);
        /// how long a model's hash is cached
        MODEL_HASH_CACHE_TTL = setting("seconds, 0 to 86400", Some("3600"))
            => model_hash_ttl: Duration, seconds(0..=86_400);
        /// how long a miner's last known state stands while a service cannot be asked about it
        MINER_STATE_TTL = setting("seconds, 0 to 86400", Some("3600"))
            => miner_state_ttl: Duration, seconds(0..=86_400);
        /// requests in a minute to the Chutes API, and as many to miners' endpoints: fewer than the
        /// account's limit
        CHUTES_REQUESTS_PER_MINUTE = setting("a number from 1 to 60000", Some("50"))
            => chutes_per_minute: u32, number(1..=60_000);
        /// requests in a minute to the Hugging Face API, which allows an address 100 without a
        /// token
        HF_REQUESTS_PER_MINUTE = setting("a number from 1 to 60000", Some("40"))
            => hf_per_minute: u32, number(1..=60_000);
        /// the whole subnet is on one machine or in one private network: services, miners and
        /// peers' buckets may have addresses that are not public
        LEOMA_LOCAL_NETWORK = setting("true or false", Some("false"))
            => local_network: bool, parsed(flag);
        /// the Chutes API
        CHUTES_API_URL = setting("an http:// or https:// address", Some("https://api.chutes.ai"))
            => chutes_api_url: String, parsed(http_url);
        /// address of a miner's endpoint
        CHUTES_GENERATE_URL = setting(
            "an http:// or https:// address that holds {slug}",
            Some("https://{slug}.chutes.ai/generate")
        ) => chutes_generate_url: String, parsed(generate_url);
        /// key for the Chutes API and the miners' endpoints
        CHUTES_API_KEY = secret("a text") => chutes_api_key: Option<Secret>, secret();
        /// the Hugging Face API
        HF_API_URL = setting("an http:// or https:// address", Some("https://huggingface.co"))
            => hf_api_url: String, parsed(http_url);
        /// token for the Hugging Face API, for gated models
        HF_TOKEN = secret("a text") => hf_token: Option<Secret>, secret();
        /// the judge's API
        GEMINI_API_URL = setting(
            "an http:// or https:// address", Some("https://generativelanguage.googleapis.com")
        ) => gemini_api_url: String, parsed(http_url);
        /// the judge's model
        GEMINI_MODEL = setting("a model's name", Some("gemini-2.5-flash"))
            => gemini_model: String, parsed(file_name);
        /// key for the judge's API
        GEMINI_API_KEY = secret("a text") => gemini_api_key: Option<Secret>, secret();
    }
}

impl ServicesConfig {
    pub(crate) fn need_gemini_api_key(&self) -> Result<&Secret, ConfigError> {
        self.gemini_api_key.as_ref().ok_or_else(|| ConfigError::missing(&GEMINI_API_KEY))
    }
}

fn generate_url(text: &str) -> Option<String> {
    http_url(&text.replace("{slug}", "slug"))
        .filter(|_| text.contains("{slug}"))
        .map(|_| text.to_owned())
}
