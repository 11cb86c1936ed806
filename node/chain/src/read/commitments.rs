//! Commitments as the chain stores them.
//!
//! In the open, as SCALE `Registration { deposit: u64, block: u32, info: { fields: Vec<Data> } }`.
//! `Data`'s leading byte carries its kind: 0 nothing, 1 to 129 raw bytes of length 0 to 128, 130 to
//! 133 a hash, 134 timelocked, 135 a flag, 136 raw bytes of up to 512, 137 a timelocked field whose
//! reveal failed. Once a timelocked field is revealed, its text moves to a list of reveals.
//!
//! A hotkey may have both. The newer one counts, by block: [`Stored::newest`].

use codec::{Compact, Decode as _};
use leoma_protocol::BlockNumber;

/// The start of a commitment in which a validator states which files it holds. It is not a miner's.
pub(crate) const WITNESS_PREFIX: &[u8] = b"leoma:witness:";
/// Most fields of a commitment, as the pallet bounds them; more is malformed.
const MAX_FIELDS: u32 = 3;
/// Longest text of a `BigRaw` field.
const MAX_BIG_RAW: usize = 512;
const RAW_0: u8 = 1;
const RAW_128: u8 = 129;
const TIMELOCKED: u8 = 134;
const FLAG: u8 = 135;
const BIG_RAW: u8 = 136;
const REVEAL_FAILED: u8 = 137;

/// A hotkey's newest commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Its text; lossy where it is not UTF-8, in which case it is not valid anyway.
    pub text: String,
    /// The block it was made or revealed at; a miner's counts from its newest commitment of any
    /// kind.
    pub block: BlockNumber,
    /// How many commitments of this hotkey count towards the limit: its reveals, and one more where
    /// the newest is in the open.
    pub count: usize,
}

/// A commitment in the open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainCommitment {
    /// The block it was made at.
    pub block: BlockNumber,
    /// The bytes of its fields, one after the other.
    pub bytes: Vec<u8>,
}

/// Why stored bytes cannot be read as a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentDecodeError {
    /// Fewer bytes than the form needs.
    #[error("truncated")]
    Truncated,
    /// More fields than the pallet allows.
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// A timelocked field whose round has not come.
    #[error("it is timelocked and not revealed yet")]
    NotRevealed,
    /// A timelocked field that the chain could not decrypt.
    #[error("the chain could not decrypt it when its reveal was due")]
    RevealFailed,
    /// A field without readable text.
    #[error("a field of kind {0} holds no readable text")]
    Unreadable(u8),
    /// A validator's witness, where another commitment is asked for.
    #[error("a validator's witness has replaced it")]
    Witness,
}

/// A newest commitment that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnreadableCommitment {
    /// The block it was made at, 0 where not even that can be read.
    pub block: BlockNumber,
    /// Why it cannot.
    pub reason: CommitmentDecodeError,
}

/// A `Registration`: when it was made, as far as that can be read, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) block: Option<BlockNumber>,
    pub(crate) content: Result<Vec<u8>, CommitmentDecodeError>,
}

impl Registration {
    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let input = &mut bytes;
        let block = u64::decode(input).and_then(|_deposit| u32::decode(input)).ok();
        let content = match block {
            Some(_) => read_fields(input),
            None => Err(CommitmentDecodeError::Truncated),
        };
        Self { block: block.map(|block| BlockNumber(block.into())), content }
    }

    /// What it says in the open; `None` where it cannot be read.
    pub(crate) fn plain(&self) -> Option<PlainCommitment> {
        let bytes = self.content.as_ref().ok()?.clone();
        Some(PlainCommitment { block: self.block?, bytes })
    }
}

/// The bytes of all fields of a `CommitmentInfo`. One field that holds no text makes the whole
/// commitment unreadable: the other fields are not a commitment by themselves.
fn read_fields(input: &mut &[u8]) -> Result<Vec<u8>, CommitmentDecodeError> {
    use CommitmentDecodeError::{NotRevealed, RevealFailed, TooManyFields, Truncated, Unreadable};
    let Compact(fields) = Compact::<u32>::decode(input).map_err(|_| Truncated)?;
    if fields > MAX_FIELDS {
        return Err(TooManyFields);
    }
    let mut text = Vec::new();
    for _ in 0..fields {
        let kind = u8::decode(input).map_err(|_| Truncated)?;
        let length = match kind {
            0 | FLAG => 0,
            RAW_0..=RAW_128 => usize::from(kind - RAW_0),
            BIG_RAW => {
                let Compact(length) = Compact::<u32>::decode(input).map_err(|_| Truncated)?;
                usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= MAX_BIG_RAW)
                    .ok_or(Truncated)?
            }
            TIMELOCKED => return Err(NotRevealed),
            REVEAL_FAILED => return Err(RevealFailed),
            _ => return Err(Unreadable(kind)),
        };
        let (raw, rest) = input.split_at_checked(length).ok_or(Truncated)?;
        text.extend_from_slice(raw);
        *input = rest;
    }
    Ok(text)
}

/// Reads a `Registration`.
///
/// # Errors
/// [`CommitmentDecodeError`]; a timelocked commitment is unreadable until it is revealed.
pub fn decode_registration(bytes: &[u8]) -> Result<PlainCommitment, CommitmentDecodeError> {
    let Registration { block, content } = Registration::decode(bytes);
    let block = block.ok_or(CommitmentDecodeError::Truncated)?;
    content.map(|bytes| PlainCommitment { block, bytes })
}

/// All that the chain stores of one hotkey's commitments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) registration: Option<&'a Registration>,
    /// Text and block of each, as stored.
    pub(crate) reveals: &'a [(Vec<u8>, u64)],
}

impl Stored<'_> {
    /// The newest commitment, by block; one in the open is newer than a reveal of the same block,
    /// as the chain reveals at a block's beginning. One that cannot be read hides those before it,
    /// except while it only waits for its reveal. A validator's witness is passed over.
    ///
    /// Returns `None` where there is none.
    pub(crate) fn newest(&self) -> Option<Result<Commitment, UnreadableCommitment>> {
        let reveal = self.reveals.iter().max_by_key(|(_, block)| *block);
        let revealed_at = reveal.map(|(_, block)| BlockNumber(*block));
        if let Some(Registration { block, content }) = self.registration {
            let is_newest = block.is_none_or(|block| Some(block) >= revealed_at);
            match content {
                Ok(bytes) if is_newest && !bytes.starts_with(WITNESS_PREFIX) => {
                    return Some(Ok(Commitment {
                        text: text_of(bytes),
                        block: block.unwrap_or_default(),
                        count: self.reveals.len() + 1,
                    }));
                }
                Err(CommitmentDecodeError::NotRevealed) if reveal.is_some() => {}
                Err(reason) if is_newest => {
                    let block = block.unwrap_or_default();
                    return Some(Err(UnreadableCommitment { block, reason: *reason }));
                }
                Ok(_) | Err(_) => {}
            }
        }
        let (text, block) = reveal?;
        let text = without_length(text);
        (!text.starts_with(WITNESS_PREFIX)).then(|| {
            Ok(Commitment {
                text: text_of(text),
                block: BlockNumber(*block),
                count: self.reveals.len(),
            })
        })
    }

    /// The newest commitment of the subnet's owner, which names the validators. One that waits for
    /// its reveal cannot be read, whatever was revealed before: it may have replaced an open one
    /// that running validators have taken and that those which start now cannot see any more. A
    /// witness that is newer than every reveal may have done the same.
    pub(crate) fn newest_of_owner(&self) -> Option<Result<Commitment, UnreadableCommitment>> {
        use CommitmentDecodeError::{NotRevealed, Witness};
        let Some(Registration { block, content }) = self.registration else {
            return self.newest();
        };
        let revealed_at = self.reveals.iter().map(|(_, block)| BlockNumber(*block)).max();
        let reason = match content {
            Err(NotRevealed) => NotRevealed,
            Ok(bytes)
                if bytes.starts_with(WITNESS_PREFIX)
                    && revealed_at.is_some()
                    && *block >= revealed_at =>
            {
                Witness
            }
            Ok(_) | Err(_) => return self.newest(),
        };
        Some(Err(UnreadableCommitment { block: block.unwrap_or_default(), reason }))
    }

    /// The newest commitment of a miner; its block decides the miner's place. A newer one that does
    /// not count itself, because it waits for its reveal or is a witness, has replaced another that
    /// nobody can see any more. So the miner's place follows from the newer one's block: otherwise
    /// a miner could put such a commitment in front of a late one before each epoch, and keep the
    /// place of an early reveal.
    pub(crate) fn newest_of_miner(&self) -> Option<Result<Commitment, UnreadableCommitment>> {
        let replaced_at = self.registration.and_then(|registration| registration.block);
        let since = |found: Commitment| {
            let block = replaced_at.map_or(found.block, |replaced| replaced.max(found.block));
            Commitment { block, ..found }
        };
        Some(self.newest()?.map(since))
    }
}

/// A revealed text without the SCALE length that the official SDK seals with it. A compact number
/// that is not the length of what follows belongs to the text.
fn without_length(text: &[u8]) -> &[u8] {
    let mut rest = text;
    match Compact::<u32>::decode(&mut rest) {
        Ok(Compact(length)) if usize::try_from(length) == Ok(rest.len()) => rest,
        _ => text,
    }
}

/// The fields of a `CommitmentInfo` that holds `text`, as a value to submit: one `RawN` or, above
/// 128 bytes, one `BigRaw`.
///
/// Returns `None` for a text of more than 512 bytes.
pub fn encode_text_fields(text: &str) -> Option<subxt::dynamic::Value> {
    use subxt::dynamic::Value;
    let bytes = Value::from_bytes(text.as_bytes());
    let field = match text.len() {
        length @ 0..=128 => Value::unnamed_variant(format!("Raw{length}"), [bytes]),
        129..=MAX_BIG_RAW => Value::unnamed_variant("BigRaw", [bytes]),
        _ => return None,
    };
    Some(Value::named_composite([("fields", Value::unnamed_composite([field]))]))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
