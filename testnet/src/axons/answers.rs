//! What each kind of miner answers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leoma_protocol::synapse::{Field, FieldKind, Fields, Refusal, SynapseClass};
use leoma_synapse::{Call, Forward};

use super::clips::{CLIPS, MotionClip};
use super::dancer::Dancer;
use crate::seed::Seed;

/// The question, as the miners of that subnet know it.
pub(super) const CLASS: SynapseClass = SynapseClass {
    name: "VPA2ASynapse",
    fields: &[
        Field::new("input_type", FieldKind::Text),
        Field::new("audio_input", FieldKind::Text),
        Field::new("animation_output", FieldKind::Text).mutable(),
    ],
    hashed: &[],
};

/// How far an honest answer and a rough one are off, in millimetres.
const HONEST_NOISE: f64 = 0.2;
const ROUGH_NOISE: f64 = 150.0;
/// How far away in the list the challenge is whose answer an old one belongs to.
const YESTERDAY: usize = 5;

/// A miner that dances.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) dancer: Dancer,
    pub(super) slug: String,
    pub(super) seed: Seed,
    pub(super) clips: Arc<Vec<MotionClip>>,
}

impl Stage {
    /// The answer to a sound; `None` for one that is not known.
    pub(super) fn answer(&self, sound: &[u8]) -> Option<String> {
        let index = self.clips.iter().position(|clip| clip.wav == sound)?;
        let clip = &self.clips[index];
        let honest = |clip: &MotionClip| clip.answer(HONEST_NOISE, &self.seed, &self.slug);
        Some(match self.dancer {
            Dancer::Rough => clip.answer(ROUGH_NOISE, &self.seed, &self.slug),
            Dancer::Still => clip.still(),
            Dancer::Yesterday => honest(&self.clips[(index + YESTERDAY) % CLIPS]),
            Dancer::Truncated => {
                let whole = honest(clip);
                // After a whole word: a lone `-` would be another fault.
                let part = &whole[..whole.len() * 2 / 3];
                part[..part.rfind(' ').unwrap_or(0)].to_owned()
            }
            Dancer::NotANumber => {
                let whole = honest(clip);
                let last = whole.trim_end().rfind(' ').unwrap_or(0);
                format!("{} nan\n", &whole[..last])
            }
            Dancer::Honest | Dancer::Slow | Dancer::Endless | Dancer::Silent => honest(clip),
        })
    }
}

#[async_trait::async_trait]
impl Forward for Stage {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        if self.dancer == Dancer::Slow {
            tokio::time::sleep(call.remaining / 2).await;
        }
        let text = call.fields.get("audio_input").and_then(|text| text.as_str());
        let sound = text.and_then(|text| STANDARD.decode(text).ok());
        let sound = sound.ok_or(Refusal::Forbidden("the sound is not base64"))?;
        let answer = self.answer(&sound).ok_or(Refusal::Forbidden("an unknown sound"))?;
        Ok(Fields::from([("animation_output", answer.as_str().into())]))
    }
}

#[cfg(test)]
mod tests {
    use leoma_scoring::motion::{Bvh, clip_of_answer};

    use super::super::clips::clips;
    use super::*;

    #[test]
    fn each_kind_answers_in_its_own_way() {
        let seed = Seed::new("answers");
        let all = Arc::new(clips(&seed));
        let stage = |dancer| Stage {
            dancer,
            slug: "miner-1".into(),
            seed: seed.clone(),
            clips: Arc::clone(&all),
        };
        let answer = |dancer: Dancer| stage(dancer).answer(&all[3].wav).unwrap();
        let read = |text: &str| {
            let bvh = Bvh::parse(text.as_bytes()).map_err(|error| error.to_string())?;
            clip_of_answer(&bvh).map_err(|error| error.to_string())
        };
        for dancer in [Dancer::Honest, Dancer::Rough, Dancer::Still, Dancer::Yesterday] {
            read(&answer(dancer)).unwrap_or_else(|error| panic!("{dancer}: {error}"));
        }
        for dancer in [Dancer::Truncated, Dancer::NotANumber] {
            let reason = dancer.expected().unwrap().reason;
            let error = read(&answer(dancer)).unwrap_err();
            assert!(error.contains(reason), "{dancer}: {error}");
        }
        assert_eq!(stage(Dancer::Honest).answer(b"noise"), None);
    }
}
