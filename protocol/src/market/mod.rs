//! Prices as feeds and miners write them, read into exact integers.
//!
//! Both come from strangers. Each is read whole or refused with one reason.
//!
//! | file | subject |
//! |---|---|
//! | `feed.rs` | a feed's closing prices |
//! | `forecast.rs` | a miner's forecast of the next ones |
//!
//! ```
//! use leoma_protocol::Nano;
//! use leoma_protocol::market::{read_closes, read_forecast};
//! use leoma_protocol::python_json::Value;
//!
//! let closes = read_closes(br#"[{"t": 1736521200, "close": "5000.12"}]"#)?;
//! assert_eq!(closes[&1_736_521_200], Nano(5_000_120_000_000));
//! let forecast = read_forecast(&Value::parse(b"[5000.1, 5001]")?, 2)?;
//! assert_eq!(forecast, [Nano(5_000_100_000_000), Nano(5_001_000_000_000)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod feed;
mod forecast;

pub use feed::{Closes, FeedFault, MAX_CLOSES, MAX_FEED_BYTES, read_closes};
pub use forecast::{ForecastFault, read_forecast};
