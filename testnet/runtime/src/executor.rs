//! Runs the runtime in place, against a content-addressed store of trie nodes.
//!
//! The node around it keeps blocks and trie nodes; everything that touches the state goes through
//! here: building a block, judging a transaction, calling a runtime API, reading a key, each at any
//! state root the store still holds.

use crate::apis::api;
use crate::drand::{self, Pulse, RoundNumber};
use crate::genesis::CHAIN_NAME_KEY;
use crate::{
    AccountId, Executive, Genesis, GenesisError, Header, Runtime, RuntimeCall, SubtensorModule,
    UncheckedExtrinsic, spec,
};
use codec::{Decode, DecodeAll, Encode};
use sp_core::H256;
use sp_runtime::traits::{BlakeTwo256, Hash, Header as _};
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionSource, TransactionValidity, TransactionValidityError,
};
use sp_runtime::{DispatchError, StateVersion};
use sp_state_machine::backend::BackendTransaction;
use sp_state_machine::{
    Backend, Ext, InMemoryBackend, IterArgs, OverlayedChanges, TrieBackend, TrieBackendBuilder,
    TrieBackendStorage,
};
use sp_trie::DBValue;
use sp_version::RuntimeVersion;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Layout of state tries; 1 keeps long values beside the nodes.
const STATE_VERSION: StateVersion = StateVersion::V1;

/// A store of trie nodes by hash. A state stays readable for as long as the store keeps its nodes.
pub trait Nodes: Send + Sync {
    /// The node with this hash.
    ///
    /// # Errors
    /// Whatever kept the store from answering, in words.
    fn node(&self, hash: &H256) -> Result<Option<Vec<u8>>, String>;
}

/// New trie nodes by hash.
pub type NewNodes = Vec<(H256, Vec<u8>)>;

/// The runtime could not finish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionError {
    /// The runtime panicked, on bad arguments or a defect.
    #[error("{action}: the runtime panicked: {message}")]
    Panicked { action: &'static str, message: String },
    /// The store did not answer.
    #[error("reading state: {0}")]
    State(String),
}

/// What happens in a block beside its transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// A `spec_version` to put in force from the next block on.
    pub upgrade: Option<u32>,
    /// A subnet and the hotkey that becomes its owner's, as by conviction.
    pub owner: Option<(u16, AccountId)>,
    /// Rounds of the beacon that are skipped: they are never stored, and later ones are.
    pub skipped: BTreeSet<RoundNumber>,
}

impl Orders {
    /// Those that stand once a block was made.
    #[must_use]
    pub fn lasting(&self) -> Self {
        Self { skipped: self.skipped.clone(), ..Self::default() }
    }
}

/// A block that was built and not yet stored.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Its header, with roots.
    pub header: Header,
    /// Its extrinsics as they are encoded in a block, inherents first.
    pub extrinsics: Vec<Vec<u8>>,
    /// Trie nodes that its state adds.
    pub nodes: NewNodes,
    /// What became of each candidate, in the order given.
    pub outcomes: Vec<Outcome>,
}

/// What became of a transaction that was offered for a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the block; its call succeeded, or failed with this error.
    Included(Result<(), DispatchError>),
    /// Not now: the block is full, or an earlier nonce is missing.
    Deferred,
    /// Never.
    Refused(TransactionValidityError),
    /// It panicked the runtime.
    Panicked,
}

/// Adapts a store to the state machine.
struct Adapter(Arc<dyn Nodes>);

impl TrieBackendStorage<BlakeTwo256> for Adapter {
    fn get(&self, key: &H256, _prefix: (&[u8], Option<u8>)) -> Result<Option<DBValue>, String> {
        self.0.node(key)
    }
}

/// The state under one root.
pub struct Snapshot {
    backend: TrieBackend<Adapter, BlakeTwo256>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Snapshot").field("root", self.backend.root()).finish()
    }
}

impl Snapshot {
    /// The state under `root`, read from `nodes` as needed.
    pub fn new(nodes: Arc<dyn Nodes>, root: H256) -> Self {
        Self { backend: TrieBackendBuilder::new(Adapter(nodes), root).build() }
    }

    /// Value of a raw storage key.
    pub fn storage(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ExecutionError> {
        self.backend.storage(key).map_err(|error| ExecutionError::State(error.to_string()))
    }

    /// Up to `count` raw keys that begin with `prefix`, in order, after `after`.
    pub fn keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Vec<u8>>, ExecutionError> {
        let mut range = IterArgs::default();
        range.prefix = Some(prefix);
        range.start_at = after;
        range.start_at_exclusive = true;
        let keys =
            self.backend.keys(range).map_err(|error| ExecutionError::State(error.to_string()))?;
        keys.take(count)
            .collect::<Result<_, _>>()
            .map_err(|error| ExecutionError::State(error.to_string()))
    }

    /// Calls a runtime API by name; `None` where there is no such method. Changes to the state are
    /// dropped.
    ///
    /// # Errors
    /// When the arguments do not decode (the runtime panics on them) or the store does not answer.
    pub fn call(&self, method: &str, arguments: &[u8]) -> Result<Option<Vec<u8>>, ExecutionError> {
        self.run("runtime call", || api::dispatch(method, arguments))
    }

    /// Whether `transaction` could go into a block after `parent`.
    ///
    /// # Errors
    /// When the runtime panics or the store does not answer.
    pub fn validate(
        &self,
        transaction: UncheckedExtrinsic,
        parent: H256,
    ) -> Result<TransactionValidity, ExecutionError> {
        self.run("validation", || {
            Executive::validate_transaction(TransactionSource::External, transaction, parent)
        })
    }

    /// The chain's name from its genesis document.
    pub fn chain_name(&self) -> Result<String, ExecutionError> {
        let name = self.storage(CHAIN_NAME_KEY)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// The runtime's version in this state.
    pub fn version(&self) -> Result<RuntimeVersion, ExecutionError> {
        self.run("version", spec::version)
    }

    /// The time in this state, Unix milliseconds; 0 before the first block.
    pub fn timestamp(&self) -> Result<u64, ExecutionError> {
        self.run("timestamp", pallet_timestamp::Now::<Runtime>::get)
    }

    /// The newest round of the beacon whose pulse this state has; 0 where it has none.
    pub fn last_stored_round(&self) -> Result<RoundNumber, ExecutionError> {
        self.run("last stored round", drand::LastStoredRound::<Runtime>::get)
    }

    /// Runs `action` on this state and drops what it changed.
    fn run<R>(&self, name: &'static str, action: impl FnOnce() -> R) -> Result<R, ExecutionError> {
        self.run_keeping(&mut OverlayedChanges::default(), name, action)
    }

    fn run_keeping<R>(
        &self,
        changes: &mut OverlayedChanges<BlakeTwo256>,
        name: &'static str,
        action: impl FnOnce() -> R,
    ) -> Result<R, ExecutionError> {
        let mut externalities = Ext::new(changes, &self.backend, None);
        let run = || sp_externalities::set_and_run_with_externalities(&mut externalities, action);
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let message = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message")
                .to_owned();
            ExecutionError::Panicked { action: name, message }
        })
    }
}

/// The genesis header and the nodes of its state.
///
/// # Errors
/// When the document contradicts itself.
pub fn genesis_block(genesis: &Genesis) -> Result<(Header, NewNodes), GenesisError> {
    let storage = genesis.storage()?;
    let empty = InMemoryBackend::<BlakeTwo256>::default();
    let pairs = storage.top.iter().map(|(key, value)| (&key[..], Some(&value[..])));
    let (state_root, transaction) = empty.storage_root(pairs, STATE_VERSION);
    let no_extrinsics = BlakeTwo256::ordered_trie_root(Vec::new(), STATE_VERSION);
    let header =
        Header::new(0, no_extrinsics, state_root, H256::zero(), sp_runtime::Digest::default());
    Ok((header, new_nodes(transaction)))
}

/// Builds the block after `parent`, whose state `snapshot` is, at `now_ms` (Unix milliseconds,
/// later than the parent's). `pulses` follow the newest that the state has. Candidates are tried in
/// the order given and again while that lets more of them in, so nonces need no sorting.
///
/// # Errors
/// When the block itself cannot be built; a candidate that panics is left out and named in the
/// outcomes.
pub fn build_block(
    snapshot: &Snapshot,
    parent: &Header,
    now_ms: u64,
    pulses: &[Pulse],
    candidates: &[UncheckedExtrinsic],
    orders: &Orders,
) -> Result<Proposal, ExecutionError> {
    let mut barred = vec![false; candidates.len()];
    loop {
        let trying = Cell::new(None);
        let mut changes = OverlayedChanges::default();
        let built = snapshot.run_keeping(&mut changes, "block", || {
            let inherents = apply_inherents(parent, now_ms, pulses);
            let (extrinsics, outcomes) = fill_block(inherents, candidates, &barred, &trying);
            let rounds = pulses.iter().map(|pulse| pulse.round);
            for round in rounds.filter(|round| orders.skipped.contains(round)) {
                drand::Pulses::<Runtime>::remove(round);
            }
            if let Some((netuid, hotkey)) = &orders.owner {
                SubtensorModule::change_owner(*netuid, hotkey);
            }
            if let Some(spec_version) = orders.upgrade {
                spec::upgrade(spec_version);
            }
            (Executive::finalize_block(), extrinsics, outcomes)
        });
        match (built, trying.get()) {
            (Ok((header, extrinsics, outcomes)), _) => {
                let changes = changes
                    .drain_storage_changes(&snapshot.backend, STATE_VERSION)
                    .map_err(|error| ExecutionError::State(error.to_string()))?;
                return Ok(Proposal {
                    header,
                    extrinsics,
                    nodes: new_nodes(changes.transaction),
                    outcomes,
                });
            }
            // The half-built block is thrown away and built again without the one that panicked.
            (Err(_), Some(guilty)) => barred[guilty] = true,
            (Err(error), None) => return Err(error),
        }
    }
}

/// Begins the block after `parent` with what its maker says: the time, and the beacon's pulses.
/// Runs inside externalities, and returns the encoded extrinsics.
fn apply_inherents(parent: &Header, now_ms: u64, pulses: &[Pulse]) -> Vec<Vec<u8>> {
    let number = parent.number.saturating_add(1);
    let blank = Header::new(
        number,
        H256::zero(),
        H256::zero(),
        parent.hash(),
        sp_runtime::Digest::default(),
    );
    Executive::initialize_block(&blank);
    let mut calls = vec![RuntimeCall::Timestamp(pallet_timestamp::Call::set { now: now_ms })];
    if !pulses.is_empty() {
        calls.push(RuntimeCall::Drand(drand::write(number, pulses.to_vec())));
    }
    let apply = |call| {
        let inherent = UncheckedExtrinsic::new_bare(call);
        let bytes = inherent.encode();
        let applied = Executive::apply_extrinsic(inherent);
        assert!(
            matches!(applied, Ok(Ok(()))),
            "an inherent of block {number} was refused: {applied:?}"
        );
        bytes
    };
    calls.into_iter().map(apply).collect()
}

/// Runs inside externalities; `trying` names the candidate being applied.
fn fill_block(
    mut extrinsics: Vec<Vec<u8>>,
    candidates: &[UncheckedExtrinsic],
    barred: &[bool],
    trying: &Cell<Option<usize>>,
) -> (Vec<Vec<u8>>, Vec<Outcome>) {
    let mut outcomes: Vec<_> =
        barred.iter().map(|out| if *out { Outcome::Panicked } else { Outcome::Deferred }).collect();
    loop {
        let before = extrinsics.len();
        for (at, candidate) in candidates.iter().enumerate() {
            if outcomes[at] == Outcome::Deferred {
                trying.set(Some(at));
                outcomes[at] = apply(candidate.clone());
                trying.set(None);
                if let Outcome::Included(_) = outcomes[at] {
                    extrinsics.push(candidate.encode());
                }
            }
        }
        if extrinsics.len() == before {
            break;
        }
    }
    (extrinsics, outcomes)
}

fn apply(transaction: UncheckedExtrinsic) -> Outcome {
    sp_io::storage::start_transaction();
    let applied = Executive::apply_extrinsic(transaction);
    if applied.is_ok() {
        sp_io::storage::commit_transaction();
    } else {
        sp_io::storage::rollback_transaction();
    }
    match applied {
        Ok(dispatched) => Outcome::Included(dispatched),
        Err(TransactionValidityError::Invalid(
            InvalidTransaction::Future | InvalidTransaction::ExhaustsResources,
        )) => Outcome::Deferred,
        Err(error) => Outcome::Refused(error),
    }
}

fn new_nodes(mut transaction: BackendTransaction<BlakeTwo256>) -> NewNodes {
    let nodes = transaction.drain().into_values().filter(|(_, references)| *references > 0);
    nodes.map(|(node, _)| (BlakeTwo256::hash(&node), node)).collect()
}

/// Decodes a transaction as it arrives over RPC: the whole input, nothing after it.
///
/// # Errors
/// When the bytes are no transaction of this runtime.
pub fn decode_transaction(bytes: &[u8]) -> Result<UncheckedExtrinsic, codec::Error> {
    let mut input = bytes;
    // The outer length is what bounds the call inside.
    let transaction = UncheckedExtrinsic::decode(&mut input)?;
    <()>::decode_all(&mut input)?;
    Ok(transaction)
}
