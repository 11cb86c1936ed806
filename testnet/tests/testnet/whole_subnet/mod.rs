//! Mostly whole subnets of real validators.
//!
//! | test | shows |
//! |---|---|
//! | `chaos` | validators lose nothing and agree, whatever happens to them and their network |
//! | `epoch_retry` | an epoch that cannot be decided at its boundary is decided later |
//! | `restart` | a validator that loses its power signs nothing twice, and the epoch after agrees |
//! | `secrets` | nothing that a validator says or leaves shows a secret |
//! | `weights` | weights get onto the chain in every mode, through restarts and faults |

mod chaos;
mod epoch_retry;
mod restart;
mod secrets;
mod weights;
