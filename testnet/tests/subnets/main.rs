//! What only a running chain can show. `test.sh` runs this program beside all other tests: it waits for blocks most of the
//! time.

mod whole_subnet;
