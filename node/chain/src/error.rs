//! Errors of reading the chain and of sending transactions.

use std::time::Duration;

use leoma_protocol::{BlockNumber, Digest, Netuid};
use subxt::error::{
    BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError,
    TransactionFinalizedSuccessError,
};
use subxt::rpcs::UserError;

use crate::submit::Rejection;

/// Longest wait for one answer of a node, including reconnecting.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) type Result<T, E = ChainError> = std::result::Result<T, E>;

/// Why the chain could not be read. The causes are the client's own errors; none holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ChainError {
    /// No connection to the node.
    #[error(
        "cannot connect to the chain at {url}: {reason} (is NETWORK right, and the node running?)"
    )]
    Connect { url: String, reason: String },
    /// None of the nodes can be reached.
    #[error("no chain endpoint answers: {reason}")]
    NoEndpoint { reason: String },
    /// A node of another chain.
    #[error(
        "{url} is a node of another chain (genesis {found}, expected {expected}); correct CHAIN_ENDPOINTS or NETWORK"
    )]
    OtherChain { url: String, found: Digest, expected: Digest },
    /// A read that failed.
    #[error("cannot read {what} from the chain: {reason}")]
    Read { what: &'static str, reason: String },
    /// The node has dropped the state of that block.
    #[error(
        "the chain node no longer has {what} of an old block: add an archive node with --chain-endpoint (on Finney: \
         wss://archive.chain.opentensor.ai:443)"
    )]
    Pruned { what: &'static str },
    /// No answer in time.
    #[error("the chain gave no answer for {what} in {} s", CALL_TIMEOUT.as_secs())]
    Timeout { what: &'static str },
    /// The node's final chain has not reached that block.
    #[error("the chain node has not reached block {number} yet")]
    NotReached { number: BlockNumber },
    /// The subnet, or its mechanism, does not exist at that block.
    #[error("{} does not exist on this chain (is {} right?)", named(*netuid), if netuid.mecid() == 0 { "NETUID" } else { "MECHANISM" })]
    NoSubnet { netuid: Netuid },
}

/// A subnet or one of its mechanisms, in words.
fn named(index: Netuid) -> String {
    match index.mecid() {
        0 => format!("subnet {index}"),
        mecid => format!("mechanism {mecid} of subnet {}", index.subnet()),
    }
}

/// The error and its causes in one line: subxt's own messages often say little without them.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

/// What a node says of a block whose state it has dropped.
const PRUNED_WORDS: &str = "State already discarded";

/// A failed read, by what the client says of it.
pub(crate) fn read_error(what: &'static str, error: &dyn std::error::Error) -> ChainError {
    let reason = causes(error);
    if reason.contains(PRUNED_WORDS) {
        ChainError::Pruned { what }
    } else {
        ChainError::Read { what, reason }
    }
}

/// Waits for `call` within the time limit.
pub(crate) async fn limited<T, E: std::error::Error>(
    what: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(read_error(what, &error)),
        Err(_) => Err(ChainError::Timeout { what }),
    }
}

/// Why a transaction has no effect, or may have none.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum SubmitError {
    /// The node or the network failed; whether the transaction took effect is unknown until read
    /// back.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The node or the network failed before anything was sent.
    #[error("nothing was sent: {0}")]
    Unsent(#[source] ChainError),
    /// The chain refused it.
    #[error("the chain refused {what}: {rejection}{}{}", if rejection.advice().is_empty() { "" } else { "; " }, rejection.advice())]
    Rejected { what: &'static str, rejection: Rejection },
    /// An earlier transaction of this key may yet be included; another one must not be made before
    /// that is known.
    #[error(
        "an earlier transaction (nonce {nonce}) may yet be included: nothing is sent before block {until}"
    )]
    InFlight {
        nonce: u64,
        /// The block after which it can no longer be included.
        until: BlockNumber,
    },
    /// An earlier transaction of this key turned out to be included; nothing new was sent, as it
    /// may have done the work.
    #[error(
        "an earlier transaction (nonce {nonce}) has been included since: read the chain again before sending another"
    )]
    Included { nonce: u64 },
    /// The record of what was sent cannot be kept, so nothing is sent.
    #[error("cannot record the transaction before sending it: {0}")]
    Unrecorded(String),
    /// The commitment's text does not fit.
    #[error(
        "a commitment holds at most 512 bytes of text or 3 fields of 128 bytes; this one has {length} bytes"
    )]
    TooLong { length: usize },
}

impl SubmitError {
    /// The chain's refusal, if this error is one.
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected { rejection, .. } => Some(rejection),
            _ => None,
        }
    }

    /// The error for a transaction that the node did not accept. Unless the node plainly refused
    /// it, it may still have arrived.
    pub(crate) fn of_sending(what: &'static str, error: &ExtrinsicError) -> Self {
        let rejection = match error {
            ExtrinsicError::ErrorSubmittingTransaction(backend) => user_error(backend)
                .and_then(|user| Rejection::of_pool(user.code, &user.message, &data_of(user))),
            _ => None,
        };
        Self::of(what, rejection, error)
    }

    /// The error for a transaction that the node accepted and that then failed.
    pub(crate) fn of_inclusion(
        what: &'static str,
        error: &TransactionFinalizedSuccessError,
    ) -> Self {
        let rejection = match error {
            TransactionFinalizedSuccessError::SuccessError(
                TransactionEventsError::ExtrinsicFailed(failed),
            ) => Some(Self::of_dispatch(failed)),
            // Dropped, usurped or invalid: it may still be in a block. Only the nonce shows.
            _ => None,
        };
        Self::of(what, rejection, error)
    }

    fn of_dispatch(error: &DispatchError) -> Rejection {
        match error {
            DispatchError::Module(module) => match module.details() {
                Ok(details) => Rejection::of_name(&details.variant.name),
                Err(unknown) => Rejection::Other(unknown.to_string()),
            },
            DispatchError::Token(_) => Rejection::CannotPay,
            other => Rejection::Other(other.to_string()),
        }
    }

    fn of(what: &'static str, rejection: Option<Rejection>, error: &dyn std::error::Error) -> Self {
        match rejection {
            Some(rejection) => Self::Rejected { what, rejection },
            None => Self::Chain(read_error(what, error)),
        }
    }
}

fn user_error(error: &BackendError) -> Option<&UserError> {
    match error {
        BackendError::Rpc(RpcError::ClientError(subxt::rpcs::Error::User(user))) => Some(user),
        _ => None,
    }
}

/// The text of an error's data, which is a JSON string if the error is the pool's.
fn data_of(error: &UserError) -> String {
    let Some(data) = &error.data else { return String::new() };
    serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pruned_state_names_the_archive_option() {
        let error = std::io::Error::other("Client error: State already discarded for 0x12 (4003)");
        let error = read_error("the metagraph", &error);
        assert!(matches!(error, ChainError::Pruned { .. }));
        assert!(error.to_string().contains("--chain-endpoint"), "{error}");
    }
}
