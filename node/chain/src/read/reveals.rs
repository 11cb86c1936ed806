//! The commitments that were timelocked and have been revealed.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use leoma_protocol::{Hotkey, Netuid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::SubstrateConfig;
use subxt::utils::H256;

use super::entries::{self, Reveals};
use super::values::Rpc;
use crate::error::{ChainError, Result, causes, limited};

/// Values that are asked for in one request: ten reveals of a kilobyte each, in hex, stay below the
/// largest answer.
const VALUES_AT_ONCE: usize = 256;
/// Requests that are open at the same time: with the largest subnet there are sixty, and their
/// answers need not all be in memory twice.
const REQUESTS_AT_ONCE: usize = 4;
const WHAT: &str = "revealed commitments";

/// The reveals of each of `hotkeys` that has any.
pub(super) async fn read(
    rpc: &Rpc,
    client: &OnlineClientAtBlock<SubstrateConfig>,
    netuid: Netuid,
    hash: H256,
    hotkeys: impl Iterator<Item = Hotkey>,
) -> Result<BTreeMap<Hotkey, Reveals>> {
    let unreadable = |reason: String| ChainError::Read { what: WHAT, reason };
    let keyed = {
        let entry = client
            .storage()
            .entry(entries::REVEALED_COMMITMENTS.address())
            .map_err(|error| unreadable(causes(&error)))?;
        let keyed = |hotkey: Hotkey| {
            let key = entry.fetch_key((netuid.0, *hotkey.as_bytes()));
            key.map(|key| (key, hotkey)).map_err(|error| unreadable(causes(&error)))
        };
        hotkeys.map(keyed).collect::<Result<HashMap<Vec<u8>, Hotkey>>>()?
    };
    if keyed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut keys: Vec<&[u8]> = keyed.keys().map(Vec::as_slice).collect();
    keys.sort_unstable();
    let asked: Vec<_> = keys
        .chunks(VALUES_AT_ONCE)
        .map(|keys| limited(WHAT, rpc.state_query_storage_at(keys.iter().copied(), Some(hash))))
        .collect();
    let mut answers = stream::iter(asked).buffered(REQUESTS_AT_ONCE);
    let mut found = BTreeMap::new();
    let mut answered = HashSet::new();
    while let Some(answer) = answers.try_next().await? {
        for (key, value) in answer.into_iter().flat_map(|answer| answer.changes) {
            // Ignore keys that were not requested.
            let Some(hotkey) = keyed.get(&key.0) else { continue };
            answered.insert(*hotkey);
            if let Some(value) = value {
                let decoded = entries::REVEALED_COMMITMENTS.decode(client.metadata_ref(), &value.0);
                found.insert(*hotkey, decoded.map_err(unreadable)?);
            }
        }
    }
    if answered.len() != keyed.len() {
        return Err(unreadable("the node left some of the accounts out".to_owned()));
    }
    Ok(found)
}
