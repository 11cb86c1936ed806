//! The chain's refusals of transactions, and what helps against each.
//!
//! A refusal is recognised by the pallet's name for the error, by the pool's error code or by the
//! runtime's custom code. Indices of errors change between releases of the chain and are not used.
//! Source: the pallets `SubtensorModule` and `Commitments` and Substrate's `author_*` error codes.

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A new transaction, at once or soon.
    Again,
    /// A new transaction after a rate limit or in another epoch.
    Later,
    /// The operator has to change something, on the chain or in the configuration.
    Operator,
}

/// Why the chain refused a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Less than `WeightsSetRateLimit` blocks since the last weights or commit.
    #[error("weights were set too recently (rate limit)")]
    RateLimited,
    /// The hotkey's stake is below the threshold.
    #[error("not enough stake to set weights")]
    StakeTooLow,
    /// The hotkey has no uid on the subnet.
    #[error("the hotkey is not registered on the subnet")]
    NotRegistered,
    /// The hotkey's uid may not set weights.
    #[error("the hotkey has no validator permit")]
    NoPermit,
    /// The subnet asks for a newer version key.
    #[error("the subnet asks for a newer weights version")]
    VersionTooOld,
    /// The subnet takes committed weights only.
    #[error("the subnet has commit-reveal switched on")]
    CommitRevealRequired,
    /// The subnet takes plain weights only.
    #[error("the subnet has commit-reveal switched off")]
    CommitRevealOff,
    /// The chain wants another version of timelocked commits.
    #[error("the chain takes another version of timelocked commits")]
    OtherCommitVersion,
    /// Ten commits wait for their reveal.
    #[error("ten commits wait for their reveal already")]
    TooManyCommits,
    /// The round that would open a timelocked commit is not one the chain takes.
    #[error("the chain does not accept this reveal round")]
    InvalidRevealRound,
    /// There is no commit with the hash of what was revealed.
    #[error("there is no commit for what was revealed")]
    CommitNotFound,
    /// The reveal's epoch has not begun. The pool's code also means that it is over.
    #[error("it is not the reveal's epoch")]
    RevealTooEarly,
    /// The reveal's epoch is over.
    #[error("the reveal's epoch is over")]
    RevealExpired,
    /// The space for commitments of this epoch is used up.
    #[error("the space for commitments of this epoch is used up")]
    SpaceUsedUp,
    /// Less than `ServingRateLimit` blocks since the last announced address.
    #[error("an address was announced too recently (rate limit)")]
    ServedTooFast,
    /// The address cannot be announced.
    #[error("the chain does not take this address")]
    BadAddress,
    /// The coldkey is being swapped.
    #[error("the coldkey is being swapped")]
    ColdkeySwap,
    /// The vector is not one that the subnet takes.
    #[error("the subnet does not take these weights ({0})")]
    BadWeights(String),
    /// The nonce was used, or another transaction that waits has it.
    #[error("another transaction of this key has its nonce")]
    NonceTaken,
    /// The transaction's time is over, or it was made for another release of the chain.
    #[error("the transaction was outdated")]
    Outdated,
    /// The node takes no more transactions, or not this one again so soon.
    #[error("the node takes no more transactions now")]
    NodeBusy,
    /// The balance does not pay for it.
    #[error("the balance is too low")]
    CannotPay,
    /// It was not sent: the client rehearses.
    #[error("this is a rehearsal, in which no transaction is sent")]
    Rehearsed,
    /// Anything else, by the chain's own name or words.
    #[error("{0}")]
    Other(String),
}

/// What the pallets' names for errors mean.
pub(crate) const BY_NAME: &[(Rejection, &[&str])] = &[
    (Rejection::RateLimited, &["SettingWeightsTooFast", "CommittingWeightsTooFast"]),
    (Rejection::StakeTooLow, &["NotEnoughStakeToSetWeights"]),
    (
        Rejection::NotRegistered,
        &[
            "HotKeyNotRegisteredInSubNet",
            "HotKeyNotRegisteredInNetwork",
            "HotKeyAccountNotExists",
            "AccountNotAllowedCommit",
        ],
    ),
    (Rejection::NoPermit, &["NeuronNoValidatorPermit"]),
    (Rejection::VersionTooOld, &["IncorrectWeightVersionKey"]),
    (Rejection::CommitRevealRequired, &["CommitRevealEnabled"]),
    (Rejection::CommitRevealOff, &["CommitRevealDisabled"]),
    (Rejection::OtherCommitVersion, &["IncorrectCommitRevealVersion"]),
    (Rejection::TooManyCommits, &["TooManyUnrevealedCommits"]),
    (Rejection::InvalidRevealRound, &["InvalidRevealRound"]),
    (Rejection::CommitNotFound, &["NoWeightsCommitFound", "InvalidRevealCommitHashNotMatch"]),
    (Rejection::RevealTooEarly, &["RevealTooEarly"]),
    (Rejection::RevealExpired, &["ExpiredWeightCommit"]),
    (Rejection::SpaceUsedUp, &["SpaceLimitExceeded"]),
    (Rejection::ServedTooFast, &["ServingRateLimitExceeded"]),
    (Rejection::BadAddress, &["InvalidIpType", "InvalidIpAddress", "InvalidPort"]),
    (Rejection::ColdkeySwap, &["ColdkeySwapAnnounced", "ColdkeySwapDisputed"]),
    (Rejection::CannotPay, &["NotEnoughBalanceToStake", "InsufficientBalance"]),
    (
        // `Self::of_name` fills in the pallet's name for the error.
        Rejection::BadWeights(String::new()),
        &[
            "WeightVecNotEqualSize",
            "UidsLengthExceedUidsInSubNet",
            "DuplicateUids",
            "UidVecContainInvalidOne",
            "WeightVecLengthIsLow",
            "MaxWeightExceeded",
            "InputLengthsUnequal",
            "CanNotSetRootNetworkWeights",
            "MechanismDoesNotExist",
        ],
    ),
];

impl Rejection {
    /// What to do about it.
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::NonceTaken
            | Self::Outdated
            | Self::NodeBusy
            | Self::CommitRevealRequired
            | Self::CommitRevealOff => Remedy::Again,
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
            | Self::CannotPay
            | Self::Rehearsed => Remedy::Operator,
        }
    }

    /// Whether the node may already have the transaction that it refused: after a broken connection
    /// the client library sends it again.
    pub(crate) const fn may_be_our_own(&self) -> bool {
        matches!(self, Self::NonceTaken | Self::NodeBusy)
    }

    /// What the operator should do, in a few words; empty if nothing.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::StakeTooLow => "stake more to the hotkey (`btcli stake add`)",
            Self::NotRegistered => "register the hotkey (`leoma register`)",
            Self::NoPermit => "the next epoch gives permits to the largest stakes: stake more",
            Self::VersionTooOld | Self::OtherCommitVersion => "install the newest release",
            Self::BadAddress => "set LEOMA_MESH_EXTERNAL to an address that others can reach",
            Self::ColdkeySwap => "wait until the coldkey swap is done or cancelled",
            Self::BadWeights(_) => {
                "the subnet's limits allow no winner-take-all vector: ask its owner"
            }
            Self::CannotPay => "transfer funds to the coldkey",
            Self::NonceTaken => "look for a second process with this hotkey",
            _ => "",
        }
    }

    /// By the name that a pallet gives an error.
    pub(crate) fn of_name(name: &str) -> Self {
        match BY_NAME.iter().find(|(_, names)| names.contains(&name)) {
            Some((Self::BadWeights(_), _)) => Self::BadWeights(name.to_owned()),
            Some((rejection, _)) => rejection.clone(),
            None => Self::Other(name.to_owned()),
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
    pub(crate) fn of_pool(code: i32, message: &str, data: &str) -> Option<Self> {
        match code {
            // Invalid: the data says how, in Substrate's words or with the runtime's number.
            1010 => Some(match custom_code(data) {
                Some(code) => Self::of_custom(code),
                None if data.contains("Inability to pay") => Self::CannotPay,
                None if data.contains("Transaction is outdated") => Self::NonceTaken,
                // A signature covers the release and the genesis, so a bad one is the first sign
                // that the chain was upgraded.
                None if data.contains("ancient birth block") || data.contains("bad signature") => {
                    Self::Outdated
                }
                None => {
                    Self::Other(if data.is_empty() { message.to_owned() } else { data.to_owned() })
                }
            }),
            // Unknown validity, banned for a while, cycle, unactionable, pool full.
            1011 | 1012 | 1015 | 1016 | 1018 => Some(Self::NodeBusy),
            // Already imported; priority too low.
            1013 | 1014 => Some(Self::NonceTaken),
            _ => None,
        }
    }
}

/// The number in `Custom error: N`.
fn custom_code(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once("Custom error: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SubmitError;

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
            (
                1010,
                "Inability to pay some fees (e.g. account balance too low)",
                Rejection::CannotPay,
            ),
            (1012, "", Rejection::NodeBusy),
            (1013, "", Rejection::NonceTaken),
            (1014, "The transaction has too low priority", Rejection::NonceTaken),
            (1016, "", Rejection::NodeBusy),
        ] {
            assert_eq!(
                Rejection::of_pool(code, "Invalid Transaction", data),
                Some(rejection),
                "{code} {data}"
            );
        }
        assert_eq!(
            Rejection::of_pool(-32000, "Client error", ""),
            None,
            "a fault of the node is not a refusal"
        );
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
        let text = SubmitError::Rejected { what: "set_weights", rejection: Rejection::StakeTooLow }
            .to_string();
        assert!(text.ends_with("; stake more to the hotkey (`btcli stake add`)"), "{text}");
    }
}
