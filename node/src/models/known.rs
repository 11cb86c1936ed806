//! The models that the judge can use.

/// A model, as the registry has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownModel {
    /// Its name here, and that of its folder.
    pub(crate) name: &'static str,
    /// `owner/name` in the registry.
    pub(crate) repository: &'static str,
    /// The licence that its authors name.
    pub(crate) licence: &'static str,
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// The setting that uses it.
    pub(crate) setting: &'static str,
    /// The files that it needs.
    pub(crate) needed: &'static [&'static str],
    /// Files that change what it computes where the repository has them.
    pub(crate) optional: &'static [&'static str],
}

const NEEDED: &[&str] = &["config.json", "model.safetensors", "tokenizer.json"];
const OPTIONAL: &[&str] = &["preprocessor_config.json", "tokenizer_config.json"];
const PROMPT: &str = "how well frames show the prompt, a part of prompt adherence";

const fn text_model(
    name: &'static str,
    repository: &'static str,
    licence: &'static str,
) -> KnownModel {
    let setting = "LEOMA_TEXT_MODEL";
    let (needed, optional) = (NEEDED, OPTIONAL);
    KnownModel { name, repository, licence, purpose: PROMPT, setting, needed, optional }
}

/// All of them. No revision and no sum is written here: the first pull takes the registry's newest
/// commit and its sums, and the lock beside the files keeps both.
pub(crate) const KNOWN: [KnownModel; 3] = [
    text_model("siglip-base-patch16-224", "google/siglip-base-patch16-224", "Apache-2.0"),
    text_model("clip-vit-large-patch14", "openai/clip-vit-large-patch14", "MIT"),
    text_model("clip-vit-base-patch32-laion", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "MIT"),
];

impl KnownModel {
    /// The model of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|model| model.name == name)
    }
}
