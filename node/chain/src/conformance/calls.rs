//! Every transaction that can be made, with values at their edges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use codec::{Compact, Encode as _};
use leoma_protocol::{Digest, Hotkey, HotkeySigner, MemoryGuard, Netuid, Uid};
use sp_core::Pair as _;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::config::substrate::SubstrateConfig;
use subxt::utils::H256;

use super::encoder::{Datum, call_bytes};
use super::{Chain, GENESIS, SPEC_VERSION, TRANSACTION_VERSION};
use crate::endpoint::ChainSigner;
use crate::{Axon, Call, ChainWeights, SubmitError};

/// Longest ciphertext of a timelocked commit, as the pallet bounds it.
const LONGEST_COMMIT: usize = 5_000;
/// Most uids of a subnet.
const FULL: u16 = 256;

/// A call as the chain's own documentation describes it: pallet, name, arguments in their order.
fn described(
    call: &Call,
    index: Netuid,
) -> (&'static str, &'static str, Vec<(&'static str, Datum)>) {
    let number = |number: u64| Datum::Number(number.into());
    let uids = |weights: &ChainWeights| {
        Datum::numbers(&weights.uids.iter().map(|uid| uid.0).collect::<Vec<_>>())
    };
    let mechanism = ("mecid", number(index.mecid().into()));
    let (pallet, name, rest) = match call {
        Call::SetWeights(weights) => (
            "SubtensorModule",
            "set_mechanism_weights",
            vec![
                mechanism,
                ("dests", uids(weights)),
                ("weights", Datum::numbers(&weights.values)),
                ("version_key", number(weights.version_key)),
            ],
        ),
        Call::CommitWeights { hash } => (
            "SubtensorModule",
            "commit_mechanism_weights",
            vec![mechanism, ("commit_hash", Datum::Bytes(hash.0.to_vec()))],
        ),
        Call::RevealWeights { weights, salt } => (
            "SubtensorModule",
            "reveal_mechanism_weights",
            vec![
                mechanism,
                ("uids", uids(weights)),
                ("values", Datum::numbers(&weights.values)),
                ("salt", Datum::numbers(salt)),
                ("version_key", number(weights.version_key)),
            ],
        ),
        Call::CommitTimelockedWeights { commit, reveal_round, version } => (
            "SubtensorModule",
            "commit_timelocked_mechanism_weights",
            vec![
                mechanism,
                ("commit", Datum::Bytes(commit.clone())),
                ("reveal_round", number(*reveal_round)),
                ("commit_reveal_version", number((*version).into())),
            ],
        ),
        Call::SetCommitment { text } => {
            let bytes = Datum::Bytes(text.as_bytes().to_vec());
            let field = match text.len() {
                length @ 0..=128 => Datum::Variant(format!("Raw{length}"), vec![bytes]),
                _ => Datum::Variant("BigRaw".to_owned(), vec![bytes]),
            };
            let info = Datum::Fields(vec![("fields", Datum::Many(vec![field]))]);
            ("Commitments", "set_commitment", vec![("info", info)])
        }
        Call::Witness { fields } => {
            let field = |bytes: &Vec<u8>| {
                let name = format!("Raw{}", bytes.len());
                Datum::Variant(name, vec![Datum::Bytes(bytes.clone())])
            };
            let fields = Datum::Many(fields.iter().map(field).collect());
            let info = Datum::Fields(vec![("fields", fields)]);
            ("Commitments", "set_commitment", vec![("info", info)])
        }
        Call::ServeAxon(axon) => {
            let (ip, kind) = match axon.ip {
                IpAddr::V4(ip) => (u32::from(ip).into(), 4),
                IpAddr::V6(ip) => (u128::from(ip), 6),
            };
            let arguments = vec![
                ("version", number(1)),
                ("ip", Datum::Number(ip)),
                ("port", number(axon.port.into())),
                ("ip_type", number(kind)),
                ("protocol", number(4)),
                ("placeholder1", number(0)),
                ("placeholder2", number(0)),
            ];
            ("SubtensorModule", "serve_axon", arguments)
        }
        Call::BurnedRegister { hotkey } => (
            "SubtensorModule",
            "burned_register",
            vec![("hotkey", Datum::Bytes(hotkey.as_bytes().to_vec()))],
        ),
    };
    let netuid = ("netuid", number(index.subnet().0.into()));
    (pallet, name, std::iter::once(netuid).chain(rest).collect())
}

/// All weight on one slot.
fn winner(uid: u16, version_key: u64) -> ChainWeights {
    ChainWeights { uids: vec![Uid(uid)], values: vec![u16::MAX], version_key }
}

fn weights(length: u16, version_key: u64) -> ChainWeights {
    let values = (0..length).map(|value| u16::MAX - value).collect();
    ChainWeights { uids: (0..length).map(Uid).collect(), values, version_key }
}

fn samples() -> Vec<Call> {
    let mut calls = Vec::new();
    for weights in [weights(0, 0), winner(u16::MAX, 1), weights(FULL, u64::MAX)] {
        let salts = [Vec::new(), vec![0, u16::MAX], vec![1; usize::from(FULL)]];
        calls.extend(salts.map(|salt| Call::RevealWeights { weights: weights.clone(), salt }));
        calls.push(Call::SetWeights(weights));
    }
    calls.extend([[0; 32], [0xff; 32]].map(|hash| Call::CommitWeights { hash: Digest(hash) }));
    for (length, reveal_round, version) in
        [(0, 0, 0), (1, 1, 4), (LONGEST_COMMIT, u64::MAX, u16::MAX)]
    {
        calls.push(Call::CommitTimelockedWeights {
            commit: vec![0xab; length],
            reveal_round,
            version,
        });
    }
    // Either side of every edge of the compact length, and of the change from RawN to BigRaw.
    for length in [0, 1, 63, 64, 127, 128, 129, 511, 512] {
        calls.push(Call::SetCommitment { text: "x".repeat(length) });
    }
    for lengths in [vec![1], vec![128, 64], vec![128, 128, 128]] {
        let fields = lengths.into_iter().map(|length| vec![0xfe; length]).collect();
        calls.push(Call::Witness { fields });
    }
    let v4 = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST].map(IpAddr::V4);
    let v6 = [Ipv6Addr::LOCALHOST, Ipv6Addr::from([0xff; 16])].map(IpAddr::V6);
    for ip in v4.into_iter().chain(v6) {
        calls.extend([0, 9000, u16::MAX].map(|port| Call::ServeAxon(Axon { ip, port })));
    }
    calls.extend(
        [[0; 32], [0xff; 32]]
            .map(|hotkey| Call::BurnedRegister { hotkey: Hotkey::from_bytes(hotkey) }),
    );
    calls
}

#[test]
fn every_call_is_encoded_as_both_chains_metadata_says() {
    for chain in [Chain::finney(), Chain::local()] {
        let transactions = chain.client().transactions();
        for call in samples() {
            // The last two are mechanism 1 of subnet 99 and mechanism 15 of subnet 4095.
            for index in [0, 99, 4195, u16::MAX].map(Netuid) {
                let (pallet, name, arguments) = described(&call, index);
                assert_eq!(call.name(), name);
                let expected = call_bytes(&chain.plain, pallet, name, &arguments);
                let encoded = transactions.call_data(&call.payload(index).unwrap()).unwrap();
                assert_eq!(hex::encode(encoded), hex::encode(expected), "{index}: {call:?}");
            }
        }
    }
}

#[test]
fn a14_ids_with_types_of_their_own_change_no_byte_of_a_call() {
    for chain in [Chain::finney(), Chain::local()] {
        let typed = super::typed::typed(&chain);
        let (before, after) = (chain.client().transactions(), typed.client().transactions());
        for call in samples() {
            let payload = call.payload(Netuid(99)).unwrap();
            let expected = before.call_data(&payload).unwrap();
            assert_eq!(hex::encode(after.call_data(&payload).unwrap()), hex::encode(expected));
        }
    }
}

#[test]
fn a_call_is_the_bytes_that_were_worked_out_by_hand() {
    let transactions = Chain::finney().client().transactions();
    let bytes = |call: Call| {
        hex::encode(transactions.call_data(&call.payload(Netuid(99)).unwrap()).unwrap())
    };
    // Pallet 7, call 119, netuid 99, mechanism 0, one uid, one weight, version 5.
    assert_eq!(
        bytes(Call::SetWeights(winner(3, 5))),
        "0777630000040300 04ffff 0500000000000000".replace(' ', "")
    );
    // The same for mechanism 1.
    let of_mechanism = Call::SetWeights(winner(3, 5)).payload(Netuid(99 + 4096)).unwrap();
    assert_eq!(
        hex::encode(transactions.call_data(&of_mechanism).unwrap()),
        "0777630001040300 04ffff 0500000000000000".replace(' ', "")
    );
    // Pallet 18, call 0, netuid 99, one field, Raw2 with its bytes bare.
    assert_eq!(
        bytes(Call::SetCommitment { text: "hi".into() }),
        "120063000403 6869".replace(' ', "")
    );
}

#[test]
fn a_text_that_does_not_fit_is_refused_before_it_is_signed() {
    let call = Call::SetCommitment { text: "x".repeat(513) };
    assert!(matches!(call.payload(Netuid(1)), Err(SubmitError::TooLong { length: 513 })));
    for fields in [vec![vec![0; 129]], vec![vec![0; 1]; 4]] {
        let call = Call::Witness { fields };
        assert!(matches!(call.payload(Netuid(1)), Err(SubmitError::TooLong { .. })));
    }
}

#[test]
fn a_signed_transaction_has_the_live_chains_extensions_and_a_signature_that_it_will_check() {
    let (nonce, birth) = (7_u64, 64_u64);
    let chain = Chain::finney();
    let pair = sp_core::sr25519::Pair::from_seed(&[5; 32]);
    let signer = HotkeySigner::new(pair.clone(), std::sync::Arc::new(MemoryGuard::default()));
    let call = Call::SetWeights(weights(FULL, 3));
    let payload = call.payload(Netuid(99)).unwrap();
    let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
        .nonce(nonce)
        .mortal_from_unchecked(32, birth, H256([8; 32]))
        .build();
    let transactions = chain.client().transactions();
    let mut signable = transactions.create_signable_offline(&payload, params).unwrap();
    let signed = signable.sign(&ChainSigner(&signer)).unwrap().into_encoded();

    let identifiers: Vec<_> = chain
        .plain
        .extrinsic
        .transaction_extensions
        .iter()
        .map(|extension| &extension.identifier[..])
        .collect();
    assert_eq!(
        identifiers,
        [
            "CheckNonZeroSender",
            "CheckSpecVersion",
            "CheckTxVersion",
            "CheckGenesis",
            "CheckMortality",
            "CheckNonce",
            "CheckWeight",
            "ChargeTransactionPayment",
            "SudoTransactionExtension",
            "SubtensorTransactionExtension",
            "DrandPriority",
            "CheckMetadataHash",
        ]
    );
    // An era of 32 blocks is 4 in its low four bits, the place in it above; then nonce, no tip, no
    // metadata hash.
    let era = (4 | ((birth % 32) << 4) as u16).to_le_bytes();
    let extra = [era.to_vec(), Compact(nonce).encode(), vec![0], vec![0]].concat();
    let implicit = [
        SPEC_VERSION.to_le_bytes().to_vec(),
        TRANSACTION_VERSION.to_le_bytes().to_vec(),
        GENESIS.to_vec(),
        vec![8; 32],
        vec![0],
    ]
    .concat();
    let (pallet, name, arguments) = described(&call, Netuid(99));
    let bytes = call_bytes(&chain.plain, pallet, name, &arguments);
    let mut message = [bytes.clone(), extra.clone(), implicit].concat();
    assert!(message.len() > 256, "long enough that its hash is signed");
    message = sp_crypto_hashing::blake2_256(&message).to_vec();

    // Signed, version 4; an address by account id; an sr25519 signature.
    let head = [vec![0x84, 0], pair.public().0.to_vec(), vec![1]].concat();
    let length = head.len() + 64 + extra.len() + bytes.len();
    let head = [Compact(length as u32).encode(), head].concat();
    assert_eq!(signed[..head.len()], head);
    let signature = signed[head.len()..][..64].try_into().unwrap();
    assert_eq!(hex::encode(&signed[head.len() + 64..]), hex::encode([extra, bytes].concat()));
    let signature = sp_core::sr25519::Signature::from_raw(signature);
    assert!(sp_core::sr25519::Pair::verify(&signature, message, &pair.public()));
}
