//! Names that are only compared: errors, events, and what subxt reads by itself.

use frame_metadata::v16::RuntimeMetadataV16;
use scale_info::TypeDef;

use super::{Chain, SPEC_VERSION, encoder};
use crate::submit::rejection::BY_NAME;

/// Errors that the kept metadata does not have, as the live chain got them later.
const NEWER: [&str; 3] = ["InvalidRevealRound", "ColdkeySwapAnnounced", "ColdkeySwapDisputed"];
/// Errors that the local chain does not have: it has no coldkey swaps, and one name only for a
/// balance that is too low.
const NOT_LOCAL: [&str; 3] = ["ColdkeySwapAnnounced", "ColdkeySwapDisputed", "InsufficientBalance"];

/// Names of the errors that this project's calls can end in.
fn errors(metadata: &RuntimeMetadataV16) -> Vec<&str> {
    let pallets = metadata
        .pallets
        .iter()
        .filter(|pallet| ["SubtensorModule", "Commitments"].contains(&&pallet.name[..]));
    let ids = pallets.filter_map(|pallet| Some(pallet.error.as_ref()?.ty.id));
    ids.flat_map(|id| variants(metadata, id)).collect()
}

fn variants(metadata: &RuntimeMetadataV16, id: u32) -> Vec<&str> {
    let TypeDef::Variant(variants) = &metadata.types.resolve(id).unwrap().type_def else {
        panic!("no enum")
    };
    variants.variants.iter().map(|variant| variant.name.as_str()).collect()
}

#[test]
fn every_error_that_has_a_meaning_here_exists_on_both_chains() {
    let (finney, local) = (Chain::finney(), Chain::local());
    let (on_finney, on_local) = (errors(&finney.plain), errors(&local.plain));
    for name in BY_NAME.iter().flat_map(|(_, names)| *names) {
        assert_eq!(on_finney.contains(name), !NEWER.contains(name), "{name} on the live chain");
        assert_eq!(on_local.contains(name), !NOT_LOCAL.contains(name), "{name} on the local chain");
    }
}

#[test]
fn no_error_has_two_meanings() {
    let mut names: Vec<_> = BY_NAME.iter().flat_map(|(_, names)| *names).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn what_the_client_library_reads_by_itself_is_there() {
    for chain in [Chain::finney(), Chain::local()] {
        let metadata = &chain.plain;
        // How a transaction ended.
        assert!(encoder::entry(metadata, "System", "Events").is_some());
        let system = metadata.pallets.iter().find(|pallet| pallet.name == "System").unwrap();
        let events = variants(metadata, system.event.as_ref().unwrap().ty.id);
        assert!(
            ["ExtrinsicSuccess", "ExtrinsicFailed"].iter().all(|name| events.contains(name)),
            "{events:?}"
        );
        for (api, name, inputs, output) in [
            ("Core", "version", vec![], "RuntimeVersion"),
            ("AccountNonceApi", "account_nonce", vec!["[u8; 32]"], "u32"),
        ] {
            let api = metadata.apis.iter().find(|found| found.name == api).unwrap();
            let method = api.methods.iter().find(|method| method.name == name).unwrap();
            let given: Vec<_> = method
                .inputs
                .iter()
                .map(|input| encoder::name(&metadata.types, input.ty.id))
                .collect();
            assert_eq!(
                (given, encoder::name(&metadata.types, method.output.id)),
                (inputs.into_iter().map(str::to_owned).collect(), output.to_owned())
            );
        }
        // A signer is named by account id, and sr25519 is the second kind of signature.
        assert!(metadata.extrinsic.versions.contains(&4));
        assert_eq!(variants(metadata, metadata.extrinsic.address_ty.id)[0], "Id");
        assert_eq!(variants(metadata, metadata.extrinsic.signature_ty.id)[1], "Sr25519");
    }
}

#[test]
fn the_kept_metadata_is_of_the_version_it_is_said_to_be() {
    let finney = Chain::finney();
    let system = finney.plain.pallets.iter().find(|pallet| pallet.name == "System").unwrap();
    let version = system.constants.iter().find(|constant| constant.name == "Version").unwrap();
    // Two names of 14 bytes behind their lengths, the authoring version, then the spec version.
    let spec_version = version.value[15 + 15 + 4..][..4].try_into().unwrap();
    assert_eq!(u32::from_le_bytes(spec_version), SPEC_VERSION);
}
