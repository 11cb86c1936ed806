//! What `leoma audit` is given.

use std::path::PathBuf;

use clap::Args;
use leoma_protocol::{BlockNumber, Digest, Hotkey, Netuid, Uid};

use super::buckets::BucketArg;
use super::task::TaskAuditArgs;

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditArgs {
    /// The allowlist file; without it, the snapshot's own validators and interval.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["snapshot", "task"])]
    pub(super) allowlist: Option<PathBuf>,
    /// The epoch's boundary; without it, the snapshot's.
    #[arg(long, value_name = "BLOCK", required_unless_present_any = ["snapshot", "task"])]
    pub(super) epoch_block: Option<BlockNumber>,
    /// The miners at that block, as JSON [{hotkey, uid, commit_block}]; without it, the snapshot's.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["snapshot", "task"])]
    pub(super) miners: Option<PathBuf>,
    /// Buckets to read: file:///folder/bucket, or http(s)://endpoint/bucket, with HOTKEY= before it
    /// to say whose it is.
    ///
    /// Keys for a bucket that is not public are read from AUDIT_ACCESS_KEY and AUDIT_SECRET_KEY.
    #[arg(long, value_name = "URL", num_args = 1.., conflicts_with = "snapshot", required_unless_present_any = ["snapshot", "task"])]
    pub(super) buckets: Vec<BucketArg>,
    /// One file that holds everything: {validators, interval, epoch_block, files, miners}, and
    /// optionally owner_uid and last_winner.
    #[arg(long, value_name = "FILE")]
    pub(super) snapshot: Option<PathBuf>,
    /// Count files without an envelope, as the Python implementation writes them.
    #[arg(long)]
    pub(super) allow_v1: bool,
    /// The subnet that files are bound to.
    #[arg(long, default_value = "99", env = "NETUID")]
    pub(super) netuid: Netuid,
    /// The chain's genesis hash that files are bound to.
    #[arg(
        long,
        value_name = "HASH",
        default_value = "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03"
    )]
    pub(super) genesis: Digest,
    /// What validators attested to, as `leoma mesh certificates` writes it, or as JSON [{task_id,
    /// producer, digest, attesters, signatures}]; without signatures it is taken on trust.
    #[arg(long, value_name = "FILE")]
    pub(super) certificates: Option<PathBuf>,
    /// The subnet owner's uid at that block, on which weight is burned; the miners must list it.
    /// Without it, the snapshot's owner_uid; without that it is unknown where weight is burned.
    #[arg(long, value_name = "UID")]
    pub(super) burn_uid: Option<Uid>,
    /// The winner of the newest earlier epoch that had one, which gets the weight again if too few
    /// files can be read; without it, the snapshot's last_winner.
    #[arg(long, value_name = "HOTKEY")]
    pub(super) last_winner: Option<Hotkey>,
    #[command(flatten)]
    pub(super) clip: TaskAuditArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}
