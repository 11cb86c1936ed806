//! The transactions of a validator and of the subnet's owner, and how the chain refuses them.

use std::net::IpAddr;
use std::time::Duration;

use leoma_protocol::{Digest, HotkeySigner, Uid};
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::config::substrate::{AccountId32, MultiSignature, SubstrateConfig};
use subxt::dynamic;
use subxt::tx::Signer;

use super::{Axon, ChainClient, ChainError, Head, causes, encode_text_fields, limited};

/// Version and protocol that an axon entry carries. The chain keeps them and nobody here reads them; 4 is what the
/// subnet's other tools write.
const AXON_VERSION: u32 = 1;
const AXON_PROTOCOL: u8 = 4;
/// Blocks that a transaction stays valid for: longer than it takes to be included, shorter than a retry interval.
const MORTAL_BLOCKS: u64 = 32;
/// Longest wait for a transaction to be in a final block: five blocks of the live chain and its finality lag.
const INCLUSION_TIMEOUT: Duration = Duration::from_secs(120);

/// Why the chain refused a transaction, as far as it changes what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Weights were set too recently: wait for the rate limit.
    RateLimited,
    /// Not enough stake to set weights.
    StakeTooLow,
    /// The hotkey is not registered on the subnet.
    NotRegistered,
    /// The subnet wants weights committed first.
    CommitRevealRequired,
    /// Another transaction of this hotkey took the nonce, or the transaction grew old: make a new one.
    Stale,
    /// Anything else, by the chain's own name or words.
    Other(String),
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RateLimited => f.write_str("weights were set too recently (rate limit)"),
            Self::StakeTooLow => f.write_str("not enough stake to set weights"),
            Self::NotRegistered => f.write_str("the hotkey is not registered on the subnet"),
            Self::CommitRevealRequired => f.write_str("the subnet has commit-reveal switched on"),
            Self::Stale => f.write_str("the transaction was outdated or its nonce taken"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// Why a transaction has no effect, or may have none.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The node or the network failed; whether the transaction took effect is unknown until read back.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain refused it.
    #[error("the chain refused {what}: {rejection}")]
    Rejected {
        /// Which transaction.
        what: &'static str,
        /// Why.
        rejection: Rejection,
    },
    /// The commitment's text does not fit.
    #[error("a commitment holds at most 512 bytes, not {length}")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

/// Names and numbers come from the pallet's errors and from the pool's custom codes; error indices move between versions
/// and are not used.
fn rejection_of(text: &str) -> Option<Rejection> {
    let custom = text
        .split_once("Custom error: ")
        .map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    match custom {
        Some("1") => return Some(Rejection::StakeTooLow),
        Some("6") => return Some(Rejection::RateLimited),
        Some("19") => return Some(Rejection::NotRegistered),
        Some(code) => return Some(Rejection::Other(format!("custom error {code}"))),
        None => {}
    }
    let names = [
        ("SettingWeightsTooFast", Rejection::RateLimited),
        ("CommittingWeightsTooFast", Rejection::RateLimited),
        ("NotEnoughStakeToSetWeights", Rejection::StakeTooLow),
        ("HotKeyNotRegisteredInSubNet", Rejection::NotRegistered),
        ("CommitRevealEnabled", Rejection::CommitRevealRequired),
        ("outdated", Rejection::Stale),
        ("Priority is too low", Rejection::Stale),
        ("stale", Rejection::Stale),
        ("Invalid Transaction", Rejection::Other("invalid transaction".to_owned())),
    ];
    names.into_iter().find(|(name, _)| text.contains(name)).map(|(_, rejection)| rejection)
}

struct ChainSigner<'a>(&'a HotkeySigner);

impl Signer<SubstrateConfig> for ChainSigner<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(*self.0.hotkey().as_bytes())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        // A payload that reads as one of our messages cannot come out of subxt; an all-zero signature is refused by any chain.
        MultiSignature::Sr25519(self.0.sign_extrinsic(payload).map_or([0; 64], |signature| signature.0))
    }
}

impl ChainClient {
    /// Sets weights as `(uid, weight)` and waits until they are in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn set_weights(
        &self,
        signer: &HotkeySigner,
        weights: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<Digest, SubmitError> {
        let (uids, values): (Vec<u16>, Vec<u16>) = weights.iter().map(|(uid, value)| (uid.0, *value)).unzip();
        let call = dynamic::tx("SubtensorModule", "set_weights", (self.network.netuid.0, uids, values, version_key));
        self.submit("set_weights", signer, &call).await
    }

    /// Commits a text under the signer's hotkey and waits until it is in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn set_commitment(&self, signer: &HotkeySigner, text: &str) -> Result<Digest, SubmitError> {
        let info = encode_text_fields(text).ok_or(SubmitError::TooLong { length: text.len() })?;
        let call = dynamic::tx("Commitments", "set_commitment", (self.network.netuid.0, info));
        self.submit("set_commitment", signer, &call).await
    }

    /// Announces the address at which peers reach the signer, and waits until it is in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn serve_axon(&self, signer: &HotkeySigner, axon: Axon) -> Result<Digest, SubmitError> {
        let (ip, ip_type) = match axon.ip {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)), 4_u8),
            IpAddr::V6(ip) => (u128::from(ip), 6),
        };
        let call = dynamic::tx(
            "SubtensorModule",
            "serve_axon",
            (self.network.netuid.0, AXON_VERSION, ip, axon.port, ip_type, AXON_PROTOCOL, 0_u8, 0_u8),
        );
        self.submit("serve_axon", signer, &call).await
    }

    /// The weights of a slot at a block, `(uid, weight)` each, as the chain scaled them.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn weights(&self, at: Head, uid: Uid) -> Result<Vec<(Uid, u16)>, ChainError> {
        let client = self.at(at).await?;
        let address = dynamic::storage::<(u16, u16), Vec<(u16, u16)>>("SubtensorModule", "Weights");
        let storage = client.storage();
        let value = limited("weights", storage.try_fetch(address, (self.network.netuid.0, uid.0))).await?;
        let weights = match value {
            None => Vec::new(),
            Some(value) => {
                value.decode().map_err(|error| ChainError::Read { what: "weights", reason: error.to_string() })?
            }
        };
        Ok(weights.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect())
    }

    pub(super) async fn submit<C: subxt::tx::Payload>(
        &self,
        what: &'static str,
        signer: &HotkeySigner,
        call: &C,
    ) -> Result<Digest, SubmitError> {
        let account = AccountId32(*signer.hotkey().as_bytes());
        // subxt reads the nonce at the final head; the pool's own count also knows of transactions that are on their way.
        let nonce = limited("the account's nonce", self.rpc.system_account_next_index(&account)).await?;
        let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new().nonce(nonce).mortal(MORTAL_BLOCKS).build();
        let mut transactions = limited("the newest block", self.api.transactions()).await?;
        let refused = |error: &dyn std::error::Error| {
            let text = causes(error);
            // The pool's custom codes are in the error's data, which only its debug form shows.
            match rejection_of(&text).or_else(|| rejection_of(&format!("{error:?}"))) {
                Some(rejection) => SubmitError::Rejected { what, rejection },
                None => SubmitError::Chain(ChainError::Read { what, reason: text }),
            }
        };
        let signer = ChainSigner(signer);
        let sending = transactions.sign_and_submit_then_watch(call, &signer, params);
        let progress = tokio::time::timeout(super::CALL_TIMEOUT, sending)
            .await
            .map_err(|_| ChainError::Timeout { what })?
            .map_err(|error| refused(&error))?;
        let included = tokio::time::timeout(INCLUSION_TIMEOUT, progress.wait_for_finalized_success())
            .await
            .map_err(|_| ChainError::Timeout { what })?
            .map_err(|error| refused(&error))?;
        Ok(Digest(included.extrinsic_hash().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_name_and_pool_code() {
        for (text, rejection) in [
            ("RPC error: 1010: Invalid Transaction: Custom error: 6", Rejection::RateLimited),
            ("1010 Custom error: 1 }", Rejection::StakeTooLow),
            ("Custom error: 19", Rejection::NotRegistered),
            ("Custom error: 255", Rejection::Other("custom error 255".into())),
            ("Module error: SubtensorModule::SettingWeightsTooFast", Rejection::RateLimited),
            ("CommitRevealEnabled", Rejection::CommitRevealRequired),
            ("1010: Transaction is outdated", Rejection::Stale),
            ("1014: Priority is too low", Rejection::Stale),
        ] {
            assert_eq!(rejection_of(text), Some(rejection), "{text}");
        }
        assert_eq!(rejection_of("connection reset"), None);
    }
}
