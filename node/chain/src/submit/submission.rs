//! One transaction at a time, and none twice.
//!
//! A transaction whose fate is unknown, because the connection broke or the process was killed, may
//! be included until its era ends. Another one would do the work twice or compete for the nonce. So
//! every transaction is recorded before it is sent, and the next one is not signed until the final
//! chain shows that the old nonce was used or the era is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leoma_protocol::{Digest, Hotkey, HotkeySigner};

use super::call::Call;
use super::log::{Pending, TransactionLog};
use super::rejection::Rejection;
use crate::endpoint::ChainClient;
use crate::error::{ChainError, SubmitError};
use crate::read::Axon;

/// Blocks for which a transaction stays valid: enough to be included, less than a retry interval.
const USUAL_LIFE: u64 = 32;

impl ChainClient {
    /// Commits a text under the signer's hotkey and waits until it is in a final block.
    pub async fn set_commitment(
        &self,
        signer: &HotkeySigner,
        text: &str,
    ) -> Result<Digest, SubmitError> {
        self.submit(signer, &Call::SetCommitment { text: text.to_owned() }).await
    }

    /// Announces the address at which peers reach the signer, and waits until it is in a final
    /// block.
    pub async fn serve_axon(
        &self,
        signer: &HotkeySigner,
        axon: Axon,
    ) -> Result<Digest, SubmitError> {
        self.submit(signer, &Call::ServeAxon(axon)).await
    }

    /// Registers `hotkey` on the subnet, paid by `coldkey`, and waits until it is in a final block.
    pub async fn burned_register(
        &self,
        coldkey: &HotkeySigner,
        hotkey: &Hotkey,
    ) -> Result<Digest, SubmitError> {
        self.submit(coldkey, &Call::BurnedRegister { hotkey: *hotkey }).await
    }

    /// Sends a transaction, waits until it is in a final block and returns its hash. Transactions
    /// are sent one at a time, and none while an earlier one of this key may still be included.
    ///
    /// # Errors
    /// [`SubmitError`]. After [`SubmitError::Chain`] the transaction may have taken effect: read the
    /// chain to find out.
    pub async fn submit(&self, signer: &HotkeySigner, call: &Call) -> Result<Digest, SubmitError> {
        self.submit_within(signer, call, USUAL_LIFE).await
    }

    /// As [`ChainClient::submit`], for a transaction that is of no use after `blocks` blocks: it
    /// cannot be included much later, and does not hold up the next one for longer. At least 4.
    ///
    /// # Errors
    /// As [`ChainClient::submit`].
    pub async fn submit_within(
        &self,
        signer: &HotkeySigner,
        call: &Call,
        blocks: u64,
    ) -> Result<Digest, SubmitError> {
        if self.inner.rehearsing.load(Ordering::Relaxed) {
            tracing::info!(?call, "rehearsal: this transaction would have been sent");
            return Err(SubmitError::Rejected {
                what: call.name(),
                rejection: Rejection::Rehearsed,
            });
        }
        let _turn = self.inner.submitting.lock().await;
        let account = signer.hotkey();
        self.settle_pending(&account).await?;
        let nonces = self
            .ask("the account's nonce", move |chain| async move { chain.nonces(&account).await })
            .await?;
        let order = self.order();
        let member = order
            .first()
            .ok_or(ChainError::NoEndpoint { reason: "all were dropped".to_owned() })?;
        let chain = member
            .open(Some(self.inner.network.genesis))
            .await
            .inspect_err(|error| member.failed(error))?;
        let signed = chain.sign(signer, call, nonces.next, blocks).await?;
        let (nonce, valid_until) = (signed.nonce, signed.valid_until);
        let pending = Pending { account, nonce, valid_until, what: signed.what.to_owned() };
        self.record(Some(pending)).await?;
        let sent = chain.send(&signed).await;
        match &sent {
            Err(SubmitError::Rejected { rejection, .. }) if rejection.may_be_our_own() => {}
            // It is in a final block or was refused: its fate is decided.
            Ok(_) | Err(SubmitError::Rejected { .. }) => self.record(None).await?,
            Err(SubmitError::Unsent(error)) => {
                self.record(None).await?;
                member.failed(error);
            }
            Err(SubmitError::Chain(error)) => {
                tracing::warn!(endpoint = member.name, call = signed.what, nonce, %error, "transaction sent, but its fate is unknown");
                member.failed(error);
            }
            Err(_) => {}
        }
        sent
    }

    /// From now on this client and its clones send no transaction: each is named in the log and
    /// refused with [`Rejection::Rehearsed`].
    pub fn rehearse(&self) {
        self.inner.rehearsing.store(true, Ordering::Relaxed);
    }

    /// Checks that no earlier transaction of this key is pending.
    ///
    /// # Errors
    /// [`SubmitError::InFlight`] if one is, [`SubmitError::Included`] if one was included since.
    pub async fn settle(&self, account: &Hotkey) -> Result<(), SubmitError> {
        let _turn = self.inner.submitting.lock().await;
        self.settle_pending(account).await
    }

    async fn record(&self, pending: Option<Pending>) -> Result<(), SubmitError> {
        self.on_log(move |log| log.record(pending.as_ref())).await
    }

    /// Uses the log on a thread that may wait for the disk.
    async fn on_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn TransactionLog) -> Result<T, String> + Send + 'static,
    ) -> Result<T, SubmitError> {
        let log = Arc::clone(&self.inner.log);
        let done = tokio::task::spawn_blocking(move || work(&*log)).await;
        let done = done.unwrap_or_else(|_| Err("the process is stopping".to_owned()));
        done.map_err(SubmitError::Unrecorded)
    }

    async fn settle_pending(&self, account: &Hotkey) -> Result<(), SubmitError> {
        let pending = self.on_log(|log| log.pending()).await?;
        let Some(pending) = pending.filter(|pending| pending.account == *account) else {
            return Ok(());
        };
        let account = *account;
        let nonces = self
            .ask("the account's nonce", move |chain| async move { chain.nonces(&account).await })
            .await?;
        if !pending.is_decided(nonces) {
            return Err(SubmitError::InFlight { nonce: pending.nonce, until: pending.valid_until });
        }
        self.record(None).await?;
        // The caller read the chain before this was included, and must read it again.
        if nonces.finalized > pending.nonce {
            Err(SubmitError::Included { nonce: pending.nonce })
        } else {
            Ok(())
        }
    }
}
