//! Blocks by number and hash, and the state at each of them, over the journal.

use super::entries::{Change, Entries, StoredBlock};
use super::error::ChainError;
use super::journal::{Journal, Reader};
use super::records::{encode_best, encode_block, encode_finalized};
use codec::DecodeAll;
use node_subtensor_runtime::executor::{self, Nodes, Proposal, Snapshot};
use node_subtensor_runtime::{Genesis, Header};
use parking_lot::{Mutex, RwLock};
use sp_core::H256;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the journal in the chain's folder.
pub(super) const JOURNAL: &str = "chain.journal";

/// The chain: every block since genesis, and the states that are kept.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) index: Arc<Index>,
    /// Held while a record is appended, so that the file and the index agree.
    journal: Mutex<Journal>,
    path: PathBuf,
}

/// What is where in the journal.
#[derive(Debug)]
pub(super) struct Index {
    reader: Reader,
    pub(super) entries: RwLock<Entries>,
}

/// Both heads at one moment.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) best: StoredBlock,
    pub(super) finalized: StoredBlock,
    /// Records until then.
    pub(super) events: u64,
}

impl Nodes for Index {
    fn node(&self, hash: &H256) -> Result<Option<Vec<u8>>, String> {
        let Some(node) = self.entries.read().nodes.get(hash).copied() else { return Ok(None) };
        self.reader
            .read(node.place)
            .map(Some)
            .map_err(|error| format!("trie node {hash:?}: {error}"))
    }
}

impl Ledger {
    /// Opens the chain in `folder`, or begins it from `genesis` where there is none.
    pub(super) fn open(folder: &Path, genesis: Option<&Genesis>) -> Result<Self, ChainError> {
        std::fs::create_dir_all(folder).map_err(ChainError::file("creating", folder))?;
        let path = folder.join(JOURNAL);
        let mut entries = Entries::default();
        let mut journal =
            Journal::open(&path, |offset, bytes| entries.add(offset, bytes).map(|_| ()))?;
        let given = genesis.map(executor::genesis_block).transpose()?;
        match (entries.chain.first().copied(), given) {
            (Some(stored), Some((header, _))) if stored != header.hash() => {
                return Err(ChainError::OtherGenesis {
                    path: folder.to_owned(),
                    stored,
                    given: header.hash(),
                });
            }
            (Some(_), _) => {}
            (None, Some((header, nodes))) => {
                let genesis =
                    Proposal { header, extrinsics: Vec::new(), nodes, outcomes: Vec::new() };
                let record = encode_block(&genesis, 0)?;
                let offset = journal.append(&record)?;
                journal.sync()?;
                entries.add(offset, &record).map_err(damaged(&path, offset))?;
            }
            (None, None) => return Err(ChainError::NoGenesis { path: folder.to_owned() }),
        }
        let index = Arc::new(Index { reader: journal.reader()?, entries: RwLock::new(entries) });
        Ok(Self { index, journal: Mutex::new(journal), path })
    }

    /// Appends a block. On the best block it becomes the best block, and the chain is final up to
    /// `finalized`; elsewhere it waits on its fork. Returns what changed and the number of this
    /// event.
    pub(super) fn append(
        &self,
        proposal: &Proposal,
        finalized: u32,
    ) -> Result<(StoredBlock, Change, u64), ChainError> {
        let record = encode_block(proposal, finalized)?;
        let hash = proposal.header.hash();
        let (change, events) = self.record(&record)?;
        let entries = self.index.entries.read();
        #[expect(
            clippy::expect_used,
            reason = "the record was just taken in, and only finality takes a block out again"
        )]
        let block = entries.recent.get(&hash).expect("a block that was appended is known").clone();
        Ok((block, change, events))
    }

    /// Makes the fork that ends in `hash` the best chain.
    pub(super) fn choose(&self, hash: H256) -> Result<(Change, u64), ChainError> {
        self.record(&encode_best(hash))
    }

    /// Makes the best chain final up to `number`.
    pub(super) fn finalize(&self, number: u32) -> Result<(Change, u64), ChainError> {
        self.record(&encode_finalized(number))
    }

    fn record(&self, record: &[u8]) -> Result<(Change, u64), ChainError> {
        let mut journal = self.journal.lock();
        let offset = journal.append(record)?;
        let mut entries = self.index.entries.write();
        let change = entries.add(offset, record).map_err(damaged(&self.path, offset))?;
        Ok((change, entries.events))
    }

    /// The journal's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes to the disk.
    pub(super) fn sync(&self) -> Result<(), ChainError> {
        self.journal.lock().sync()
    }

    /// The newest block of the best chain.
    pub(super) fn best(&self) -> StoredBlock {
        self.index.entries.read().best().clone()
    }

    /// Both heads, as of the same moment.
    pub(super) fn view(&self) -> View {
        let entries = self.index.entries.read();
        View {
            best: entries.best().clone(),
            finalized: entries.finalized().clone(),
            events: entries.events,
        }
    }

    /// Hash of the block with this number on the best chain.
    pub(super) fn hash(&self, number: u32) -> Option<H256> {
        self.index.entries.read().chain.get(number as usize).copied()
    }

    /// The block with this hash, on whichever fork.
    pub(super) fn by_hash(&self, hash: &H256) -> std::io::Result<Option<StoredBlock>> {
        let slot = {
            let entries = self.index.entries.read();
            if let Some(block) = entries.recent.get(hash) {
                return Ok(Some(block.clone()));
            }
            match entries.slots.get(hash) {
                Some(slot) => *slot,
                None => return Ok(None),
            }
        };
        let bytes = self.index.reader.read(slot.header)?;
        let header = Header::decode_all(&mut &bytes[..]).map_err(std::io::Error::other)?;
        Ok(Some(StoredBlock { hash: *hash, header, body: slot.body }))
    }

    /// The encoded extrinsics of a block.
    pub(super) fn body(&self, block: &StoredBlock) -> std::io::Result<Vec<Vec<u8>>> {
        let bytes = self.index.reader.read(block.body)?;
        Vec::decode_all(&mut &bytes[..]).map_err(std::io::Error::other)
    }

    /// The state after a block. Where it is not kept any more, reading from it fails.
    pub(super) fn state(&self, block: &StoredBlock) -> Snapshot {
        Snapshot::new(Arc::clone(&self.index) as Arc<dyn Nodes>, block.header.state_root)
    }

    /// Whether the state after a block is kept.
    pub(super) fn keeps(&self, block: &StoredBlock) -> bool {
        self.index.entries.read().keeps(block)
    }
}

fn damaged(path: &Path, offset: u64) -> impl FnOnce(&'static str) -> ChainError {
    let path = path.to_owned();
    move |reason| ChainError::Damaged { path, offset, reason }
}
