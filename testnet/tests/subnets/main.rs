//! What only a running chain can show. `test.sh` runs this program beside all other tests: it waits
//! for blocks most of the time.

#[path = "../chains/mod.rs"]
mod chains;
mod whole_subnet;
