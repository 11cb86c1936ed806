//! `author_*`: transactions on their way into a block. Error codes and texts are those that clients
//! know from other nodes.

use super::super::pool::{Fate, Unwelcome, WATCHER_BACKLOG};
use super::context::{Answer, Context, Module, Registered, failed, send};
use super::hex_bytes::HexBytes;
use jsonrpsee::PendingSubscriptionSink;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use node_subtensor_runtime::executor;
use serde_json::{Value, json};
use sp_core::H256;
use sp_runtime::traits::{BlakeTwo256, Hash};
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionValidityError, UnknownTransaction,
};
use std::sync::Arc;
use tokio::sync::mpsc;

const BAD_FORMAT: i32 = 1_001;
const INVALID: i32 = 1_010;
const UNKNOWN_VALIDITY: i32 = 1_011;
const BANNED: i32 = 1_012;
const ALREADY_IMPORTED: i32 = 1_013;
const PRIORITY_TOO_LOW: i32 = 1_014;
const IMMEDIATELY_DROPPED: i32 = 1_016;

pub(super) fn register(module: &mut Module) -> Registered {
    module.register_blocking_method("author_submitExtrinsic", |params, context, _| {
        submit(&context, &params, None)
    })?;
    module.register_method("author_pendingExtrinsics", |_, context, _| -> Vec<HexBytes> {
        context
            .shared
            .pool
            .by_priority()
            .into_iter()
            .map(|waiting| HexBytes(waiting.bytes))
            .collect()
    })?;
    module.register_subscription(
        "author_submitAndWatchExtrinsic",
        "author_extrinsicUpdate",
        "author_unwatchExtrinsic",
        |params, pending, context, _| submit_and_watch(params, pending, context),
    )?;
    Ok(())
}

/// Validates against the newest state and puts into the pool.
fn submit(
    context: &Context,
    params: &Params<'_>,
    watcher: Option<mpsc::Sender<Fate>>,
) -> Answer<H256> {
    let HexBytes(bytes) = params.sequence().next()?;
    let transaction = executor::decode_transaction(&bytes).map_err(|error| {
        ErrorObjectOwned::owned(
            BAD_FORMAT,
            format!("Extrinsic has invalid format: {error}"),
            None::<()>,
        )
    })?;
    let hash = BlakeTwo256::hash(&bytes);
    let head = context.shared.ledger.best();
    let pool = &context.shared.pool;
    pool.admits(&hash, head.header.number).map_err(|reason| unwelcome(reason, hash))?;
    let validity = context
        .shared
        .ledger
        .state(&head)
        .validate(transaction.clone(), head.hash)
        .map_err(failed)?;
    let validity = validity.map_err(|error| {
        pool.refused(&hash, head.header.number);
        refusal(error)
    })?;
    pool.add(hash, head.header.number, bytes, transaction, validity, watcher)
        .map_err(|reason| unwelcome(reason, hash))?;
    Ok(hash)
}

fn refusal(error: TransactionValidityError) -> ErrorObjectOwned {
    let custom = |code: u8| format!("Custom error: {code}");
    let (code, message, data) = match error {
        TransactionValidityError::Invalid(reason) => {
            let data = match reason {
                InvalidTransaction::Custom(code) => custom(code),
                reason => <&str>::from(reason).to_owned(),
            };
            (INVALID, "Invalid Transaction", data)
        }
        TransactionValidityError::Unknown(reason) => {
            let data = match reason {
                UnknownTransaction::Custom(code) => custom(code),
                reason => <&str>::from(reason).to_owned(),
            };
            (UNKNOWN_VALIDITY, "Unknown Transaction Validity", data)
        }
    };
    ErrorObjectOwned::owned(code, message, Some(data))
}

fn unwelcome(reason: Unwelcome, hash: H256) -> ErrorObjectOwned {
    let full = "The transaction couldn't enter the pool because of the limit";
    let too_low = "The transaction has too low priority to replace another transaction already in \
                   the pool.";
    let (code, message, data) = match reason {
        Unwelcome::Banned => (BANNED, "Transaction is temporarily banned".to_owned(), None),
        Unwelcome::AlreadyWaiting => {
            let hash = Some(format!("{hash:?}"));
            (ALREADY_IMPORTED, "Transaction Already Imported".to_owned(), hash)
        }
        Unwelcome::PriorityTooLow(held, offered) => {
            let message = format!("Priority is too low: ({held} vs {offered})");
            (PRIORITY_TOO_LOW, message, Some(too_low.to_owned()))
        }
        Unwelcome::Full => {
            (IMMEDIATELY_DROPPED, "Immediately Dropped".to_owned(), Some(full.to_owned()))
        }
    };
    ErrorObjectOwned::owned(code, message, data)
}

async fn submit_and_watch(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
) {
    let (watcher, mut fates) = mpsc::channel(WATCHER_BACKLOG);
    let submitting = Arc::clone(&context);
    let submitted =
        tokio::task::spawn_blocking(move || submit(&submitting, &params, Some(watcher))).await;
    let sink = match submitted.map_err(failed).and_then(|submitted| submitted) {
        Ok(_) => pending.accept().await,
        Err(error) => return pending.reject(error).await,
    };
    // A client that left in the meantime is not told; its transaction stays.
    let Ok(sink) = sink else { return };
    loop {
        let fate = tokio::select! {
            () = sink.closed() => return,
            () = context.shared.stop.cancelled() => return,
            fate = fates.recv() => fate,
        };
        // The pool lets go of a watcher after the last update.
        let Some(fate) = fate else { return };
        if !send(&sink, &status(fate)).await {
            return;
        }
    }
}

fn status(fate: Fate) -> Value {
    match fate {
        Fate::Future => json!("future"),
        Fate::Ready => json!("ready"),
        Fate::InBlock(block) => json!({ "inBlock": block }),
        Fate::Retracted(block) => json!({ "retracted": block }),
        Fate::FinalityTimeout(block) => json!({ "finalityTimeout": block }),
        Fate::Finalized(block) => json!({ "finalized": block }),
        Fate::Usurped(by) => json!({ "usurped": by }),
        Fate::Invalid => json!("invalid"),
    }
}
