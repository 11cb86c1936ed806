//! Mostly whole subnets of real validators.
//!
//! | test | shows |
//! |---|---|
//! | `chaos` | validators lose nothing and agree, whatever happens to them and their network |
//! | `epoch_retry` | an epoch that cannot be decided at its boundary is decided later |
//! | `faults` | what each fault of each service does to miners, and what the operator is told |
//! | `liars` | two files for two half meshes, or a cut, make no two validators set different weights |
//! | `lost_state` | a validator without state waits for its bucket, and writes nothing over |
//! | `owners_api` | `leoma api` shows a validator's bucket, and what validators report to it |
//! | `rehearsal` | a rehearsal samples and decides, and sends nothing |
//! | `mechanisms` | two mechanisms of one subnet get weights of their own from every validator |
//! | `motion` | miners with axons, a vector of weights, and a kill in the middle of a task |
//! | `oracle` | forecasts and prices that are joined later, a feed that lies, a kill in a task |
//! | `restart` | a validator that is stopped in a task or loses its power signs nothing twice |
//! | `secrets` | nothing that a validator says or leaves shows a secret |
//! | `upgrade` | validators update one by one across a change of the parameters, and agree in every epoch |
//! | `weights` | weights get onto the chain in every mode, through restarts, faults, upgrades and forks |
//!
//! `asked` has what `motion` and `oracle` share.

mod agreeing;
mod asked;
mod bench;
mod chaos;
mod epoch_retry;
mod faults;
mod liars;
mod lost_state;
mod mechanisms;
mod motion;
mod oracle;
mod owners_api;
mod rehearsal;
mod restart;
mod secrets;
mod upgrade;
mod weights;
