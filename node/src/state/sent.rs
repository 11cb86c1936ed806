//! The transaction that was sent and whose fate is not known yet.

use std::sync::OnceLock;

use leoma_chain::{Pending, TransactionLog};

use super::State;

const NOTE: &str = "pending_transaction";

/// The log of sent transactions in a state that is opened after the connection to the chain: which
/// state it is depends on the chain. Nothing can be sent before [`SentTransactions::keep_in`].
#[derive(Debug, Default)]
pub struct SentTransactions(OnceLock<State>);

impl SentTransactions {
    /// Says where the log is kept; only the first call counts.
    pub fn keep_in(&self, state: State) {
        let _first = self.0.set(state);
    }

    fn state(&self) -> Result<&State, String> {
        self.0.get().ok_or_else(|| "the state is not open".to_owned())
    }
}

impl TransactionLog for SentTransactions {
    fn pending(&self) -> Result<Option<Pending>, String> {
        let Some(text) = self.state()?.note(NOTE).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map_err(|_| "the recorded transaction is malformed".to_owned())
    }

    fn record(&self, pending: Option<&Pending>) -> Result<(), String> {
        let text = serde_json::to_string(&pending).map_err(|error| error.to_string())?;
        self.state()?.set_note(NOTE, &text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{BlockNumber, Digest, Hotkey, Netuid, Network};

    use super::*;

    #[test]
    fn what_was_sent_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let account = Hotkey::from_bytes([1; 32]);
        let pending =
            Pending { account, nonce: 7, valid_until: BlockNumber(99), what: "set_weights".into() };
        let log = SentTransactions::default();
        assert!(log.record(Some(&pending)).is_err(), "nothing is sent that cannot be recorded");
        log.keep_in(State::open(folder.path(), network, account).unwrap());
        assert_eq!(log.pending().unwrap(), None);
        log.record(Some(&pending)).unwrap();
        drop(log);
        let log = SentTransactions::default();
        log.keep_in(State::open(folder.path(), network, account).unwrap());
        assert_eq!(log.pending().unwrap(), Some(pending));
        log.record(None).unwrap();
        assert_eq!(log.pending().unwrap(), None);
    }
}
