//! The runtime call behind the metagraph: its arguments, the fields it is asked for, and its
//! answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use codec::Encode as _;
use frame_metadata::v16::RuntimeApiMethodMetadata;
use leoma_protocol::{BlockNumber, Digest, Hotkey, Netuid, Uid};
use scale_info::form::PortableForm;
use scale_info::{TypeDef, TypeDefComposite};

use super::Chain;
use super::encoder::{self, Datum};
use crate::read::metagraph::{
    API, FIELDS, MECHANISM_METHOD, METHOD, NAME_FIELD, arguments, decode, decode_name,
};
use crate::{Axon, ChainError, Commitment, Head, Metagraph, Neuron};

const NETUID: Netuid = Netuid(99);
const AT: Head = Head { number: BlockNumber(1_000_000), hash: Digest([3; 32]) };

/// The fields that are asked for, with the names of their types. The runtime numbers them in the
/// order of the struct.
const ASKED: [(&str, &str); FIELDS.len()] = [
    ("owner_hotkey", "Option<[u8; 32]>"),
    ("block", "Option<Compact<u64>>"),
    ("min_allowed_weights", "Option<Compact<u16>>"),
    ("max_weights_limit", "Option<Compact<u16>>"),
    ("serving_rate_limit", "Option<Compact<u64>>"),
    ("hotkeys", "Option<Vec<[u8; 32]>>"),
    ("axons", "Option<Vec<AxonInfo>>"),
    ("validator_permit", "Option<Vec<bool>>"),
    ("last_update", "Option<Vec<Compact<u64>>>"),
    ("block_at_registration", "Option<Vec<Compact<u64>>>"),
    ("total_stake", "Option<Vec<Compact<u64>>>"),
    ("commitments", "Option<Vec<([u8; 32], Vec<Compact<u8>>)>>"),
];

fn method(chain: &Chain) -> &RuntimeApiMethodMetadata<PortableForm> {
    named(chain, METHOD)
}

fn named<'a>(chain: &'a Chain, name: &str) -> &'a RuntimeApiMethodMetadata<PortableForm> {
    let api = chain.plain.apis.iter().find(|api| api.name == API).unwrap();
    api.methods.iter().find(|method| method.name == name).unwrap()
}

/// The struct in the method's answer.
fn answer(chain: &Chain) -> &TypeDefComposite<PortableForm> {
    let types = &chain.plain.types;
    let output = method(chain).output.id;
    assert_eq!(encoder::name(types, output), "Option<SelectiveMetagraph>");
    let TypeDef::Variant(option) = &types.resolve(output).unwrap().type_def else {
        panic!("no option")
    };
    let inner =
        option.variants.iter().find(|variant| variant.name == "Some").unwrap().fields[0].ty.id;
    let TypeDef::Composite(fields) = &types.resolve(inner).unwrap().type_def else {
        panic!("no struct")
    };
    fields
}

/// An answer in which these fields are there and no others.
fn encoded(chain: &Chain, given: &[(&'static str, Datum)]) -> Vec<u8> {
    let mut bytes = vec![1];
    for field in &answer(chain).fields {
        let name = field.name.as_deref().unwrap();
        let datum = match given.iter().find(|(given, _)| *given == name) {
            Some((_, datum)) => Datum::some(datum.clone()),
            None if name == "netuid" => Datum::Number(NETUID.0.into()),
            None => Datum::none(),
        };
        encoder::encode(&chain.plain.types, field.ty.id, &datum, &mut bytes);
    }
    bytes
}

/// Two neurons, of which the second has an address and a commitment.
fn sample() -> Vec<(&'static str, Datum)> {
    let number = |number: u64| Datum::Number(number.into());
    let pair = |first, second| Datum::Many(vec![first, second]);
    let account = |byte: u8| Datum::Bytes(vec![byte; 32]);
    let axon = |block, ip, port, ip_type| {
        Datum::Fields(vec![
            ("block", number(block)),
            ("version", number(1)),
            ("ip", Datum::Number(ip)),
            ("port", number(port)),
            ("ip_type", number(ip_type)),
            ("protocol", number(4)),
            ("placeholder1", number(0)),
            ("placeholder2", number(0)),
        ])
    };
    // Deposit, block, one field Raw5.
    let registration =
        [7_u64.encode(), 999_999_u32.encode(), vec![4, 6], b"model".to_vec()].concat();
    let registration =
        Datum::Many(registration.into_iter().map(|byte| number(byte.into())).collect());
    vec![
        ("owner_hotkey", account(1)),
        ("block", number(AT.number.0)),
        ("min_allowed_weights", number(3)),
        ("max_weights_limit", number(65_535)),
        ("serving_rate_limit", number(50)),
        ("hotkeys", pair(account(1), account(2))),
        ("axons", pair(axon(0, 0, 0, 4), axon(77, u128::from(Ipv6Addr::LOCALHOST), 9_000, 6))),
        ("validator_permit", pair(Datum::Bool(true), Datum::Bool(false))),
        ("last_update", pair(number(0), number(1 << 40))),
        ("block_at_registration", pair(number(1), number(u64::MAX))),
        ("total_stake", pair(number(u64::MAX), number(0))),
        ("commitments", Datum::Many(vec![pair(account(2), registration)])),
    ]
}

/// Reads an answer as production does, where nothing was revealed.
fn read(chain: &Chain, answer: &[u8]) -> Result<Metagraph, ChainError> {
    Ok(decode(&chain.subxt, answer, NETUID, AT)?.with_reveals(&BTreeMap::new()))
}

#[test]
fn the_runtime_call_is_the_one_that_both_chains_have() {
    for chain in [Chain::finney(), Chain::local()] {
        let inputs: Vec<_> = method(&chain)
            .inputs
            .iter()
            .map(|input| (input.name.as_str(), encoder::name(&chain.plain.types, input.ty.id)))
            .collect();
        assert_eq!(
            inputs,
            [("netuid", "u16".to_owned()), ("metagraph_indexes", "Vec<u16>".to_owned())]
        );
        let mut expected = Vec::new();
        for (input, datum) in
            method(&chain).inputs.iter().zip([Datum::Number(99), Datum::numbers(&FIELDS)])
        {
            encoder::encode(&chain.plain.types, input.ty.id, &datum, &mut expected);
        }
        assert_eq!(arguments(NETUID, &FIELDS), expected);
    }
}

#[test]
fn a_mechanisms_call_is_the_one_that_both_chains_have_and_answers_alike() {
    let index = NETUID.with_mechanism(1).unwrap();
    for chain in [Chain::finney(), Chain::local()] {
        let method = named(&chain, MECHANISM_METHOD);
        let types: Vec<_> = method
            .inputs
            .iter()
            .map(|input| encoder::name(&chain.plain.types, input.ty.id))
            .collect();
        assert_eq!(types, ["u16", "u8", "Vec<u16>"]);
        assert_eq!(method.output.id, self::method(&chain).output.id);
        let mut expected = Vec::new();
        let given = [Datum::Number(99), Datum::Number(1), Datum::numbers(&FIELDS)];
        for (input, datum) in method.inputs.iter().zip(given) {
            encoder::encode(&chain.plain.types, input.ty.id, &datum, &mut expected);
        }
        assert_eq!(arguments(index, &FIELDS), expected);
        let answer = encoded(&chain, &sample());
        let read = decode(&chain.subxt, &answer, index, AT).unwrap();
        assert_eq!(read.with_reveals(&BTreeMap::new()).neurons.len(), 2);
        let gone = decode(&chain.subxt, &[0], index, AT).unwrap_err().to_string();
        assert!(gone.contains("mechanism 1 of subnet 99"), "{gone}");
    }
}

#[test]
fn the_fields_that_are_asked_for_are_those_that_are_read() {
    for chain in [Chain::finney(), Chain::local()] {
        let fields = &answer(&chain).fields;
        let asked = FIELDS.map(|index| {
            let field = &fields[usize::from(index)];
            (field.name.clone().unwrap(), encoder::name(&chain.plain.types, field.ty.id))
        });
        assert_eq!(asked, ASKED.map(|(name, ty)| (name.to_owned(), ty.to_owned())));
        assert_eq!(
            sample().iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ASKED.map(|(name, _)| name)
        );
    }
}

#[test]
fn an_answer_is_read_whole_and_refused_if_any_field_is_missing() {
    for chain in [Chain::finney(), Chain::local()] {
        let metagraph = read(&chain, &encoded(&chain, &sample())).unwrap();
        assert_eq!((metagraph.block, metagraph.owner), (AT.number, Hotkey::from_bytes([1; 32])));
        assert_eq!(metagraph.serving_rate_limit, 50);
        assert_eq!((metagraph.min_weights, metagraph.max_weight), (3, 65_535));
        let first = Neuron {
            uid: Uid(0),
            hotkey: Hotkey::from_bytes([1; 32]),
            validator_permit: true,
            stake: u64::MAX,
            last_update: BlockNumber(0),
            registered_at: BlockNumber(1),
            axon: None,
            axon_block: BlockNumber(0),
        };
        let second = Neuron {
            uid: Uid(1),
            hotkey: Hotkey::from_bytes([2; 32]),
            validator_permit: false,
            stake: 0,
            last_update: BlockNumber(1 << 40),
            registered_at: BlockNumber(u64::MAX),
            axon: Some(Axon { ip: IpAddr::V6(Ipv6Addr::LOCALHOST), port: 9_000 }),
            axon_block: BlockNumber(77),
        };
        let hotkey = second.hotkey;
        assert_eq!(metagraph.neurons, [first, second]);
        let commitment =
            Commitment { text: "model".to_owned(), block: BlockNumber(999_999), count: 1 };
        assert_eq!(metagraph.commitments.into_iter().collect::<Vec<_>>(), [(hotkey, commitment)]);

        for (name, _) in &ASKED {
            let less: Vec<_> = sample().into_iter().filter(|(given, _)| given != name).collect();
            let error = read(&chain, &encoded(&chain, &less)).unwrap_err();
            assert!(matches!(error, ChainError::Read { .. }), "without {name}: {error}");
        }
        let gone = read(&chain, &[0]).unwrap_err();
        assert!(matches!(gone, ChainError::NoSubnet { netuid: NETUID }), "{gone}");
    }
}

#[test]
fn thousands_of_strangers_reveals_hide_no_neurons() {
    // More accounts than one page of keys holds.
    const STRANGERS: u32 = 5_001;
    let [owner, neuron] = [1, 2].map(|byte| Hotkey::from_bytes([byte; 32]));
    let reveal = |text: &str| vec![(text.as_bytes().to_vec(), AT.number.0)];
    let stranger = |number: u32| {
        let mut hotkey = [0xa5; 32];
        hotkey[..4].copy_from_slice(&number.to_le_bytes());
        (Hotkey::from_bytes(hotkey), reveal("stranger"))
    };
    let mut reveals: BTreeMap<_, _> = (0..STRANGERS).map(stranger).collect();
    reveals.insert(neuron, reveal("revealed"));
    for chain in [Chain::finney(), Chain::local()] {
        let decoded = decode(&chain.subxt, &encoded(&chain, &sample()), NETUID, AT).unwrap();
        // Only theirs are asked for, so that strangers cost no request either.
        assert_eq!(decoded.asked().collect::<Vec<_>>(), [owner, neuron]);
        let metagraph = decoded.with_reveals(&reveals);
        let text = |(hotkey, found): (&Hotkey, &Commitment)| (*hotkey, found.text.clone());
        let texts: Vec<_> = metagraph.commitments.iter().map(text).collect();
        assert_eq!(texts, [(neuron, "revealed".to_owned())]);
        assert!(metagraph.unreadable.is_empty());
    }
}

#[test]
fn the_subnets_name_is_read_and_an_empty_one_is_none() {
    for chain in [Chain::finney(), Chain::local()] {
        let field = &answer(&chain).fields[usize::from(NAME_FIELD)];
        let named = (field.name.as_deref(), encoder::name(&chain.plain.types, field.ty.id));
        assert_eq!(named, (Some("name"), "Option<Vec<Compact<u8>>>".to_owned()));
        let letters = b"Le\nmo".iter().map(|byte| Datum::Number((*byte).into())).collect();
        let bytes = encoded(&chain, &[("name", Datum::Many(letters))]);
        assert_eq!(decode_name(&chain.subxt, &bytes, NETUID).unwrap(), "Lemo");
        assert_eq!(decode_name(&chain.subxt, &encoded(&chain, &[]), NETUID).unwrap(), "");
    }
}

#[test]
fn a14_ids_with_types_of_their_own_change_nothing_that_is_read() {
    for chain in [Chain::finney(), Chain::local()] {
        let (bytes, typed) = (encoded(&chain, &sample()), super::typed::typed(&chain));
        let (before, after) = (read(&chain, &bytes).unwrap(), read(&typed, &bytes).unwrap());
        assert_eq!(after.neurons, before.neurons);
        assert_eq!(after.commitments, before.commitments);
        assert_eq!((after.block, after.owner), (before.block, before.owner));
    }
}

#[test]
fn an_ipv4_address_is_read_as_one() {
    let chain = Chain::finney();
    let mut fields = sample();
    let axons = fields.iter_mut().find(|(name, _)| *name == "axons").unwrap();
    let Datum::Many(list) = &mut axons.1 else { panic!("no list") };
    let Datum::Fields(axon) = &mut list[0] else { panic!("no struct") };
    axon[2].1 = Datum::Number(u32::from(Ipv4Addr::LOCALHOST).into());
    axon[3].1 = Datum::Number(u16::MAX.into());
    let metagraph = read(&chain, &encoded(&chain, &fields)).unwrap();
    assert_eq!(
        metagraph.neurons[0].axon,
        Some(Axon { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: u16::MAX })
    );
}
