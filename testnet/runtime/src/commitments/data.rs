//! One field of a commitment, in the live chain's encoding: the variant's byte carries the length
//! of short raw data.

use codec::{Decode, DecodeWithMemTracking, Encode, Error, Input};
use frame_support::BoundedVec;
use frame_support::traits::ConstU32;
use scale_info::build::{Fields, Variants};
use scale_info::{Path, Type, TypeInfo};

/// Longest `BigRaw`.
pub const MAX_BIG_RAW: u32 = 512;
/// Longest ciphertext of a timelocked field.
pub(crate) const MAX_TIMELOCKED: u32 = 1024;

const RAW_0: u8 = 1;
const RAW_128: u8 = 129;
const BLAKE_TWO_256: u8 = 130;
const SHA_256: u8 = 131;
const KECCAK_256: u8 = 132;
const SHA_THREE_256: u8 = 133;
const TIMELOCK_ENCRYPTED: u8 = 134;
const RESET_BONDS_FLAG: u8 = 135;
const BIG_RAW: u8 = 136;
const TIMELOCK_REVEAL_FAILED: u8 = 137;

/// One field of a commitment.
#[derive(Clone, Debug, PartialEq, Eq, DecodeWithMemTracking)]
pub enum Data {
    /// Nothing.
    None,
    /// Up to 128 bytes as they are.
    Raw(BoundedVec<u8, ConstU32<128>>),
    /// A blake2-256 hash.
    BlakeTwo256([u8; 32]),
    /// A sha256 hash.
    Sha256([u8; 32]),
    /// A keccak-256 hash.
    Keccak256([u8; 32]),
    /// A sha3-256 hash.
    ShaThree256([u8; 32]),
    /// Encrypted to a future round of the beacon, whose pulse reveals it.
    TimelockEncrypted {
        /// Compressed ciphertext.
        encrypted: BoundedVec<u8, ConstU32<MAX_TIMELOCKED>>,
        /// Round whose signature decrypts it.
        reveal_round: u64,
    },
    /// Asks for the bonds of the hotkey to be reset.
    ResetBondsFlag,
    /// Up to 512 bytes as they are.
    BigRaw(BoundedVec<u8, ConstU32<MAX_BIG_RAW>>),
    /// A timelocked field that its pulse did not open.
    TimelockRevealFailed {
        /// Compressed ciphertext.
        encrypted: BoundedVec<u8, ConstU32<MAX_TIMELOCKED>>,
        /// Round whose signature should have decrypted it.
        reveal_round: u64,
    },
}

impl Data {
    /// Bytes that count against the space limit.
    pub(crate) fn charged_len(&self) -> u64 {
        let len = match self {
            Self::None | Self::ResetBondsFlag => 0,
            Self::Raw(bytes) => bytes.len(),
            Self::BlakeTwo256(_) | Self::Sha256(_) | Self::Keccak256(_) | Self::ShaThree256(_) => {
                32
            }
            Self::TimelockEncrypted { encrypted, .. }
            | Self::TimelockRevealFailed { encrypted, .. } => encrypted.len(),
            Self::BigRaw(bytes) => bytes.len(),
        };
        len as u64
    }
}

impl Encode for Data {
    fn encode_to<O: codec::Output + ?Sized>(&self, output: &mut O) {
        match self {
            Self::None => output.push_byte(0),
            Self::Raw(bytes) => {
                output.push_byte(RAW_0.saturating_add(bytes.len() as u8));
                output.write(bytes);
            }
            Self::BlakeTwo256(hash) => (BLAKE_TWO_256, hash).encode_to(output),
            Self::Sha256(hash) => (SHA_256, hash).encode_to(output),
            Self::Keccak256(hash) => (KECCAK_256, hash).encode_to(output),
            Self::ShaThree256(hash) => (SHA_THREE_256, hash).encode_to(output),
            Self::TimelockEncrypted { encrypted, reveal_round } => {
                (TIMELOCK_ENCRYPTED, encrypted, reveal_round).encode_to(output);
            }
            Self::ResetBondsFlag => output.push_byte(RESET_BONDS_FLAG),
            Self::BigRaw(bytes) => (BIG_RAW, bytes).encode_to(output),
            Self::TimelockRevealFailed { encrypted, reveal_round } => {
                (TIMELOCK_REVEAL_FAILED, encrypted, reveal_round).encode_to(output);
            }
        }
    }
}

impl codec::EncodeLike for Data {}

impl Decode for Data {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(match input.read_byte()? {
            0 => Self::None,
            variant @ RAW_0..=RAW_128 => {
                let mut bytes = vec![0; usize::from(variant - RAW_0)];
                input.read(&mut bytes)?;
                Self::Raw(bytes.try_into().map_err(|_| "raw data is longer than 128 bytes")?)
            }
            BLAKE_TWO_256 => Self::BlakeTwo256(Decode::decode(input)?),
            SHA_256 => Self::Sha256(Decode::decode(input)?),
            KECCAK_256 => Self::Keccak256(Decode::decode(input)?),
            SHA_THREE_256 => Self::ShaThree256(Decode::decode(input)?),
            TIMELOCK_ENCRYPTED => {
                let (encrypted, reveal_round) = Decode::decode(input)?;
                Self::TimelockEncrypted { encrypted, reveal_round }
            }
            RESET_BONDS_FLAG => Self::ResetBondsFlag,
            BIG_RAW => Self::BigRaw(Decode::decode(input)?),
            TIMELOCK_REVEAL_FAILED => {
                let (encrypted, reveal_round) = Decode::decode(input)?;
                Self::TimelockRevealFailed { encrypted, reveal_round }
            }
            _ => return Err("no such kind of commitment data".into()),
        })
    }
}

/// Adds the 129 variants of raw data, each with the array of its length.
macro_rules! raw_variants {
    ($variants:expr; $( $len:literal )*) => {
        $variants$( .variant(concat!("Raw", $len), |variant| {
            variant
                .index(RAW_0 + $len)
                .fields(Fields::unnamed().field(|field| field.ty::<[u8; $len]>()))
        }) )*
    };
}

impl TypeInfo for Data {
    type Identity = Self;

    fn type_info() -> Type {
        let variants = Variants::new().variant("None", |variant| variant.index(0));
        let variants = raw_variants!(variants;
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60
            61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89
            90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113
            114 115 116 117 118 119 120 121 122 123 124 125 126 127 128
        );
        let hash = || Fields::unnamed().field(|field| field.ty::<[u8; 32]>());
        let sealed = || {
            Fields::named()
                .field(|field| {
                    field.name("encrypted").ty::<BoundedVec<u8, ConstU32<MAX_TIMELOCKED>>>()
                })
                .field(|field| field.name("reveal_round").ty::<u64>())
        };
        let variants = variants
            .variant("BlakeTwo256", |variant| variant.index(BLAKE_TWO_256).fields(hash()))
            .variant("Sha256", |variant| variant.index(SHA_256).fields(hash()))
            .variant("Keccak256", |variant| variant.index(KECCAK_256).fields(hash()))
            .variant("ShaThree256", |variant| variant.index(SHA_THREE_256).fields(hash()))
            .variant("TimelockEncrypted", |variant| {
                variant.index(TIMELOCK_ENCRYPTED).fields(sealed())
            })
            .variant("ResetBondsFlag", |variant| variant.index(RESET_BONDS_FLAG))
            .variant("BigRaw", |variant| {
                let bytes = Fields::unnamed()
                    .field(|field| field.ty::<BoundedVec<u8, ConstU32<MAX_BIG_RAW>>>());
                variant.index(BIG_RAW).fields(bytes)
            })
            .variant("TimelockRevealFailed", |variant| {
                variant.index(TIMELOCK_REVEAL_FAILED).fields(sealed())
            });
        Type::builder().path(Path::new("Data", module_path!())).variant(variants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_data_carries_its_length_in_the_variant() {
        for len in [0_usize, 1, 76, 127, 128] {
            let data = Data::Raw(vec![7; len].try_into().unwrap());
            let bytes = data.encode();
            assert_eq!(bytes[0] as usize, len + 1);
            assert_eq!(&bytes[1..], vec![7; len]);
            assert_eq!(Data::decode(&mut &bytes[..]).unwrap(), data);
        }
    }

    #[test]
    fn every_other_kind_survives_a_round_trip() {
        let cases = [
            (Data::None, 0),
            (Data::BlakeTwo256([1; 32]), BLAKE_TWO_256),
            (Data::Sha256([2; 32]), SHA_256),
            (Data::Keccak256([3; 32]), KECCAK_256),
            (Data::ShaThree256([4; 32]), SHA_THREE_256),
            (
                Data::TimelockEncrypted {
                    encrypted: vec![5; 9].try_into().unwrap(),
                    reveal_round: 6,
                },
                TIMELOCK_ENCRYPTED,
            ),
            (Data::ResetBondsFlag, RESET_BONDS_FLAG),
            (Data::BigRaw(vec![8; 300].try_into().unwrap()), BIG_RAW),
            (
                Data::TimelockRevealFailed {
                    encrypted: vec![5; 9].try_into().unwrap(),
                    reveal_round: 6,
                },
                TIMELOCK_REVEAL_FAILED,
            ),
        ];
        for (data, first) in cases {
            let bytes = data.encode();
            assert_eq!(bytes[0], first);
            assert_eq!(Data::decode(&mut &bytes[..]).unwrap(), data);
        }
    }

    #[test]
    fn unknown_truncated_and_oversized_data_are_refused() {
        assert!(Data::decode(&mut &[138_u8][..]).is_err());
        assert!(Data::decode(&mut &[5_u8, 1, 2][..]).is_err());
        let oversized = (BIG_RAW, vec![0_u8; 513]).encode();
        assert!(Data::decode(&mut &oversized[..]).is_err());
    }
}
