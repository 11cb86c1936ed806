//! The question that Virtuals' miners know, and the answer in a reply to it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leoma_protocol::synapse::{BuildError, Field, FieldKind, Fields, Question, SynapseClass};
use leoma_scoring::motion::MAX_BVH_BYTES;

/// Their class. Nothing of it is hashed, so the signature covers neither sound nor motion.
pub(crate) const CLASS: SynapseClass = SynapseClass {
    name: "VPA2ASynapse",
    fields: &[
        Field::new("input_type", FieldKind::Text),
        Field::new("audio_input", FieldKind::Text),
        Field::new("animation_output", FieldKind::Text).mutable(),
    ],
    hashed: &[],
};

/// What a reply has beside the answer and the question: the headers' fields, as JSON.
const OVERHEAD: usize = 64 << 10;

/// The question with this sound.
///
/// # Errors
/// [`BuildError`].
pub(super) fn question(audio: &[u8], timeout: Duration) -> Result<Question, BuildError> {
    let fields = Fields::from([
        ("input_type", "data".into()),
        ("audio_input", STANDARD.encode(audio).as_str().into()),
        ("animation_output", "".into()),
    ]);
    Question::new(&CLASS, &fields, timeout)
}

/// Most bytes of a reply: miners send the question back, and a text of many lines grows in JSON.
pub(super) const fn reply_bytes(audio: usize) -> usize {
    let echoed = audio.div_ceil(3).saturating_mul(4);
    echoed.saturating_add(MAX_BVH_BYTES + MAX_BVH_BYTES / 8).saturating_add(OVERHEAD)
}

/// The BVH file in a reply. What is in it is judged later.
///
/// # Errors
/// Why there is none.
pub(super) fn answer(fields: &Fields) -> Result<Bytes, String> {
    let text = fields.get("animation_output").and_then(|text| text.as_str()).unwrap_or_default();
    match text.len() {
        0 => Err("it has no animation".to_owned()),
        length if length > MAX_BVH_BYTES => {
            Err(format!("its animation has more than {MAX_BVH_BYTES} bytes"))
        }
        _ => Ok(Bytes::copy_from_slice(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leoma_protocol::synapse::{Caller, CallerUuid, Target};
    use leoma_protocol::{HotkeySigner, MemoryGuard};
    use sp_core::{Pair as _, sr25519};

    use super::*;

    #[test]
    fn the_question_is_that_of_the_sdk() {
        let pair = sr25519::Pair::from_string("//Alice", None).unwrap();
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        let bob = sr25519::Pair::from_string("//Bob", None).unwrap();
        let target =
            Target { ip: [203, 0, 113, 7].into(), port: 8091, hotkey: bob.public().into() };
        let caller = Caller { ip: None, uuid: CallerUuid::from_random([7; 16]) };
        let question = question(b"sound", Duration::from_secs(180)).unwrap();
        let request = question.sign(&target, &caller, 1_760_000_000_123_456_789, &signer);
        assert_eq!(request.path, "/VPA2ASynapse");
        let header = |name: &str| {
            let found = request.headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(header("timeout"), Some("180.0"));
        let empty = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a";
        assert_eq!(header("computed_body_hash"), Some(empty));
        assert_eq!(header("bt_header_input_obj_audio_input"), None, "every field has a default");
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["audio_input"], "c291bmQ=");
        assert_eq!((&body["input_type"], &body["animation_output"]), (&"data".into(), &"".into()));
    }

    #[test]
    fn a_reply_without_an_animation_says_why() {
        let of = |text: &str| answer(&Fields::from([("animation_output", text.into())]));
        assert_eq!(of("HIERARCHY").unwrap(), "HIERARCHY");
        assert!(of("").unwrap_err().contains("no animation"));
        assert!(of(&"x".repeat(MAX_BVH_BYTES + 1)).unwrap_err().contains("more than"));
        assert!(answer(&Fields::new()).is_err());
        assert!(reply_bytes(0) > MAX_BVH_BYTES && reply_bytes(3 << 20) > MAX_BVH_BYTES + (4 << 20));
    }
}
