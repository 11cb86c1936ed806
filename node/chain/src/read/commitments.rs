//! Commitments as the chain stores them: SCALE `Registration { deposit: u64, block: u32, info: {
//! fields: Vec<Data> } }`.
//!
//! `Data`'s leading byte carries its kind: 0 nothing, 1 to 129 raw bytes of length 0 to 128, 130 to
//! 133 a hash, 134 timelocked, 135 a flag, 136 raw bytes of up to 512.

use codec::{Compact, Decode as _};
use leoma_protocol::BlockNumber;

/// Most fields of a commitment, as the pallet bounds them; more is malformed.
const MAX_FIELDS: u32 = 3;
/// Longest text of a `BigRaw` field.
const MAX_BIG_RAW: usize = 512;
const RAW_0: u8 = 1;
const RAW_128: u8 = 129;
const TIMELOCKED: u8 = 134;
const BIG_RAW: u8 = 136;

/// A hotkey's newest commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Its text; lossy where it is not UTF-8, in which case it is not valid anyway.
    pub text: String,
    /// The block it was made or revealed at.
    pub block: BlockNumber,
    /// The number of this hotkey's commitments that the chain stores.
    pub count: usize,
}

impl Commitment {
    /// The newest of a hotkey's revealed commitments, `(text, block)` each.
    pub fn newest_of(reveals: &[(Vec<u8>, u64)]) -> Option<Self> {
        let (text, block) = reveals.iter().max_by_key(|(_, block)| *block)?;
        Some(Self { text: text_of(text), block: BlockNumber(*block), count: reveals.len() })
    }
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
    /// A field without readable text, such as a timelocked one.
    #[error("a field of kind {0} holds no readable text")]
    Unreadable(u8),
}

/// Reads a `Registration`.
///
/// # Errors
/// [`CommitmentDecodeError`]; a timelocked commitment is unreadable until it is revealed.
pub fn decode_registration(mut bytes: &[u8]) -> Result<Commitment, CommitmentDecodeError> {
    use CommitmentDecodeError::{TooManyFields, Truncated, Unreadable};
    let input = &mut bytes;
    let _deposit = u64::decode(input).map_err(|_| Truncated)?;
    let block = u32::decode(input).map_err(|_| Truncated)?;
    let Compact(fields) = Compact::<u32>::decode(input).map_err(|_| Truncated)?;
    if fields > MAX_FIELDS {
        return Err(TooManyFields);
    }
    let mut text = Vec::new();
    for _ in 0..fields {
        let kind = u8::decode(input).map_err(|_| Truncated)?;
        let length = match kind {
            0 => 0,
            RAW_0..=RAW_128 => usize::from(kind - RAW_0),
            BIG_RAW => {
                let Compact(length) = Compact::<u32>::decode(input).map_err(|_| Truncated)?;
                usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= MAX_BIG_RAW)
                    .ok_or(Truncated)?
            }
            TIMELOCKED.. => return Err(Unreadable(kind)),
            _ => return Err(Unreadable(kind)),
        };
        let (raw, rest) = input.split_at_checked(length).ok_or(Truncated)?;
        text.extend_from_slice(raw);
        *input = rest;
    }
    Ok(Commitment { text: text_of(&text), block: BlockNumber(block.into()), count: 1 })
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
mod tests {
    use super::*;
    use codec::Encode as _;
    use proptest::prelude::*;

    fn registration(fields: u32, data: &[u8]) -> Vec<u8> {
        [7u64.encode(), 1234u32.encode(), Compact(fields).encode(), data.to_vec()].concat()
    }

    #[test]
    fn raw_fields_of_every_length_are_read_and_joined() {
        let mut data = vec![RAW_0 + 3];
        data.extend(b"abc");
        data.push(BIG_RAW);
        data.extend(vec![b'x'; 300].encode());
        data.push(0);
        let commitment = decode_registration(&registration(3, &data)).unwrap();
        assert_eq!(commitment.text, format!("abc{}", "x".repeat(300)));
        assert_eq!((commitment.block, commitment.count), (BlockNumber(1234), 1));
    }

    #[test]
    fn odd_bytes_are_refused_with_a_reason() {
        use CommitmentDecodeError::{TooManyFields, Truncated, Unreadable};
        assert_eq!(decode_registration(&[]), Err(Truncated));
        assert_eq!(decode_registration(&registration(4, &[0; 4])), Err(TooManyFields));
        assert_eq!(decode_registration(&registration(1, &[RAW_0 + 5, 1])), Err(Truncated));
        assert_eq!(
            decode_registration(&registration(1, &[TIMELOCKED])),
            Err(Unreadable(TIMELOCKED))
        );
        let huge = [vec![BIG_RAW], Compact(u32::MAX).encode()].concat();
        assert_eq!(decode_registration(&registration(1, &huge)), Err(Truncated));
    }

    #[test]
    fn the_newest_reveal_counts_and_all_are_counted() {
        let reveals = [(b"new".to_vec(), 9), (b"old".to_vec(), 3)];
        let newest = Commitment { text: "new".into(), block: BlockNumber(9), count: 2 };
        assert_eq!(Commitment::newest_of(&reveals), Some(newest));
        assert_eq!(Commitment::newest_of(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _answered_without_panic = decode_registration(&bytes);
        }
    }
}
