//! The version in force. It lies in the state, so that a running chain can be upgraded as a live
//! one is: clients see another `spec_version` and other metadata (the constant `System.Version`)
//! from one block on, old blocks keep theirs, and transactions signed for the old version are
//! refused.

use crate::{System, VERSION};
use codec::{DecodeAll, Encode};
use frame_support::storage::unhashed;
use sp_runtime::DigestItem;
use sp_version::RuntimeVersion;

/// Raw storage key of the `spec_version` in force; absent on a chain that was never upgraded.
const SPEC_VERSION_KEY: &[u8] = b":leoma:spec_version";

/// The version of the state at hand, or the one this crate was built as where there is no state.
#[must_use]
pub fn version() -> RuntimeVersion {
    let stored =
        sp_externalities::with_externalities(|state| state.storage(SPEC_VERSION_KEY)).flatten();
    let spec_version = stored
        .and_then(|bytes| u32::decode_all(&mut &bytes[..]).ok())
        .unwrap_or(VERSION.spec_version);
    RuntimeVersion { spec_version, ..VERSION }
}

/// Puts another version in force after the block being built, and says so in its digest.
pub(crate) fn upgrade(spec_version: u32) {
    unhashed::put_raw(SPEC_VERSION_KEY, &spec_version.encode());
    System::deposit_log(DigestItem::RuntimeEnvironmentUpdated);
}
