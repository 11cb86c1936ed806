//! The subnet's object storage: an S3 server on loopback, with one folder per bucket.
//!
//! | part | file |
//! |---|---|
//! | buckets and their keys, the keys file | `keys.rs` |
//! | who may do what | `access.rs` |
//! | atomic conditional puts, checked digests, key rules, over `s3s-fs` | `guarded.rs` |
//! | faults on request | `faults.rs`, `admin.rs` |
//! | connections, start and stop | `serve.rs` |
//! | `leoma-testnet storage` | `command.rs` |
//!
//! Signatures (SigV4, in the header and presigned) are checked by `s3s`. A bucket has a key that
//! writes and one that only reads; neither reaches another bucket, and nobody else reaches
//! anything.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use leoma_testnet::storage::{self, BucketKeys, Fault, FaultKind};
//! let keys = BucketKeys::generate("leoma-validator-1");
//! let server = storage::spawn(storage::Config::new("/tmp/s3".into(), vec![keys.clone()])).await?;
//! let bucket = keys.writer(server.endpoint()).open()?;
//! server.faults().inject(Fault::next(FaultKind::InternalError, 2))?;
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod access;
mod admin;
mod command;
mod faults;
mod guarded;
mod keys;
mod serve;

pub use command::{StorageArgs, run};
pub use faults::{Fault, FaultError, FaultKind, Faults};
pub use keys::{BucketKeys, KeyPair, KeysError, write_keys};
pub use serve::{Config, Handle, ServeError, spawn};
