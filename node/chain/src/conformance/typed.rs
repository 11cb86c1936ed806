//! A chain after an upgrade that gives ids and amounts types of their own, as the live chain did
//! with netuid, uid, stake and deposit: every `u16` and `u64` in its metadata becomes a struct of
//! one field. On the wire nothing changes.

use std::collections::HashMap;

use codec::Encode as _;
use frame_metadata::v16::StorageEntryType;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use scale_info::form::PortableForm;
use scale_info::{
    Field, Path, PortableRegistry, PortableType, Type, TypeDef, TypeDefComposite, TypeDefPrimitive,
};

use super::Chain;

/// The first bytes of encoded metadata.
const MAGIC: u32 = 0x6174_656d;

type Ids = HashMap<u32, u32>;

fn put(ids: &Ids, id: &mut u32) {
    if let Some(wrapped) = ids.get(id) {
        *id = *wrapped;
    }
}

fn put_fields(ids: &Ids, fields: &mut [Field<PortableForm>]) {
    for field in fields {
        let mut id = field.ty.id;
        put(ids, &mut id);
        field.ty = id.into();
    }
}

/// Adds a struct for each number type that is wrapped, and puts it into every other type.
fn wrap(types: &mut PortableRegistry) -> Ids {
    let numbers = types.types.iter().filter_map(|entry| match entry.ty.type_def {
        TypeDef::Primitive(TypeDefPrimitive::U16 | TypeDefPrimitive::U64) => Some(entry.id),
        _ => None,
    });
    let numbers: Vec<u32> = numbers.collect();
    let first = u32::try_from(types.types.len()).unwrap();
    let ids: Ids = numbers.iter().copied().zip(first..).collect();
    for entry in &mut types.types {
        match &mut entry.ty.type_def {
            TypeDef::Composite(composite) => put_fields(&ids, &mut composite.fields),
            TypeDef::Variant(variants) => {
                for variant in &mut variants.variants {
                    put_fields(&ids, &mut variant.fields);
                }
            }
            TypeDef::Tuple(tuple) => {
                for field in &mut tuple.fields {
                    let mut id = field.id;
                    put(&ids, &mut id);
                    *field = id.into();
                }
            }
            TypeDef::Sequence(sequence) => {
                let mut id = sequence.type_param.id;
                put(&ids, &mut id);
                sequence.type_param = id.into();
            }
            _ => {}
        }
    }
    for number in numbers {
        let field = Field { name: None, ty: number.into(), type_name: None, docs: Vec::new() };
        let ty = Type {
            path: Path::from_segments_unchecked(["typed".to_owned(), format!("Id{number}")]),
            type_params: Vec::new(),
            type_def: TypeDef::Composite(TypeDefComposite { fields: vec![field] }),
            docs: Vec::new(),
        };
        types.types.push(PortableType { id: ids[&number], ty });
    }
    ids
}

/// The same chain with types of their own.
pub(super) fn typed(chain: &Chain) -> Chain {
    let mut plain = chain.plain.clone();
    let ids = wrap(&mut plain.types);
    for pallet in &mut plain.pallets {
        for entry in pallet.storage.iter_mut().flat_map(|storage| &mut storage.entries) {
            match &mut entry.ty {
                StorageEntryType::Plain(value) => {
                    let mut id = value.id;
                    put(&ids, &mut id);
                    *value = id.into();
                }
                StorageEntryType::Map { key, value, .. } => {
                    for part in [key, value] {
                        let mut id = part.id;
                        put(&ids, &mut id);
                        *part = id.into();
                    }
                }
            }
        }
    }
    let bytes = RuntimeMetadataPrefixed(MAGIC, RuntimeMetadata::V16(plain)).encode();
    Chain::read(&bytes)
}
