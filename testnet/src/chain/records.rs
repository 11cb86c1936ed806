//! What a record of the journal says: a block with the trie nodes its state adds, another best
//! block, or finality.

use super::error::ChainError;
use super::journal::{MAX_RECORD, Place};
use codec::{Compact, Decode, DecodeAll, Encode};
use node_subtensor_runtime::Header;
use node_subtensor_runtime::executor::Proposal;
use sp_core::H256;

/// First byte of a record. Journals without it began with genesis, whose header begins with zeros.
const BLOCK: u8 = 1;
const BEST: u8 = 2;
const FINALIZED: u8 = 3;

/// One record, with the places of what is read again later.
#[derive(Debug)]
pub(super) enum Record {
    Block(BlockRecord),
    /// The fork that ends in this block is the best chain from now on.
    Best(H256),
    /// The best chain is final up to this number.
    Finalized(u32),
}

#[derive(Debug)]
pub(super) struct BlockRecord {
    pub(super) header: Header,
    pub(super) header_place: Place,
    pub(super) body: Place,
    /// What is final once this block is in.
    pub(super) finalized: u32,
    pub(super) nodes: Vec<(H256, Place)>,
}

impl Record {
    /// Reads the record whose bytes begin at `offset`.
    pub(super) fn decode(offset: u64, bytes: &[u8]) -> Result<Self, &'static str> {
        let (kind, rest) = bytes.split_first().ok_or("a record is empty")?;
        match *kind {
            BLOCK => decode_block(offset + 1, rest).map(Self::Block),
            BEST => H256::decode_all(&mut &rest[..])
                .map(Self::Best)
                .map_err(|_| "a best block's hash does not decode"),
            FINALIZED => u32::decode_all(&mut &rest[..])
                .map(Self::Finalized)
                .map_err(|_| "a finalized number does not decode"),
            _ => Err("a record is of no known kind; folders of older versions cannot be read"),
        }
    }
}

fn decode_block(offset: u64, bytes: &[u8]) -> Result<BlockRecord, &'static str> {
    let mut rest = bytes;
    let at = |rest: &[u8]| offset + (bytes.len() - rest.len()) as u64;
    let finalized = u32::decode(&mut rest).map_err(|_| "a finalized number does not decode")?;
    let header_at = at(rest);
    let header = Header::decode(&mut rest).map_err(|_| "a block header does not decode")?;
    let header_place = Place { offset: header_at, len: (at(rest) - header_at) as u32 };
    let body_at = at(rest);
    Vec::<Vec<u8>>::decode(&mut rest).map_err(|_| "a block body does not decode")?;
    let body = Place { offset: body_at, len: (at(rest) - body_at) as u32 };
    let Compact(count) = Compact::<u32>::decode(&mut rest)
        .map_err(|_| "the number of trie nodes does not decode")?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        let hash = H256::decode(&mut rest).map_err(|_| "a trie node's hash does not decode")?;
        let Compact(len) = Compact::<u32>::decode(&mut rest)
            .map_err(|_| "a trie node's length does not decode")?;
        let place = Place { offset: at(rest), len };
        rest = rest.get(len as usize..).ok_or("a trie node is longer than its record")?;
        nodes.push((hash, place));
    }
    Ok(BlockRecord { header, header_place, body, finalized, nodes })
}

/// A block, and what is final once it is in.
pub(super) fn encode_block(proposal: &Proposal, finalized: u32) -> Result<Vec<u8>, ChainError> {
    let record =
        (BLOCK, finalized, &proposal.header, &proposal.extrinsics, &proposal.nodes).encode();
    if record.len() > MAX_RECORD {
        let (number, bytes) = (proposal.header.number, record.len());
        return Err(ChainError::BlockTooLarge { number, bytes, limit: MAX_RECORD });
    }
    Ok(record)
}

/// Another best block.
pub(super) fn encode_best(hash: H256) -> Vec<u8> {
    (BEST, hash).encode()
}

/// More finality.
pub(super) fn encode_finalized(number: u32) -> Vec<u8> {
    (FINALIZED, number).encode()
}
