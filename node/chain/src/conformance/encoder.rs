//! A second SCALE encoder, by the type registry of the metadata alone.

use blake2::Blake2bVar;
use blake2::digest::{Update as _, VariableOutput as _};
use codec::{Compact, Encode as _};
use frame_metadata::v16::{
    RuntimeMetadataV16, StorageEntryMetadata, StorageEntryType, StorageHasher,
};
use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, TypeDefPrimitive, Variant};
use twox_hash::XxHash64;

/// A value without a type.
#[derive(Clone, Debug)]
pub(super) enum Datum {
    Bool(bool),
    Number(u128),
    Bytes(Vec<u8>),
    /// A list or a tuple.
    Many(Vec<Datum>),
    /// A struct's fields, all of them.
    Fields(Vec<(&'static str, Datum)>),
    /// A variant by name, with its fields.
    Variant(String, Vec<Datum>),
}

impl Datum {
    pub(super) fn numbers(numbers: &[u16]) -> Self {
        Self::Many(numbers.iter().map(|number| Self::Number((*number).into())).collect())
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Variant("Some".to_owned(), vec![value])
    }

    pub(super) fn none() -> Self {
        Self::Variant("None".to_owned(), Vec::new())
    }
}

/// Appends `datum` as the type `id` is encoded. Panics where the datum is not of that type.
pub(super) fn encode(types: &PortableRegistry, id: u32, datum: &Datum, out: &mut Vec<u8>) {
    let definition = &types.resolve(id).unwrap().type_def;
    match (definition, datum) {
        (TypeDef::Primitive(TypeDefPrimitive::Bool), Datum::Bool(value)) => {
            out.push(u8::from(*value))
        }
        (TypeDef::Primitive(primitive), Datum::Number(number)) => {
            let width = width(primitive);
            let bytes = number.to_le_bytes();
            assert!(
                bytes[width..].iter().all(|byte| *byte == 0),
                "{number} does not fit into {width} bytes"
            );
            out.extend_from_slice(&bytes[..width]);
        }
        (TypeDef::Compact(_), Datum::Number(number)) => Compact(*number).encode_to(out),
        (TypeDef::Sequence(_), Datum::Bytes(bytes)) => {
            assert_eq!(name(types, id), "Vec<u8>");
            Compact(bytes.len() as u32).encode_to(out);
            out.extend_from_slice(bytes);
        }
        (TypeDef::Sequence(sequence), Datum::Many(items)) => {
            Compact(items.len() as u32).encode_to(out);
            items.iter().for_each(|item| encode(types, sequence.type_param.id, item, out));
        }
        (TypeDef::Array(array), Datum::Bytes(bytes)) => {
            assert_eq!(
                (name(types, array.type_param.id).as_str(), array.len as usize),
                ("u8", bytes.len())
            );
            out.extend_from_slice(bytes);
        }
        (TypeDef::Tuple(tuple), Datum::Many(items)) => {
            assert_eq!(tuple.fields.len(), items.len(), "{datum:?} as a tuple");
            tuple
                .fields
                .iter()
                .zip(items)
                .for_each(|(field, item)| encode(types, field.id, item, out));
        }
        (TypeDef::Composite(composite), Datum::Fields(given)) => {
            encode_fields(types, &composite.fields, given, out)
        }
        // A struct around one value is encoded as that value.
        (TypeDef::Composite(composite), datum) => {
            let [field] = &composite.fields[..] else { panic!("{datum:?} as {}", name(types, id)) };
            encode(types, field.ty.id, datum, out);
        }
        (TypeDef::Variant(variants), Datum::Variant(chosen, items)) => {
            let variant = variants.variants.iter().find(|variant| variant.name == *chosen);
            let variant =
                variant.unwrap_or_else(|| panic!("no variant {chosen} of {}", name(types, id)));
            out.push(variant.index);
            assert_eq!(variant.fields.len(), items.len(), "{datum:?}");
            variant
                .fields
                .iter()
                .zip(items)
                .for_each(|(field, item)| encode(types, field.ty.id, item, out));
        }
        _ => panic!("{datum:?} is no {}", name(types, id)),
    }
}

fn encode_fields(
    types: &PortableRegistry,
    fields: &[Field<PortableForm>],
    given: &[(&'static str, Datum)],
    out: &mut Vec<u8>,
) {
    let names: Vec<_> =
        fields.iter().map(|field| field.name.as_deref().unwrap_or_default()).collect();
    let given_names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, given_names);
    fields.iter().zip(given).for_each(|(field, (_, datum))| encode(types, field.ty.id, datum, out));
}

fn width(primitive: &TypeDefPrimitive) -> usize {
    match primitive {
        TypeDefPrimitive::U8 => 1,
        TypeDefPrimitive::U16 => 2,
        TypeDefPrimitive::U32 => 4,
        TypeDefPrimitive::U64 => 8,
        TypeDefPrimitive::U128 => 16,
        other => panic!("no number is of type {other:?}"),
    }
}

/// A type's name as Rust has it: structs and enums by their last path segment, those around one
/// value as that value.
pub(super) fn name(types: &PortableRegistry, id: u32) -> String {
    let ty = types.resolve(id).unwrap();
    let list =
        |ids: Vec<u32>| ids.into_iter().map(|id| name(types, id)).collect::<Vec<_>>().join(", ");
    match &ty.type_def {
        TypeDef::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        TypeDef::Compact(compact) => format!("Compact<{}>", name(types, compact.type_param.id)),
        TypeDef::Sequence(sequence) => format!("Vec<{}>", name(types, sequence.type_param.id)),
        TypeDef::Array(array) => format!("[{}; {}]", name(types, array.type_param.id), array.len),
        TypeDef::Tuple(tuple) => {
            format!("({})", list(tuple.fields.iter().map(|field| field.id).collect()))
        }
        TypeDef::Composite(composite) => match &composite.fields[..] {
            [Field { ty, name: None, .. }] => name(types, ty.id),
            _ => ty.path.ident().unwrap(),
        },
        TypeDef::Variant(variants) if ty.path.ident().as_deref() == Some("Option") => {
            let some = variants.variants.iter().find(|variant| variant.name == "Some").unwrap();
            format!("Option<{}>", name(types, some.fields[0].ty.id))
        }
        TypeDef::Variant(_) => ty.path.ident().unwrap(),
        TypeDef::BitSequence(_) => "BitVec".to_owned(),
    }
}

/// A call of a pallet, with the pallet's index.
pub(super) fn call<'a>(
    metadata: &'a RuntimeMetadataV16,
    pallet: &str,
    call: &str,
) -> Option<(u8, &'a Variant<PortableForm>)> {
    let pallet = metadata.pallets.iter().find(|found| found.name == pallet)?;
    let TypeDef::Variant(calls) = &metadata.types.resolve(pallet.calls.as_ref()?.ty.id)?.type_def
    else {
        return None;
    };
    Some((pallet.index, calls.variants.iter().find(|variant| variant.name == call)?))
}

/// A call's bytes.
pub(super) fn call_bytes(
    metadata: &RuntimeMetadataV16,
    pallet: &str,
    name: &str,
    arguments: &[(&'static str, Datum)],
) -> Vec<u8> {
    let (pallet, call) =
        call(metadata, pallet, name).unwrap_or_else(|| panic!("no call {pallet}.{name}"));
    let mut out = vec![pallet, call.index];
    encode_fields(&metadata.types, &call.fields, arguments, &mut out);
    out
}

/// An entry of storage and the prefix of its pallet.
pub(super) fn entry<'a>(
    metadata: &'a RuntimeMetadataV16,
    pallet: &str,
    name: &str,
) -> Option<(&'a str, &'a StorageEntryMetadata<PortableForm>)> {
    let storage = metadata.pallets.iter().find(|found| found.name == pallet)?.storage.as_ref()?;
    Some((&storage.prefix, storage.entries.iter().find(|entry| entry.name == name)?))
}

/// The type of an entry's value.
pub(super) fn value_type(entry: &StorageEntryMetadata<PortableForm>) -> u32 {
    match &entry.ty {
        StorageEntryType::Plain(value) | StorageEntryType::Map { value, .. } => value.id,
    }
}

/// The key of a value, or with fewer parts than the entry has the beginning of the keys of several.
pub(super) fn storage_key(
    metadata: &RuntimeMetadataV16,
    pallet: &str,
    name: &str,
    parts: &[Datum],
) -> Vec<u8> {
    let (prefix, entry) =
        entry(metadata, pallet, name).unwrap_or_else(|| panic!("no entry {pallet}.{name}"));
    let mut key = [twox_128(prefix.as_bytes()), twox_128(name.as_bytes())].concat();
    let StorageEntryType::Map { hashers, key: keys, .. } = &entry.ty else {
        assert!(parts.is_empty(), "{pallet}.{name} has no keys");
        return key;
    };
    let key_types = match &metadata.types.resolve(keys.id).unwrap().type_def {
        TypeDef::Tuple(tuple) if hashers.len() > 1 => {
            tuple.fields.iter().map(|field| field.id).collect()
        }
        _ => vec![keys.id],
    };
    assert_eq!(key_types.len(), hashers.len());
    for ((hasher, key_type), part) in hashers.iter().zip(key_types).zip(parts) {
        let mut bytes = Vec::new();
        encode(&metadata.types, key_type, part, &mut bytes);
        match hasher {
            StorageHasher::Identity => {}
            StorageHasher::Twox64Concat => key.extend(twox_64(&bytes)),
            StorageHasher::Blake2_128Concat => key.extend(blake2_128(&bytes)),
            other => panic!("no entry that is read has keys hashed by {other:?}"),
        }
        key.extend(bytes);
    }
    key
}

fn twox_64(bytes: &[u8]) -> [u8; 8] {
    XxHash64::oneshot(0, bytes).to_le_bytes()
}

fn twox_128(bytes: &[u8]) -> [u8; 16] {
    let halves = [0, 1].map(|seed| XxHash64::oneshot(seed, bytes).to_le_bytes());
    halves.concat().try_into().unwrap()
}

fn blake2_128(bytes: &[u8]) -> [u8; 16] {
    let mut hasher = Blake2bVar::new(16).unwrap();
    hasher.update(bytes);
    let mut out = [0; 16];
    hasher.finalize_variable(&mut out).unwrap();
    out
}

#[test]
fn the_second_encoders_hashes_are_those_that_every_substrate_chain_shows() {
    // The prefix of System.Account, and an account's key under it as explorers print it for the
    // well-known key Alice.
    assert_eq!(hex::encode(twox_128(b"System")), "26aa394eea5630e07c48ae0c9558cef7");
    assert_eq!(hex::encode(twox_128(b"Account")), "b99d880ec681799c0cf30e8886371da9");
    let alice =
        hex::decode("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d").unwrap();
    assert_eq!(hex::encode(blake2_128(&alice)), "de1e86a9a8c739864cf3cc5ec2bea59f");
    assert_eq!(hex::encode(twox_64(&alice)), "518366b5b1bc7c99");
}
