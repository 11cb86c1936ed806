//! The two signed texts.
//!
//! They have no domain in front: the SDK signs them bare. A text begins with a nonce in decimal
//! digits and has hotkeys between dots, so no message of the mesh, which begins with `leoma:`, can
//! be taken for one. Nobody signs the body of an answer.

use super::body_hash::BodyHash;
use super::uuid::CallerUuid;
use crate::{Hotkey, HotkeySigner, Signature};

/// What a dendrite signs.
#[derive(Clone, Debug)]
pub(super) struct RequestText<'a> {
    pub(super) nonce: u64,
    pub(super) dendrite: Hotkey,
    pub(super) axon: Hotkey,
    pub(super) uuid: &'a CallerUuid,
    pub(super) body_hash: BodyHash,
}

impl RequestText<'_> {
    pub(super) fn text(&self) -> String {
        let Self { nonce, dendrite, axon, uuid, body_hash } = self;
        format!("{nonce}.{dendrite}.{axon}.{uuid}.{body_hash}")
    }

    pub(super) fn sign(&self, signer: &HotkeySigner) -> Signature {
        signer.sign_synapse_text(&self.text())
    }

    pub(super) fn is_signed_by_its_dendrite(&self, signature: &Signature) -> bool {
        signature.verifies(self.text().as_bytes(), &self.dendrite)
    }
}

/// What an axon signs beside its answer.
#[derive(Clone, Debug)]
pub(super) struct AnswerText<'a> {
    pub(super) nonce: u64,
    pub(super) dendrite: Hotkey,
    pub(super) axon: Hotkey,
    pub(super) uuid: &'a CallerUuid,
}

impl AnswerText<'_> {
    pub(super) fn text(&self) -> String {
        let Self { nonce, dendrite, axon, uuid } = self;
        format!("{nonce}.{dendrite}.{axon}.{uuid}")
    }

    pub(super) fn sign(&self, signer: &HotkeySigner) -> Signature {
        signer.sign_synapse_text(&self.text())
    }
}
