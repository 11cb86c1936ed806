//! The record of the pending transaction.

use std::sync::{Mutex, PoisonError};

use leoma_protocol::{BlockNumber, Hotkey};
use serde::{Deserialize, Serialize};

use crate::endpoint::Nonces;

/// A transaction that was sent and whose fate is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The account that signed it.
    pub account: Hotkey,
    /// Its nonce.
    pub nonce: u64,
    /// The last block that may hold it.
    pub valid_until: BlockNumber,
    /// Its call.
    pub what: String,
}

impl Pending {
    /// Whether its fate is decided: its nonce was used, or its era is over.
    pub(crate) fn is_decided(&self, nonces: Nonces) -> bool {
        nonces.finalized > self.nonce || nonces.at > self.valid_until
    }
}

/// Where the pending transaction is recorded. A record must be on disk before `record` returns.
pub trait TransactionLog: Send + Sync + std::fmt::Debug {
    /// The recorded transaction, if it was not cleared.
    ///
    /// # Errors
    /// Why it cannot be read, in words; nothing is sent then.
    fn pending(&self) -> Result<Option<Pending>, String>;
    /// Records a transaction before it is sent; `None` clears the record.
    ///
    /// # Errors
    /// Why it cannot be kept, in words; nothing is sent then.
    fn record(&self, pending: Option<&Pending>) -> Result<(), String>;
}

/// A log that ends with the process, for commands that make one transaction.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Option<Pending>>);

impl TransactionLog for MemoryLog {
    fn pending(&self) -> Result<Option<Pending>, String> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn record(&self, pending: Option<&Pending>) -> Result<(), String> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pending.cloned();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_undecided_until_its_nonce_is_used_or_its_era_is_over() {
        let account = Hotkey::from_bytes([1; 32]);
        let pending =
            Pending { account, nonce: 4, valid_until: BlockNumber(50), what: "set_weights".into() };
        let nonces = |at, finalized| Nonces { at: BlockNumber(at), finalized, next: 9 };
        assert!(!pending.is_decided(nonces(50, 4)));
        assert!(pending.is_decided(nonces(50, 5)));
        assert!(pending.is_decided(nonces(51, 4)));
    }
}
