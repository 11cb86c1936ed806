//! Limits and sizes of sampling.

use std::time::Duration;

super::declare::settings! {
    pub(crate) struct SamplingConfig {
        /// how often source videos are listed
        SAMPLER_POLL_INTERVAL = setting("seconds, 1 to 3600", Some("60"))
            => poll_interval: Duration, seconds(1..=3600);
        /// how often miners are checked
        MINER_VALIDATION_INTERVAL = setting("seconds, 1 to 86400", Some("300"))
            => validation_interval: Duration, seconds(1..=86_400);
        /// miners asked at a time
        MAX_CONCURRENT_MINERS = setting("a number from 1 to 256", Some("40"))
            => concurrent_miners: usize, number(1..=256);
        /// time a miner has to answer
        REQUEST_TIMEOUT = setting("seconds, 1 to 3600", Some("300"))
            => request_timeout: Duration, seconds(1..=3600);
        /// pause before a miner without a free instance (503) is asked again, at most twice, if its
        /// answer names no pause; it counts as the miner's time. A miner whose fault may have been
        /// a short outage is asked once more after at least three times as long
        COLD_START_PAUSE = setting("seconds, 0 to 600", Some("20"))
            => cold_start_pause: Duration, seconds(0..=600);
        // Operators may still have this set, so another value is refused rather than ignored.
        /// length of a clip; the subnet's rules leave no choice
        CLIP_DURATION = setting("seconds, 5", Some("5"))
            => _clip_duration: Duration, seconds(5..=5);
        /// width of a video
        REQUIRED_VIDEO_WIDTH = setting("pixels, 16 to 4096", Some("832"))
            => width: u32, number(16..=4096);
        /// height of a video
        REQUIRED_VIDEO_HEIGHT = setting("pixels, 16 to 4096", Some("480"))
            => height: u32, number(16..=4096);
        /// largest difference of an answer's width or height
        VIDEO_RESOLUTION_TOLERANCE = setting("pixels, 0 to 512", Some("32"))
            => size_tolerance: u32, number(0..=512);
        /// smaller source videos are ignored, where the corpus has no manifest
        MIN_VIDEO_SIZE = setting("bytes, or a number with KB or MB", Some("1 MB"))
            => min_source_bytes: u64, parsed(bytes);
        /// larger source videos are ignored, where the corpus has no manifest
        MAX_VIDEO_SIZE = setting("bytes, or a number with KB or MB", Some("200 MB"))
            => max_source_bytes: u64, parsed(bytes);
    }
}

impl SamplingConfig {
    /// Smallest and largest source video in bytes.
    pub(crate) fn source_bytes(&self) -> (u64, u64) {
        (self.min_source_bytes, self.max_source_bytes)
    }
}

/// Bytes, or a number with `KB` or `MB` in powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let upper = text.to_uppercase();
    let (number, unit) = match (upper.strip_suffix("MB"), upper.strip_suffix("KB")) {
        (Some(number), _) => (number, 1024 * 1024),
        (None, Some(number)) => (number, 1024),
        (None, None) => (upper.as_str(), 1),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}
