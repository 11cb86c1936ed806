//! How reading the chain and changing it can fail, and what to do then.
//!
//! Refusals are told apart by the pallet's names for errors, by the pool's error codes and by the runtime's custom codes.
//! Indices of errors move between releases of the chain and are not used. Source: the pallets `SubtensorModule` and
//! `Commitments` and Substrate's `author_*` error codes.

use leoma_protocol::{BlockNumber, Digest, Netuid};
use subxt::error::{
    BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError, TransactionFinalizedSuccessError,
    TransactionStatusError,
};
use subxt::rpcs::UserError;

use super::CALL_TIMEOUT;

/// Why the chain could not be read. The causes are the client's own errors; none holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChainError {
    /// No connection to the node.
    #[error("cannot connect to the chain at {url}: {reason} (is NETWORK right, and the node running?)")]
    Connect {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// None of several nodes can be reached.
    #[error("no chain endpoint answers: {reason}")]
    NoEndpoint {
        /// What was said of each.
        reason: String,
    },
    /// A node of another chain.
    #[error(
        "{url} is a node of another chain (genesis {found}, expected {expected}); set CHAIN_ENDPOINTS or NETWORK right"
    )]
    OtherChain {
        /// Its address.
        url: String,
        /// The genesis it has.
        found: Digest,
        /// The one it should have.
        expected: Digest,
    },
    /// A read that failed.
    #[error("cannot read {what} from the chain: {reason}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The node has dropped the state of that block.
    #[error(
        "the chain node no longer has {what} of an old block: add an archive node with --chain-endpoint (of Finney: \
         wss://archive.chain.opentensor.ai:443)"
    )]
    Pruned {
        /// What was asked for.
        what: &'static str,
    },
    /// No answer in time.
    #[error("the chain gave no answer for {what} in {} s", CALL_TIMEOUT.as_secs())]
    Timeout {
        /// What was asked for.
        what: &'static str,
    },
    /// The subnet does not exist at that block.
    #[error("subnet {netuid} does not exist on this chain (is NETUID right?)")]
    NoSubnet {
        /// The subnet.
        netuid: Netuid,
    },
}

/// The error and its causes in one line: subxt's own messages often say little without them.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
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
pub(super) fn read_error(what: &'static str, error: &dyn std::error::Error) -> ChainError {
    let reason = causes(error);
    if reason.contains(PRUNED_WORDS) { ChainError::Pruned { what } } else { ChainError::Read { what, reason } }
}

/// Waits for `call` within the time limit.
pub(super) async fn limited<T, E: std::error::Error>(
    what: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, ChainError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(read_error(what, &error)),
        Err(_) => Err(ChainError::Timeout { what }),
    }
}

/// What helps against a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A new transaction, at once or soon.
    Again,
    /// A new transaction after a rate limit or in another epoch.
    Later,
    /// Somebody has to change something on the chain or in the configuration.
    Operator,
}

/// Why the chain refused a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Less than `WeightsSetRateLimit` blocks since the last weights or commit.
    RateLimited,
    /// The hotkey's stake is below the threshold.
    StakeTooLow,
    /// The hotkey has no uid on the subnet.
    NotRegistered,
    /// The hotkey's uid may not set weights.
    NoPermit,
    /// The subnet asks for a newer version key.
    VersionTooOld,
    /// The subnet takes committed weights only.
    CommitRevealRequired,
    /// The subnet takes plain weights only.
    CommitRevealOff,
    /// The chain wants another version of timelocked commits.
    OtherCommitVersion,
    /// Ten commits wait for their reveal.
    TooManyCommits,
    /// The round that would open a timelocked commit is not one the chain takes.
    InvalidRevealRound,
    /// There is no commit with the hash of what was revealed.
    CommitNotFound,
    /// The reveal's epoch has not begun.
    RevealTooEarly,
    /// The reveal's epoch is over.
    RevealExpired,
    /// The space for commitments of this epoch is used up.
    SpaceUsedUp,
    /// Less than `ServingRateLimit` blocks since the last announced address.
    ServedTooFast,
    /// The address cannot be announced.
    BadAddress,
    /// The coldkey is being swapped.
    ColdkeySwap,
    /// The vector is not one that the subnet takes.
    BadWeights(String),
    /// The nonce was used, or another transaction that waits has it.
    NonceTaken,
    /// The transaction's time is over, or it was made for another release of the chain.
    Outdated,
    /// The node takes no more transactions, or not this one again so soon.
    NodeBusy,
    /// The balance does not pay for it.
    CannotPay,
    /// Anything else, by the chain's own name or words.
    Other(String),
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RateLimited => f.write_str("weights were set too recently (rate limit)"),
            Self::StakeTooLow => f.write_str("not enough stake to set weights"),
            Self::NotRegistered => f.write_str("the hotkey is not registered on the subnet"),
            Self::NoPermit => f.write_str("the hotkey has no validator permit"),
            Self::VersionTooOld => f.write_str("the subnet asks for a newer weights version"),
            Self::CommitRevealRequired => f.write_str("the subnet has commit-reveal switched on"),
            Self::CommitRevealOff => f.write_str("the subnet has commit-reveal switched off"),
            Self::OtherCommitVersion => f.write_str("the chain takes another version of timelocked commits"),
            Self::TooManyCommits => f.write_str("ten commits wait for their reveal already"),
            Self::InvalidRevealRound => f.write_str("the reveal round is not one that the chain takes"),
            Self::CommitNotFound => f.write_str("there is no commit for what was revealed"),
            Self::RevealTooEarly => f.write_str("the reveal's epoch has not begun"),
            Self::RevealExpired => f.write_str("the reveal's epoch is over"),
            Self::SpaceUsedUp => f.write_str("the space for commitments of this epoch is used up"),
            Self::ServedTooFast => f.write_str("an address was announced too recently (rate limit)"),
            Self::BadAddress => f.write_str("the chain does not take this address"),
            Self::ColdkeySwap => f.write_str("the coldkey is being swapped"),
            Self::BadWeights(name) => write!(f, "the subnet does not take these weights ({name})"),
            Self::NonceTaken => f.write_str("another transaction of this key has its nonce"),
            Self::Outdated => f.write_str("the transaction was outdated"),
            Self::NodeBusy => f.write_str("the node takes no more transactions now"),
            Self::CannotPay => f.write_str("the balance is too low"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl Rejection {
    /// What helps.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::NonceTaken | Self::Outdated | Self::NodeBusy | Self::CommitRevealRequired | Self::CommitRevealOff => {
                Remedy::Again
            }
            Self::RateLimited
            | Self::TooManyCommits
            | Self::InvalidRevealRound
            | Self::CommitNotFound
            | Self::RevealTooEarly
            | Self::RevealExpired
            | Self::SpaceUsedUp
            | Self::ServedTooFast
            | Self::Other(_) => Remedy::Later,
            Self::StakeTooLow
            | Self::NotRegistered
            | Self::NoPermit
            | Self::VersionTooOld
            | Self::OtherCommitVersion
            | Self::BadAddress
            | Self::ColdkeySwap
            | Self::BadWeights(_)
            | Self::CannotPay => Remedy::Operator,
        }
    }

    /// Whether the node may have the very transaction that it refused: a connection that broke is opened again beneath us,
    /// and what was asked on it is asked again.
    #[must_use]
    pub(super) const fn may_be_our_own(&self) -> bool {
        matches!(self, Self::NonceTaken | Self::NodeBusy)
    }

    /// What the operator should do, in a few words; empty where it passes by itself.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::StakeTooLow => "stake more to the hotkey (`btcli stake add`)",
            Self::NotRegistered => "register the hotkey (`leoma register`)",
            Self::NoPermit => "the permit comes with the next epoch to the largest stakes: stake more",
            Self::VersionTooOld | Self::OtherCommitVersion => "install the newest release",
            Self::BadAddress => "set LEOMA_MESH_EXTERNAL to an address that others reach",
            Self::ColdkeySwap => "wait until the coldkey swap is done or cancelled",
            Self::BadWeights(_) => "the subnet's limits allow no winner-take-all vector: ask its owner",
            Self::CannotPay => "transfer funds to the coldkey",
            Self::NonceTaken => "look for a second process with this hotkey",
            _ => "",
        }
    }

    /// By the name that a pallet gives an error.
    fn of_name(name: &str) -> Self {
        match name {
            "SettingWeightsTooFast" | "CommittingWeightsTooFast" => Self::RateLimited,
            "NotEnoughStakeToSetWeights" => Self::StakeTooLow,
            "HotKeyNotRegisteredInSubNet"
            | "HotKeyNotRegisteredInNetwork"
            | "HotKeyAccountNotExists"
            | "AccountNotAllowedCommit" => Self::NotRegistered,
            "NeuronNoValidatorPermit" => Self::NoPermit,
            "IncorrectWeightVersionKey" => Self::VersionTooOld,
            "CommitRevealEnabled" => Self::CommitRevealRequired,
            "CommitRevealDisabled" => Self::CommitRevealOff,
            "IncorrectCommitRevealVersion" => Self::OtherCommitVersion,
            "TooManyUnrevealedCommits" => Self::TooManyCommits,
            "InvalidRevealRound" => Self::InvalidRevealRound,
            "NoWeightsCommitFound" | "InvalidRevealCommitHashNotMatch" => Self::CommitNotFound,
            "RevealTooEarly" => Self::RevealTooEarly,
            "ExpiredWeightCommit" => Self::RevealExpired,
            "SpaceLimitExceeded" => Self::SpaceUsedUp,
            "ServingRateLimitExceeded" => Self::ServedTooFast,
            "InvalidIpType" | "InvalidIpAddress" | "InvalidPort" => Self::BadAddress,
            "ColdkeyInSwapSchedule" | "ColdKeyAlreadyAssociated" => Self::ColdkeySwap,
            "NotEnoughBalanceToStake" => Self::CannotPay,
            "WeightVecNotEqualSize"
            | "UidsLengthExceedUidsInSubNet"
            | "DuplicateUids"
            | "UidVecContainInvalidOne"
            | "WeightVecLengthIsLow"
            | "MaxWeightExceeded"
            | "InputLengthsUnequal"
            | "CanNotSetRootNetworkWeights"
            | "MechanismDoesNotExist" => Self::BadWeights(name.to_owned()),
            _ => Self::Other(name.to_owned()),
        }
    }

    /// By the number in the pool's `Custom error: N`.
    fn of_custom(code: u8) -> Self {
        match code {
            0 | 21 => Self::ColdkeySwap,
            1 => Self::StakeTooLow,
            6 => Self::RateLimited,
            10 | 19 => Self::NotRegistered,
            11 | 13 => Self::BadAddress,
            12 => Self::ServedTooFast,
            15 => Self::InvalidRevealRound,
            16 => Self::CommitNotFound,
            17 => Self::RevealTooEarly,
            18 => Self::BadWeights("InputLengthsUnequal".to_owned()),
            _ => Self::Other(format!("custom error {code}")),
        }
    }

    /// By the code of an answer to `author_submit…`; `None` for one that is not the pool's.
    fn of_pool(code: i32, message: &str, data: &str) -> Option<Self> {
        match code {
            // Invalid: the data says how, in Substrate's words or with the runtime's number.
            1010 => Some(match custom_code(data) {
                Some(code) => Self::of_custom(code),
                None if data.contains("Inability to pay") => Self::CannotPay,
                None if data.contains("Transaction is outdated") => Self::NonceTaken,
                // A signature covers the release and the genesis: a bad one is the first sign of an upgrade under us.
                None if data.contains("ancient birth block") || data.contains("bad signature") => Self::Outdated,
                None => Self::Other(if data.is_empty() { message.to_owned() } else { data.to_owned() }),
            }),
            // Unknown validity, banned for a while, cycle, unactionable, pool full.
            1011 | 1012 | 1015 | 1016 | 1018 => Some(Self::NodeBusy),
            // Already imported; priority too low.
            1013 | 1014 => Some(Self::NonceTaken),
            _ => None,
        }
    }

    /// By what watching the transaction ended in, in the node's words.
    fn of_status(status: &TransactionStatusError) -> Self {
        match status {
            TransactionStatusError::Invalid(_) => Self::Outdated,
            TransactionStatusError::Error(words) | TransactionStatusError::Dropped(words) => match custom_code(words) {
                Some(code) => Self::of_custom(code),
                None => Self::NodeBusy,
            },
            _ => Self::NodeBusy,
        }
    }
}

/// The number in `Custom error: N`.
fn custom_code(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once("Custom error: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Why a transaction has no effect, or may have none.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The node or the network failed; whether the transaction took effect is unknown until read back.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain refused it.
    #[error("the chain refused {what}: {rejection}{}{}", if rejection.advice().is_empty() { "" } else { "; " }, rejection.advice())]
    Rejected {
        /// Which transaction.
        what: &'static str,
        /// Why.
        rejection: Rejection,
    },
    /// An earlier transaction of this key may yet be included; another one must not be made before that is known.
    #[error("an earlier transaction (nonce {nonce}) may yet be included: nothing is sent before block {until}")]
    InFlight {
        /// The nonce it used.
        nonce: u64,
        /// The block after which it can no longer be.
        until: BlockNumber,
    },
    /// An earlier transaction of this key turned out to be included; nothing new was sent, as it may have done the work.
    #[error("an earlier transaction (nonce {nonce}) was included meanwhile: read back before another one is sent")]
    Included {
        /// The nonce it used.
        nonce: u64,
    },
    /// The record of what was sent cannot be kept, so nothing is sent.
    #[error("cannot record the transaction before sending it: {0}")]
    Unrecorded(String),
    /// The commitment's text does not fit.
    #[error("a commitment holds at most 512 bytes, not {length}")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

impl SubmitError {
    /// The refusal, where it is one.
    #[must_use]
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected { rejection, .. } => Some(rejection),
            _ => None,
        }
    }

    /// A transaction that the node did not take. Whatever is not a plain refusal may have reached it.
    pub(super) fn of_sending(what: &'static str, error: &ExtrinsicError) -> Self {
        let rejection = match error {
            ExtrinsicError::ErrorSubmittingTransaction(backend)
            | ExtrinsicError::TransactionStatusStreamError(backend) => {
                user_error(backend).and_then(|user| Rejection::of_pool(user.code, &user.message, &data_of(user)))
            }
            ExtrinsicError::TransactionStatusError(status) => Some(Rejection::of_status(status)),
            _ => None,
        };
        Self::of(what, rejection, error)
    }

    /// A transaction that was taken and did not come to a good end.
    pub(super) fn of_inclusion(what: &'static str, error: &TransactionFinalizedSuccessError) -> Self {
        let rejection = match error {
            TransactionFinalizedSuccessError::SuccessError(TransactionEventsError::ExtrinsicFailed(failed)) => {
                Some(Self::of_dispatch(failed))
            }
            // Dropped, usurped, invalid by now: it may still be in a block. Only the nonce tells.
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

/// The text of an error's data, which is a JSON string where it is the pool's.
fn data_of(error: &UserError) -> String {
    let Some(data) = &error.data else { return String::new() };
    serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pools_codes_are_told_apart() {
        for (code, data, rejection) in [
            (1010, "Custom error: 6", Rejection::RateLimited),
            (1010, "Custom error: 1", Rejection::StakeTooLow),
            (1010, "Custom error: 19", Rejection::NotRegistered),
            (1010, "Custom error: 15", Rejection::InvalidRevealRound),
            (1010, "Custom error: 16", Rejection::CommitNotFound),
            (1010, "Custom error: 17", Rejection::RevealTooEarly),
            (1010, "Custom error: 18", Rejection::BadWeights("InputLengthsUnequal".into())),
            (1010, "Custom error: 0", Rejection::ColdkeySwap),
            (1010, "Custom error: 21", Rejection::ColdkeySwap),
            (1010, "Custom error: 255", Rejection::Other("custom error 255".into())),
            (1010, "Transaction is outdated", Rejection::NonceTaken),
            (1010, "Transaction has an ancient birth block", Rejection::Outdated),
            (1010, "Transaction has a bad signature", Rejection::Outdated),
            (1010, "Inability to pay some fees (e.g. account balance too low)", Rejection::CannotPay),
            (1012, "", Rejection::NodeBusy),
            (1013, "", Rejection::NonceTaken),
            (1014, "The transaction has too low priority", Rejection::NonceTaken),
            (1016, "", Rejection::NodeBusy),
        ] {
            assert_eq!(Rejection::of_pool(code, "Invalid Transaction", data), Some(rejection), "{code} {data}");
        }
        assert_eq!(Rejection::of_pool(-32000, "Client error", ""), None, "the node's own trouble is no refusal");
    }

    #[test]
    fn every_named_error_of_the_facts_has_its_own_meaning() {
        for name in [
            "CommitRevealEnabled",
            "CanNotSetRootNetworkWeights",
            "WeightVecNotEqualSize",
            "MechanismDoesNotExist",
            "UidsLengthExceedUidsInSubNet",
            "HotKeyNotRegisteredInSubNet",
            "NotEnoughStakeToSetWeights",
            "IncorrectWeightVersionKey",
            "SettingWeightsTooFast",
            "NeuronNoValidatorPermit",
            "DuplicateUids",
            "UidVecContainInvalidOne",
            "WeightVecLengthIsLow",
            "MaxWeightExceeded",
            "CommittingWeightsTooFast",
            "SpaceLimitExceeded",
        ] {
            assert!(!matches!(Rejection::of_name(name), Rejection::Other(_)), "{name}");
        }
        assert_eq!(Rejection::of_name("SomethingNew"), Rejection::Other("SomethingNew".into()));
    }

    #[test]
    fn what_only_an_operator_can_cure_says_how() {
        for rejection in [
            Rejection::StakeTooLow,
            Rejection::NotRegistered,
            Rejection::NoPermit,
            Rejection::VersionTooOld,
            Rejection::OtherCommitVersion,
            Rejection::BadAddress,
            Rejection::ColdkeySwap,
            Rejection::BadWeights("MaxWeightExceeded".into()),
            Rejection::CannotPay,
        ] {
            assert_eq!(rejection.remedy(), Remedy::Operator, "{rejection}");
            assert!(!rejection.advice().is_empty(), "{rejection}");
        }
        let text = SubmitError::Rejected { what: "set_weights", rejection: Rejection::StakeTooLow }.to_string();
        assert!(text.ends_with("; stake more to the hotkey (`btcli stake add`)"), "{text}");
    }

    #[test]
    fn a_pruned_state_names_the_archive_option() {
        let error = std::io::Error::other("Client error: State already discarded for 0x12 (4003)");
        let error = read_error("the metagraph", &error);
        assert!(matches!(error, ChainError::Pruned { .. }));
        assert!(error.to_string().contains("--chain-endpoint"), "{error}");
    }
}
