//! Values of storage at one block, one by one or several in one request.

use std::collections::{HashMap, HashSet};

use subxt::client::OnlineClientAtBlock;
use subxt::config::RpcConfigFor;
use subxt::config::substrate::SubstrateConfig;
use subxt::ext::frame_decode::storage::{IntoDecodableValues, IntoEncodableValues};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::rpcs::methods::legacy::LegacyRpcMethods;
use subxt::utils::H256;

use super::entries::Entry;
use crate::error::{ChainError, Result, limited, read_error};

/// Calls that subxt does not wrap.
pub(crate) type Rpc = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// Reads single values of storage at one block. An entry that this release of the chain does not
/// have is `None`.
pub(crate) struct Values<'a> {
    client: &'a OnlineClientAtBlock<SubstrateConfig>,
    what: &'static str,
}

impl<'a> Values<'a> {
    pub(crate) const fn new(
        client: &'a OnlineClientAtBlock<SubstrateConfig>,
        what: &'static str,
    ) -> Self {
        Self { client, what }
    }

    /// A value under `keys`, its default where nothing is stored.
    pub(crate) async fn get<K, V>(&self, entry: Entry<K, V>, keys: K) -> Result<Option<V>>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
    {
        if entry.value_type(self.client.metadata_ref()).is_none() {
            return Ok(None);
        }
        let entry = self
            .client
            .storage()
            .entry(entry.address())
            .map_err(|error| read_error(self.what, &error))?;
        let stored =
            limited(self.what, entry.try_fetch(keys)).await?.or_else(|| entry.default_value());
        stored
            .map(|value| value.decode())
            .transpose()
            .map_err(|error| read_error(self.what, &error))
    }

    /// A value that the chain must have.
    pub(crate) async fn need<K, V>(&self, entry: Entry<K, V>, keys: K) -> Result<V>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
    {
        let (pallet, name) = (entry.pallet, entry.name);
        let missing = || ChainError::Read {
            what: self.what,
            reason: format!("no {pallet}.{name} on this chain"),
        };
        self.get(entry, keys).await?.ok_or_else(missing)
    }
}

/// Values that are asked for together.
pub(crate) struct Batch<'a> {
    client: &'a OnlineClientAtBlock<SubstrateConfig>,
    what: &'static str,
    keys: Vec<Vec<u8>>,
}

/// One of them.
pub(crate) struct Asked<K, V> {
    entry: Entry<K, V>,
    /// `None` where this release of the chain has no such entry.
    key: Option<Vec<u8>>,
    /// The value of an entry where nothing is stored.
    default: Option<V>,
}

/// Their answers.
pub(crate) struct Answers<'a> {
    client: &'a OnlineClientAtBlock<SubstrateConfig>,
    what: &'static str,
    values: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Batch<'a> {
    pub(crate) const fn new(
        client: &'a OnlineClientAtBlock<SubstrateConfig>,
        what: &'static str,
    ) -> Self {
        Self { client, what, keys: Vec::new() }
    }

    /// Adds a value. An entry that this release of the chain does not have is not asked for.
    pub(crate) fn ask<K, V>(&mut self, entry: Entry<K, V>, keys: K) -> Result<Asked<K, V>>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
    {
        if entry.value_type(self.client.metadata_ref()).is_none() {
            return Ok(Asked { entry, key: None, default: None });
        }
        let failed = |error: &dyn std::error::Error| read_error(self.what, error);
        let storage = self.client.storage();
        let stored = storage.entry(entry.address()).map_err(|error| failed(&error))?;
        let key = stored.fetch_key(keys).map_err(|error| failed(&error))?;
        let default = stored
            .default_value()
            .map(|value| value.decode())
            .transpose()
            .map_err(|error| failed(&error))?;
        self.keys.push(key.clone());
        Ok(Asked { entry, key: Some(key), default })
    }

    /// Asks for all of them at the block with this hash.
    pub(crate) async fn fetch(self, rpc: &Rpc, hash: H256) -> Result<Answers<'a>> {
        let Self { client, what, keys } = self;
        let asked = rpc.state_query_storage_at(keys.iter().map(Vec::as_slice), Some(hash));
        let changes = limited(what, asked).await?.into_iter().flat_map(|answer| answer.changes);
        let (mut values, mut answered) = (HashMap::new(), HashSet::new());
        for (key, value) in changes {
            answered.insert(key.0.clone());
            if let Some(value) = value {
                values.insert(key.0, value.0);
            }
        }
        if keys.iter().any(|key| !answered.contains(key)) {
            let reason = "the node left some of the values out".to_owned();
            return Err(ChainError::Read { what, reason });
        }
        Ok(Answers { client, what, values })
    }
}

impl Answers<'_> {
    /// A value, its default where nothing is stored.
    pub(crate) fn get<K, V>(&self, asked: Asked<K, V>) -> Result<Option<V>>
    where
        K: IntoEncodableValues,
        V: DecodeAsType,
    {
        let Some(bytes) = asked.key.as_ref().and_then(|key| self.values.get(key)) else {
            return Ok(asked.default);
        };
        let decoded = asked.entry.decode(self.client.metadata_ref(), bytes);
        decoded.map(Some).map_err(|reason| ChainError::Read { what: self.what, reason })
    }

    /// A value that the chain must have.
    pub(crate) fn need<K, V>(&self, asked: Asked<K, V>) -> Result<V>
    where
        K: IntoEncodableValues,
        V: DecodeAsType,
    {
        let (pallet, name) = (asked.entry.pallet, asked.entry.name);
        let reason = || format!("no {pallet}.{name} on this chain");
        self.get(asked)?.ok_or_else(|| ChainError::Read { what: self.what, reason: reason() })
    }
}
