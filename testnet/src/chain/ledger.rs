//! Blocks by number and hash, and the state at each of them, over the journal.

use super::error::ChainError;
use super::journal::{Journal, MAX_RECORD, Place, Reader};
use codec::{Compact, Decode, DecodeAll, Encode};
use node_subtensor_runtime::executor::{self, NewNodes, Nodes, Proposal, Snapshot};
use node_subtensor_runtime::{Genesis, Header};
use parking_lot::{Mutex, RwLock};
use sp_core::H256;
use sp_runtime::traits::Header as _;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Name of the journal in the chain's folder.
pub(super) const JOURNAL: &str = "chain.journal";

/// A block as it is kept in memory.
#[derive(Debug, Clone)]
pub(super) struct StoredBlock {
    pub(super) hash: H256,
    pub(super) header: Header,
    body: Place,
}

/// The chain: every block since genesis and every state.
#[derive(Debug)]
pub(super) struct Ledger {
    index: Arc<Index>,
    /// Held while a block is appended, so that the file and the index agree.
    journal: Mutex<Journal>,
}

/// What is where in the journal.
#[derive(Debug)]
struct Index {
    reader: Reader,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By number.
    blocks: Vec<StoredBlock>,
    numbers: HashMap<H256, u32>,
    nodes: HashMap<H256, Place>,
}

impl Nodes for Index {
    fn node(&self, hash: &H256) -> Result<Option<Vec<u8>>, String> {
        let Some(place) = self.entries.read().nodes.get(hash).copied() else { return Ok(None) };
        self.reader.read(place).map(Some).map_err(|error| format!("trie node {hash:?}: {error}"))
    }
}

impl Ledger {
    /// Opens the chain in `folder`, or begins it from `genesis` where there is none.
    pub(super) fn open(folder: &Path, genesis: Option<&Genesis>) -> Result<Self, ChainError> {
        std::fs::create_dir_all(folder).map_err(ChainError::file("creating", folder))?;
        let mut entries = Entries::default();
        let mut journal = Journal::open(&folder.join(JOURNAL), |offset, bytes| entries.add(offset, bytes))?;
        let given = genesis.map(executor::genesis_block).transpose()?;
        match (entries.blocks.first(), given) {
            (Some(stored), Some((header, _))) if stored.hash != header.hash() => {
                let (path, stored, given) = (folder.to_owned(), stored.hash, header.hash());
                return Err(ChainError::OtherGenesis { path, stored, given });
            }
            (Some(_), _) => {}
            (None, Some((header, nodes))) => {
                let record = encode_record(&header, &[], &nodes)?;
                let offset = journal.append(&record)?;
                journal.sync()?;
                let path = folder.join(JOURNAL);
                entries.add(offset, &record).map_err(|reason| ChainError::Damaged { path, offset, reason })?;
            }
            (None, None) => return Err(ChainError::NoGenesis { path: folder.to_owned() }),
        }
        let index = Arc::new(Index { reader: journal.reader()?, entries: RwLock::new(entries) });
        Ok(Self { index, journal: Mutex::new(journal) })
    }

    /// Appends a block; its parent must be the best block.
    pub(super) fn append(&self, proposal: &Proposal) -> Result<StoredBlock, ChainError> {
        let record = encode_record(&proposal.header, &proposal.extrinsics, &proposal.nodes)?;
        let mut journal = self.journal.lock();
        let offset = journal.append(&record)?;
        let mut entries = self.index.entries.write();
        let path = Path::new(JOURNAL);
        entries.add(offset, &record).map_err(|reason| ChainError::Damaged { path: path.to_owned(), offset, reason })?;
        Ok(entries.best())
    }

    /// Flushes to the disk.
    pub(super) fn sync(&self) -> Result<(), ChainError> {
        self.journal.lock().sync()
    }

    /// The newest block.
    pub(super) fn best(&self) -> StoredBlock {
        self.index.entries.read().best()
    }

    /// The block with this number.
    pub(super) fn by_number(&self, number: u32) -> Option<StoredBlock> {
        self.index.entries.read().blocks.get(number as usize).cloned()
    }

    /// The block with this hash.
    pub(super) fn by_hash(&self, hash: &H256) -> Option<StoredBlock> {
        let entries = self.index.entries.read();
        entries.numbers.get(hash).and_then(|number| entries.blocks.get(*number as usize)).cloned()
    }

    /// The encoded extrinsics of a block.
    pub(super) fn body(&self, block: &StoredBlock) -> std::io::Result<Vec<Vec<u8>>> {
        let bytes = self.index.reader.read(block.body)?;
        Vec::decode_all(&mut &bytes[..]).map_err(std::io::Error::other)
    }

    /// The state after a block.
    pub(super) fn state(&self, block: &StoredBlock) -> Snapshot {
        Snapshot::new(Arc::clone(&self.index) as Arc<dyn Nodes>, *block.header.state_root())
    }
}

impl Entries {
    /// Only called once genesis is in.
    fn best(&self) -> StoredBlock {
        #[expect(clippy::expect_used, reason = "Ledger::open returns only with a genesis block")]
        self.blocks.last().cloned().expect("a ledger has a genesis block")
    }

    /// Notes what a record holds; `offset` is where its bytes begin.
    fn add(&mut self, offset: u64, record: &[u8]) -> Result<(), &'static str> {
        let mut rest = record;
        let at = |rest: &[u8]| offset + (record.len() - rest.len()) as u64;
        let header = Header::decode(&mut rest).map_err(|_| "a block header does not decode")?;
        let body = at(rest);
        Vec::<Vec<u8>>::decode(&mut rest).map_err(|_| "a block body does not decode")?;
        let body = Place { offset: body, len: (at(rest) - body) as u32 };
        let parent = self.blocks.last();
        let follows = parent.map_or(header.number == 0, |parent| {
            header.parent_hash == parent.hash && header.number == parent.header.number + 1
        });
        if !follows {
            return Err("a block does not follow the one before it");
        }
        let Compact(count) =
            Compact::<u32>::decode(&mut rest).map_err(|_| "the number of trie nodes does not decode")?;
        for _ in 0..count {
            let hash = H256::decode(&mut rest).map_err(|_| "a trie node's hash does not decode")?;
            let Compact(len) = Compact::<u32>::decode(&mut rest).map_err(|_| "a trie node's length does not decode")?;
            let place = Place { offset: at(rest), len };
            rest = rest.get(len as usize..).ok_or("a trie node is longer than its record")?;
            self.nodes.entry(hash).or_insert(place);
        }
        let hash = header.hash();
        self.numbers.insert(hash, header.number);
        self.blocks.push(StoredBlock { hash, header, body });
        Ok(())
    }
}

fn encode_record(header: &Header, body: &[Vec<u8>], nodes: &NewNodes) -> Result<Vec<u8>, ChainError> {
    let record = (header, body, nodes).encode();
    if record.len() > MAX_RECORD {
        return Err(ChainError::BlockTooLarge { number: header.number, bytes: record.len(), limit: MAX_RECORD });
    }
    Ok(record)
}
