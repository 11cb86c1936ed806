//! Metadata of a runtime that gives ids and amounts types of their own, as the live chain's netuid,
//! uid, stake and deposit got them: every `u16` and `u64` becomes a struct of one field. On the
//! wire nothing changes.

use codec::{Decode, Encode};
use frame_metadata::v16::StorageEntryType;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use scale_info::form::{Form, PortableForm};
use scale_info::{
    Field, Path, PortableRegistry, PortableType, Type, TypeDef, TypeDefComposite, TypeDefPrimitive,
};
use std::collections::HashMap;

/// From this `spec_version` on, ids and amounts have types of their own in the newest metadata.
pub const TYPED_IDS: u32 = 1_000;

/// How one type names another one.
type Reference = <PortableForm as Form>::Type;

/// The struct of each number type.
struct Structs(HashMap<u32, u32>);

impl Structs {
    fn put(&self, reference: &mut Reference) {
        if let Some(wrapped) = self.0.get(&reference.id) {
            reference.id = *wrapped;
        }
    }

    fn put_fields(&self, fields: &mut [Field<PortableForm>]) {
        for field in fields {
            self.put(&mut field.ty);
        }
    }
}

/// Rewrites encoded metadata of version 16; that of older versions stays as it is.
pub(crate) fn typed(metadata: &[u8]) -> Vec<u8> {
    let decoded = RuntimeMetadataPrefixed::decode(&mut &metadata[..]);
    let Ok(RuntimeMetadataPrefixed(magic, RuntimeMetadata::V16(mut plain))) = decoded else {
        return metadata.to_vec();
    };
    let structs = wrap(&mut plain.types);
    for pallet in &mut plain.pallets {
        for entry in pallet.storage.iter_mut().flat_map(|storage| &mut storage.entries) {
            match &mut entry.ty {
                StorageEntryType::Plain(value) => structs.put(value),
                StorageEntryType::Map { key, value, .. } => {
                    structs.put(key);
                    structs.put(value);
                }
            }
        }
    }
    RuntimeMetadataPrefixed(magic, RuntimeMetadata::V16(plain)).encode()
}

/// Adds a struct for each number type that is wrapped, and puts it into every other type.
fn wrap(types: &mut PortableRegistry) -> Structs {
    let numbers = types.types.iter().filter_map(|entry| match entry.ty.type_def {
        TypeDef::Primitive(TypeDefPrimitive::U16 | TypeDefPrimitive::U64) => Some(entry.id),
        _ => None,
    });
    let first = types.types.len() as u32;
    let numbers: Vec<(u32, u32)> = numbers.zip(first..).collect();
    let structs = Structs(numbers.iter().copied().collect());
    for entry in &mut types.types {
        match &mut entry.ty.type_def {
            TypeDef::Composite(composite) => structs.put_fields(&mut composite.fields),
            TypeDef::Variant(variants) => {
                for variant in &mut variants.variants {
                    structs.put_fields(&mut variant.fields);
                }
            }
            TypeDef::Tuple(tuple) => {
                for field in &mut tuple.fields {
                    structs.put(field);
                }
            }
            TypeDef::Sequence(sequence) => structs.put(&mut sequence.type_param),
            _ => {}
        }
    }
    for (number, id) in numbers {
        let field = Field { name: None, ty: number.into(), type_name: None, docs: Vec::new() };
        let ty = Type {
            path: Path::from_segments_unchecked(["typed_ids".to_owned(), format!("Id{number}")]),
            type_params: Vec::new(),
            type_def: TypeDef::Composite(TypeDefComposite { fields: vec![field] }),
            docs: Vec::new(),
        };
        types.types.push(PortableType { id, ty });
    }
    structs
}
