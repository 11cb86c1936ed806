//! `author_*`: transactions on their way into a block. Error codes and texts are those clients of
//! other nodes know.

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
    match error {
        TransactionValidityError::Invalid(InvalidTransaction::Custom(code)) => {
            ErrorObjectOwned::owned(
                INVALID,
                "Invalid Transaction",
                Some(format!("Custom error: {code}")),
            )
        }
        TransactionValidityError::Invalid(reason) => {
            ErrorObjectOwned::owned(INVALID, "Invalid Transaction", Some(<&str>::from(reason)))
        }
        TransactionValidityError::Unknown(UnknownTransaction::Custom(code)) => {
            ErrorObjectOwned::owned(
                UNKNOWN_VALIDITY,
                "Unknown Transaction Validity",
                Some(format!("Custom error: {code}")),
            )
        }
        TransactionValidityError::Unknown(reason) => ErrorObjectOwned::owned(
            UNKNOWN_VALIDITY,
            "Unknown Transaction Validity",
            Some(<&str>::from(reason)),
        ),
    }
}

fn unwelcome(reason: Unwelcome, hash: H256) -> ErrorObjectOwned {
    match reason {
        Unwelcome::Banned => {
            ErrorObjectOwned::owned(BANNED, "Transaction is temporarily banned", None::<()>)
        }
        Unwelcome::AlreadyWaiting => ErrorObjectOwned::owned(
            ALREADY_IMPORTED,
            "Transaction Already Imported",
            Some(format!("{hash:?}")),
        ),
        Unwelcome::PriorityTooLow(held, offered) => ErrorObjectOwned::owned(
            PRIORITY_TOO_LOW,
            format!("Priority is too low: ({held} vs {offered})"),
            Some(
                "The transaction has too low priority to replace another transaction \
                 already in the pool.",
            ),
        ),
        Unwelcome::Full => ErrorObjectOwned::owned(
            IMMEDIATELY_DROPPED,
            "Immediately Dropped",
            Some("The transaction couldn't enter the pool because of the limit"),
        ),
    }
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
