//! Single values of storage at one block.

use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::SubstrateConfig;
use subxt::ext::frame_decode::storage::{IntoDecodableValues, IntoEncodableValues};
use subxt::ext::scale_decode::DecodeAsType;

use super::entries::Entry;
use crate::error::{ChainError, Result, limited, read_error};

/// Reads single values of storage at one block. An entry that this release of the chain does not have
/// is `None`.
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
