//! The version in force. It lies in the state, so that a running chain can be upgraded as a live
//! one is: clients see another `spec_version` and other metadata (the constant `System.Version`)
//! from one block on, old blocks keep theirs, and transactions signed for the old version are
//! refused.

use crate::apis::RUNTIME_API_VERSIONS;
use crate::{System, Version};
use codec::{DecodeAll, Encode};
use frame_support::storage::unhashed;
use frame_support::traits::Get;
use sp_runtime::DigestItem;
use sp_version::RuntimeVersion;
use std::borrow::Cow;

/// The version this crate is built as; [`version`] is the one in force. `spec_version` rises with
/// every change to calls, storage or types: clients cache metadata by it.
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: Cow::Borrowed("node-subtensor"),
    impl_name: Cow::Borrowed("node-subtensor"),
    authoring_version: 1,
    spec_version: 426,
    impl_version: 1,
    apis: RUNTIME_API_VERSIONS,
    transaction_version: 1,
    system_version: 1,
};

/// Raw storage key of the `spec_version` in force; absent on a chain that was never upgraded.
const SPEC_VERSION_KEY: &[u8] = b":leoma:spec_version";

/// The version of the state at hand, or the one this crate was built as where there is no state.
pub fn version() -> RuntimeVersion {
    let stored =
        sp_externalities::with_externalities(|state| state.storage(SPEC_VERSION_KEY)).flatten();
    let spec_version = stored
        .and_then(|bytes| u32::decode_all(&mut &bytes[..]).ok())
        .unwrap_or(VERSION.spec_version);
    RuntimeVersion { spec_version, ..VERSION }
}

impl Get<RuntimeVersion> for Version {
    fn get() -> RuntimeVersion {
        version()
    }
}

/// Puts another version in force after the block being built, and says so in its digest.
pub(crate) fn upgrade(spec_version: u32) {
    unhashed::put_raw(SPEC_VERSION_KEY, &spec_version.encode());
    System::deposit_log(DigestItem::RuntimeEnvironmentUpdated);
}
