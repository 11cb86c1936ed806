//! `chain_*`: blocks and heads.

use super::super::entries::StoredBlock;
use super::super::shared::{Announcement, News};
use super::context::{Answer, Context, Module, Registered, accept, bad_parameter, failed, send};
use super::hex_bytes::HexBytes;
use jsonrpsee::PendingSubscriptionSink;
use node_subtensor_runtime::Header;
use serde::Serialize;
use serde_json::Value;
use sp_core::H256;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Most numbers one `chain_getBlockHash` may list.
const MAX_NUMBERS: usize = 1_024;

#[derive(Debug, Clone, Serialize)]
struct SignedBlock {
    block: Block,
    justifications: Option<()>,
}

#[derive(Debug, Clone, Serialize)]
struct Block {
    header: Header,
    extrinsics: Vec<HexBytes>,
}

pub(super) fn register(module: &mut Module) -> Registered {
    module.register_method("chain_getBlockHash", |params, context, _| -> Answer<Value> {
        block_hash(context, params.sequence().optional_next()?)
    })?;
    module.register_alias("chain_getHead", "chain_getBlockHash")?;
    module.register_method("chain_getFinalizedHead", |_, context, _| -> Answer<H256> {
        Ok(context.shared.ledger.view().finalized.hash)
    })?;
    module.register_alias("chain_getFinalisedHead", "chain_getFinalizedHead")?;
    module.register_blocking_method(
        "chain_getHeader",
        |params, context, _| -> Answer<Option<Header>> {
            Ok(find(&context, params.sequence().optional_next()?)?.map(|block| block.header))
        },
    )?;
    module.register_blocking_method(
        "chain_getBlock",
        |params, context, _| -> Answer<Option<SignedBlock>> {
            let Some(block) = find(&context, params.sequence().optional_next()?)? else {
                return Ok(None);
            };
            let extrinsics = context.shared.ledger.body(&block).map_err(failed)?;
            let extrinsics = extrinsics.into_iter().map(HexBytes).collect();
            Ok(Some(SignedBlock {
                block: Block { header: block.header, extrinsics },
                justifications: None,
            }))
        },
    )?;
    register_heads(module)
}

fn find(context: &Context, hash: Option<H256>) -> Answer<Option<StoredBlock>> {
    match hash {
        None => Ok(Some(context.shared.ledger.best())),
        Some(hash) => context.shared.ledger.by_hash(&hash).map_err(failed),
    }
}

/// The hash of a number (plain or hex), a list of them, or the newest block's.
fn block_hash(context: &Context, asked: Option<Value>) -> Answer<Value> {
    let one = |value: &Value| -> Answer<Value> {
        Ok(context.shared.ledger.hash(number(value)?).map_or(Value::Null, hash_text))
    };
    match asked {
        None | Some(Value::Null) => Ok(hash_text(context.shared.ledger.best().hash)),
        Some(Value::Array(numbers)) if numbers.len() <= MAX_NUMBERS => {
            numbers.iter().map(one).collect()
        }
        Some(Value::Array(_)) => {
            Err(bad_parameter(format!("more than {MAX_NUMBERS} block numbers")))
        }
        Some(value) => one(&value),
    }
}

fn hash_text(hash: H256) -> Value {
    Value::String(format!("{hash:?}"))
}

fn number(value: &Value) -> Answer<u32> {
    block_number(value).ok_or_else(|| bad_parameter(format!("{value} is not a block number")))
}

/// A block number as clients write it: a number, or a decimal or hexadecimal text.
pub(in crate::chain) fn block_number(value: &Value) -> Option<u32> {
    let number = match value {
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => text.parse().ok()?,
        },
        value => value.as_u64()?,
    };
    u32::try_from(number).ok()
}

/// Which heads a subscriber follows.
#[derive(Debug, Clone, Copy)]
enum Heads {
    /// Each new best block; after a reorg the one that tipped it.
    Best,
    /// Every block of every fork.
    All,
    /// The newest final block; those between it and the one before are skipped.
    Finalized,
}

fn register_heads(module: &mut Module) -> Registered {
    for (subscribe, notify, unsubscribe, which) in [
        ("chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads", Heads::Best),
        ("chain_subscribeAllHeads", "chain_allHead", "chain_unsubscribeAllHeads", Heads::All),
        (
            "chain_subscribeFinalizedHeads",
            "chain_finalizedHead",
            "chain_unsubscribeFinalizedHeads",
            Heads::Finalized,
        ),
    ] {
        let follow = move |_, pending, context, _| heads(pending, context, which);
        module.register_subscription(subscribe, notify, unsubscribe, follow)?;
    }
    Ok(())
}

/// The newest header now, and every one after it. A subscriber that fell behind goes on with the
/// oldest still known.
async fn heads(pending: PendingSubscriptionSink, context: Arc<Context>, which: Heads) {
    let mut news = context.shared.news.subscribe();
    let view = context.shared.ledger.view();
    let first = if let Heads::Finalized = which { view.finalized } else { view.best };
    let Some(sink) = accept(pending).await else { return };
    if !send(&sink, &first.header).await {
        return;
    }
    loop {
        let announcement = tokio::select! {
            () = sink.closed() => return,
            () = context.shared.stop.cancelled() => return,
            news = news.recv() => match news {
                Ok(announcement) => announcement,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        // The first news may be older than the head that was sent already.
        if announcement.at <= view.events {
            continue;
        }
        if let Some(header) = followed(&announcement, which)
            && !send(&sink, header).await
        {
            return;
        }
    }
}

fn followed(announcement: &Announcement, which: Heads) -> Option<&Header> {
    match (&announcement.news, which) {
        (News::Imported { block, best: true }, Heads::Best)
        | (News::Imported { block, .. }, Heads::All)
        | (News::Finalized(block), Heads::Finalized) => Some(&block.header),
        _ => None,
    }
}
