//! A whole subnet on this machine: `leoma-testnet launch`, and [`Subnet`] for scenarios in tests.
//!
//! The chain, the storage, the services with their miners and every validator run as processes of
//! their own, each with its own address and folder. Nothing here reaches into them: they
//! get what they need from files and their environment, and what they did is read from the chain
//! and from their status pages.

pub mod accounts;
mod agreement;
mod args;
mod environment;
mod error;
mod hosts;
mod hurt;
mod mechanism;
mod options;
mod order;
mod part;
mod plan;
mod played;
mod programs;
mod progress;
mod publish;
mod report;
mod siblings;
mod starting;
mod status;
mod subnet;
mod verdicts;
mod view;
mod watch;
mod weights;

pub(crate) use agreement::History;
pub use agreement::{Agreement, EPOCH_BLOCKS, EpochWeights};
pub use args::{LaunchArgs, Outcome, run};
pub use environment::Addresses;
pub use error::LaunchError;
use error::Result;
pub use mechanism::Mechanism;
pub use options::Options;
pub use order::Order;
pub(crate) use part::Part;
pub use part::last_lines;
pub use plan::{MinerPlan, NETUID, SubnetPlan, ValidatorPlan};
pub use played::Played;
pub use programs::Programs;
pub use report::{MechanismReport, Report, ValidatorReport};
pub use status::ValidatorStatus;
pub use subnet::Subnet;
pub use verdicts::MinerVerdicts;
pub use view::{MechanismView, ValidatorView, View};
pub use weights::WeightMode;
