//! Every entry of storage that is read: its key, and its value as it comes back.

use std::fmt::Debug;

use leoma_protocol::Hotkey;
use subxt::config::substrate::AccountId32;
use subxt::ext::frame_decode::storage::{IntoDecodableValues, IntoEncodableValues};
use subxt::ext::scale_decode::DecodeAsType;

use super::Chain;
use super::encoder::{self, Datum, storage_key, value_type};
use crate::read::entries::{self, Entry, RawAccount, RawBalance};

/// Entries that the kept metadata does not have: the live chain got them later, when epochs became
/// stateful. Until then epochs are computed from the block number.
const NEWER: [&str; 3] = ["SubnetEpochIndex", "LastEpochBlock", "PendingEpochAt"];

const NETUID: u16 = 99;
const ACCOUNT: [u8; 32] = [0xa5; 32];

/// Compares entries with one chain's metadata, and records which it compared.
struct Check<'a> {
    chain: &'a Chain,
    seen: Vec<(&'static str, &'static str)>,
}

impl Check<'_> {
    /// Checks that `keys` give the key that the second encoder makes from `parts`, that the value's
    /// type has this name, and that `stored` is read as `expected`.
    fn entry<K, V>(
        &mut self,
        entry: &Entry<K, V>,
        keys: K,
        parts: &[Datum],
        value: (&str, Datum, V),
    ) where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType + Debug + PartialEq,
    {
        let (pallet, name) = (entry.pallet, entry.name);
        self.seen.push((pallet, name));
        let Some((_, found)) = encoder::entry(&self.chain.plain, pallet, name) else { return };
        let client = self.chain.client();
        let made = client.storage().entry(entry.address()).unwrap().fetch_key(keys).unwrap();
        let expected = storage_key(&self.chain.plain, pallet, name, parts);
        assert_eq!(hex::encode(made), hex::encode(expected), "{pallet}.{name}");

        let (type_name, stored, expected) = value;
        assert_eq!(
            encoder::name(&self.chain.plain.types, value_type(found)),
            type_name,
            "{pallet}.{name}"
        );
        let mut bytes = Vec::new();
        encoder::encode(&self.chain.plain.types, value_type(found), &stored, &mut bytes);
        assert_eq!(entry.decode(&self.chain.subxt, &bytes).unwrap(), expected, "{pallet}.{name}");
        bytes.pop();
        assert!(
            entry.decode(&self.chain.subxt, &bytes).is_err(),
            "{pallet}.{name} is read from too few bytes"
        );
    }

    /// One number of the subnet.
    fn of_subnet(&mut self, entry: &Entry<(u16,), u64>) {
        let number = u64::MAX - 1;
        self.entry(entry, (NETUID,), &[netuid()], ("u64", Datum::Number(number.into()), number));
    }

    fn all(&mut self) {
        let number = |number: u64| Datum::Number(number.into());
        let account = || Datum::Bytes(ACCOUNT.to_vec());
        self.entry(&entries::NOW, (), &[], ("u64", number(1), 1));
        self.entry(&entries::LAST_STORED_ROUND, (), &[], ("u64", number(u64::MAX), u64::MAX));
        self.entry(&entries::STAKE_THRESHOLD, (), &[], ("u64", number(u64::MAX), u64::MAX));
        self.entry(&entries::COMMIT_REVEAL_VERSION, (), &[], ("u16", number(4), 4));
        self.entry(
            &entries::COMMIT_REVEAL_ENABLED,
            (NETUID,),
            &[netuid()],
            ("bool", Datum::Bool(true), true),
        );
        self.entry(&entries::TEMPO, (NETUID,), &[netuid()], ("u16", number(360), 360));
        let cutoff = ("u16", number(5_000), 5_000);
        self.entry(&entries::ACTIVITY_CUTOFF, (NETUID,), &[netuid()], cutoff);
        for entry in [
            &entries::BURN,
            &entries::REVEAL_PERIOD_EPOCHS,
            &entries::WEIGHTS_VERSION_KEY,
            &entries::WEIGHTS_SET_RATE_LIMIT,
            &entries::SUBNET_EPOCH_INDEX,
            &entries::LAST_EPOCH_BLOCK,
            &entries::PENDING_EPOCH_AT,
        ] {
            self.of_subnet(entry);
        }
        let (free, flags) = (u64::MAX, Datum::Number(1 << 127));
        let data = vec![
            ("free", number(free)),
            ("reserved", number(1)),
            ("frozen", number(2)),
            ("flags", flags),
        ];
        let stored = Datum::Fields(vec![
            ("nonce", number(3)),
            ("consumers", number(4)),
            ("providers", number(5)),
            ("sufficients", number(6)),
            ("data", Datum::Fields(data)),
        ]);
        let read = RawAccount { data: RawBalance { free } };
        self.entry(
            &entries::ACCOUNT,
            (AccountId32(ACCOUNT),),
            &[account()],
            ("AccountInfo", stored, read),
        );
        let pair = |uid: u16, weight: u16| Datum::numbers(&[uid, weight]);
        let stored = Datum::Many(vec![pair(0, 0), pair(255, u16::MAX)]);
        let read = vec![(0, 0), (255, u16::MAX)];
        self.entry(
            &entries::WEIGHTS,
            (NETUID, 255),
            &[netuid(), number(255)],
            ("Vec<(u16, u16)>", stored, read),
        );
        let commit = Datum::Many(vec![Datum::Bytes(vec![7; 32]), number(8), number(9), number(10)]);
        self.entry(
            &entries::WEIGHT_COMMITS,
            (NETUID, ACCOUNT),
            &[netuid(), account()],
            (
                "Vec<([u8; 32], u64, u64, u64)>",
                Datum::Many(vec![commit]),
                vec![([7; 32], 8, 9, 10)],
            ),
        );
        let commit =
            Datum::Many(vec![account(), number(8), Datum::Bytes(vec![9; 5_000]), number(10)]);
        self.entry(
            &entries::TIMELOCKED_WEIGHT_COMMITS,
            (NETUID, u64::MAX),
            &[netuid(), number(u64::MAX)],
            (
                "Vec<([u8; 32], u64, Vec<u8>, u64)>",
                Datum::Many(vec![commit]),
                vec![(ACCOUNT, 8, vec![9; 5_000], 10)],
            ),
        );
        let reveal = Datum::Many(vec![Datum::Bytes(b"text".to_vec()), number(11)]);
        self.entry(
            &entries::REVEALED_COMMITMENTS,
            (NETUID, ACCOUNT),
            &[netuid(), account()],
            ("Vec<(Vec<u8>, u64)>", Datum::Many(vec![reveal]), vec![(b"text".to_vec(), 11)]),
        );
    }
}

fn netuid() -> Datum {
    Datum::Number(NETUID.into())
}

#[test]
fn every_entry_is_keyed_and_read_as_both_chains_metadata_says() {
    for chain in [Chain::finney(), Chain::local()] {
        let mut check = Check { chain: &chain, seen: Vec::new() };
        check.all();
        let mut seen = check.seen;
        let mut all = entries::ALL.to_vec();
        seen.sort_unstable();
        all.sort_unstable();
        assert_eq!(seen, all, "every entry that is read has exactly one case");
    }
}

#[test]
fn a14_ids_with_types_of_their_own_change_no_key_and_no_value() {
    for chain in [Chain::finney(), Chain::local()] {
        let typed = super::typed::typed(&chain);
        let key = |chain: &Chain| {
            let client = chain.client();
            let storage = client.storage();
            [
                storage.entry(entries::TEMPO.address()).unwrap().fetch_key((NETUID,)).unwrap(),
                storage.entry(entries::WEIGHTS.address()).unwrap().fetch_key((NETUID, 7)).unwrap(),
                storage
                    .entry(entries::REVEALED_COMMITMENTS.address())
                    .unwrap()
                    .fetch_key((NETUID, ACCOUNT))
                    .unwrap(),
                storage
                    .entry(entries::TIMELOCKED_WEIGHT_COMMITS.address())
                    .unwrap()
                    .fetch_key((NETUID, 9))
                    .unwrap(),
            ]
        };
        assert_eq!(key(&typed), key(&chain));
        let metadata = &typed.subxt;
        let weights = codec::Encode::encode(&vec![(1_u16, 2_u16), (3, u16::MAX)]);
        let read = entries::WEIGHTS.decode(metadata, &weights).unwrap();
        assert_eq!(read, [(1, 2), (3, u16::MAX)]);
        let tempo = codec::Encode::encode(&360_u16);
        assert_eq!(entries::TEMPO.decode(metadata, &tempo).unwrap(), 360);
        let limit = codec::Encode::encode(&u64::MAX);
        assert_eq!(entries::WEIGHTS_SET_RATE_LIMIT.decode(metadata, &limit).unwrap(), u64::MAX);
        let reveals = codec::Encode::encode(&vec![(b"text".to_vec(), 11_u64)]);
        let read = entries::REVEALED_COMMITMENTS.decode(metadata, &reveals).unwrap();
        assert_eq!(read, [(b"text".to_vec(), 11)]);
    }
}

#[test]
fn what_the_live_chain_of_the_kept_metadata_lacks_is_known_and_the_local_chain_has_it() {
    let (finney, local) = (Chain::finney(), Chain::local());
    for (pallet, name) in entries::ALL {
        let found = encoder::entry(&finney.plain, pallet, name).is_some();
        assert_eq!(found, !NEWER.contains(name), "{pallet}.{name}");
        assert!(encoder::entry(&local.plain, pallet, name).is_some(), "{pallet}.{name}");
    }
}

#[test]
fn revealed_commitments_are_listed_under_the_subnets_prefix_and_their_keys_end_in_the_account() {
    let chain = Chain::finney();
    let client = chain.client();
    let entry = client.storage().entry(entries::REVEALED_COMMITMENTS.address()).unwrap();
    let prefix = entry.iter_key((NETUID,)).unwrap();
    let parts = [netuid(), Datum::Bytes(ACCOUNT.to_vec())];
    assert_eq!(
        prefix,
        storage_key(&chain.plain, "Commitments", "RevealedCommitments", &parts[..1])
    );
    let key = storage_key(&chain.plain, "Commitments", "RevealedCommitments", &parts);
    assert!(key.starts_with(&prefix));
    assert_eq!(
        key.last_chunk().copied().map(Hotkey::from_bytes),
        Some(Hotkey::from_bytes(ACCOUNT))
    );
}
