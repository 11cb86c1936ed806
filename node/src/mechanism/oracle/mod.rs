//! The oracle: miners forecast a price, and everybody ranks the forecasts once the price is known.
//!
//! | file | subject |
//! |---|---|
//! | `rules.rs` | what the policy record fixes: steps, cells, the file's deadline |
//! | `hours.rs` | when miners are asked |
//! | `challenge.rs` | the question, and reading an answer to it |
//! | `feed.rs` | our own feed of closing prices |
//! | `proof.rs` | what `metadata.json` says, and the entries that follow from it |
//! | `turn.rs` | one task from its moment to its entries |
//! | `recheck.rs` | another validator's file, computed again |
//!
//! A forecast is an observation in pool `forecast`, and what a validator read of the market one in
//! pool `close`, under its own hotkey. `rotation/src/fold/rank_cells.rs` joins them. Nothing waits
//! in a process until the truth is known, so nothing is lost with one.
//!
//! Miners' models are not looked up. Upstream compares the name of a repository with the hotkey;
//! whether it exists proves nothing either, as nobody can tell that a forecast came from it.

mod challenge;
mod feed;
mod hours;
mod proof;
mod recheck;
mod rules;
#[cfg(test)]
mod tests;
mod turn;

pub(crate) use feed::MarketClient;
pub(crate) use hours::Hours;
pub(crate) use proof::OracleMetadata;
pub(crate) use recheck::{FirstBlock, OracleRecheck, difference, read_metadata};
pub(crate) use rules::Rules;
pub(crate) use turn::{Desk, Oracle};
