//! What `leoma audit` is given.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use leoma_protocol::{BlockNumber, Digest, Netuid, Uid};

use super::buckets::BucketArg;
use super::sources::SourceArgs;
use super::task::TaskAuditArgs;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "An epoch, from the chain and from the validator on this machine:\n  \
                  leoma audit --epoch 5148000\n\
                  The same from an archive node, another validator and two buckets:\n  \
                  leoma audit --epoch 5148000 --chain-endpoint wss://archive.chain.opentensor.ai:443 \\\n    \
                  --validator http://10.0.0.7:9090 --buckets 5F…=https://endpoint/one 5G…=https://endpoint/two\n\
                  Everything that it follows from in one file, and again without any network:\n  \
                  leoma audit snapshot --epoch 5148000 --out epoch.json\n  \
                  leoma audit --snapshot epoch.json"
)]
pub(in crate::cli) struct AuditArgs {
    #[command(subcommand)]
    pub(super) command: Option<AuditCommand>,
    /// Recompute the epoch of this boundary from the chain and public files, and compare what each
    /// validator set.
    ///
    /// Allowlist, miners and witnesses are read at the boundary's own block. Of blocks older than
    /// some 300, only archive nodes have the state (--chain-endpoint). The exit code is 1 when a
    /// validator set something else, or when a file that counts cannot be fetched.
    #[arg(long, value_name = "BLOCK", required_unless_present_any = ["snapshot", "task"], conflicts_with_all = ["snapshot", "task"])]
    pub(super) epoch: Option<BlockNumber>,
    #[command(flatten)]
    pub(super) sources: SourceArgs,
    /// Buckets to read: file:///folder/bucket, or http(s)://endpoint/bucket, with HOTKEY= before it
    /// to say whose it is.
    ///
    /// Keys for a bucket that is not public are read from AUDIT_ACCESS_KEY and AUDIT_SECRET_KEY.
    #[arg(long, value_name = "URL", num_args = 1.., conflicts_with = "snapshot")]
    pub(super) buckets: Vec<BucketArg>,
    /// The allowlist file, where the source bucket is not to be asked. The chain must name it.
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    pub(super) allowlist: Option<PathBuf>,
    /// Replay a file that `leoma audit snapshot` wrote, without any network: the same bytes give
    /// the same report on any machine.
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    pub(super) snapshot: Option<PathBuf>,
    /// The snapshot has no certificates and witnesses, like those of the Python implementation:
    /// {validators, interval, epoch_block, files, miners}, and optionally owner_uid. No validator
    /// of this mesh sets weights by that rule.
    #[arg(long, requires = "snapshot")]
    pub(super) allow_v1: bool,
    /// With --allow-v1: the subnet owner's uid, on which weight is burned; without it, the
    /// snapshot's owner_uid.
    #[arg(long, value_name = "UID", requires = "allow_v1")]
    pub(super) burn_uid: Option<Uid>,
    /// With --task or --allow-v1: the subnet that files are bound to.
    #[arg(long, default_value = "99", env = "NETUID")]
    pub(super) netuid: Netuid,
    /// With --task or --allow-v1: the chain's genesis hash that files are bound to.
    #[arg(
        long,
        value_name = "HASH",
        default_value = "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03"
    )]
    pub(super) genesis: Digest,
    #[command(flatten)]
    pub(super) clip: TaskAuditArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Write everything that an epoch follows from into one file: the chain at its boundary, the
    /// signed attestations, the files that count, and what each validator set.
    Snapshot(SnapshotArgs),
}

#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    /// The epoch's boundary.
    #[arg(long, value_name = "BLOCK")]
    pub(super) epoch: BlockNumber,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) sources: SourceArgs,
    /// Buckets to read, as for `leoma audit`.
    #[arg(long, value_name = "URL", num_args = 1..)]
    pub(super) buckets: Vec<BucketArg>,
    /// The allowlist file, where the source bucket is not to be asked. The chain must name it.
    #[arg(long, value_name = "FILE")]
    pub(super) allowlist: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}
