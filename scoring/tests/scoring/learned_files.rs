//! A fault in the files of a learned judge gives one error that names the file and the tensor.

use crate::support::cpu;
use crate::support::weights;
use crate::support::weights::{Weights, published, save, save_as, table};
use burn::tensor::Tensor;
use burn_flex::Flex;
use leoma_scoring::learned::{LearnedError, Lpips, TextImage};
use safetensors::Dtype;
use std::path::Path;

const FIRST: &str = "text_model.encoder.layers.1.mlp.fc1.weight";

fn load(folder: &Path) -> Result<TextImage<Flex>, LearnedError> {
    TextImage::load(folder, &cpu())
}

fn lpips(path: &Path) -> Result<Lpips<Flex>, LearnedError> {
    Lpips::load(path, &cpu())
}

/// Loading a SigLIP whose weights were changed, which has to fail.
fn with_weights(change: impl FnOnce(&mut Weights)) -> LearnedError {
    let folder = published("siglip");
    let mut all = weights::weights(&table("siglip"));
    change(&mut all);
    save(&all, &folder.path().join("model.safetensors"));
    load(folder.path()).unwrap_err()
}

/// Loading a model whose `config.json` had `old` replaced by `new`, which has to fail.
fn with_config(name: &str, old: &str, new: &str) -> LearnedError {
    let folder = published(name);
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{old}");
    std::fs::write(&path, text.replace(old, new)).unwrap();
    load(folder.path()).unwrap_err()
}

#[test]
fn a_missing_tensor_is_named() {
    let error = with_weights(|all| drop(all.remove(FIRST).unwrap()));
    assert!(
        matches!(&error, LearnedError::MissingTensor { tensor, .. } if tensor == FIRST),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("model.safetensors has no tensor text_model.encoder.layers.1.mlp.fc1.weight")
    );
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let error = with_weights(|all| all.get_mut(FIRST).unwrap().0.reverse());
    assert!(error.to_string().contains("fc1.weight is [24, 40], not [40, 24]"), "{error}");
}

#[test]
fn a_value_that_is_no_number_is_refused() {
    for value in [f32::NAN, f32::INFINITY] {
        let error = with_weights(|all| all.get_mut(FIRST).unwrap().1[7] = value);
        assert!(
            matches!(&error, LearnedError::NotFinite { tensor, .. } if tensor == FIRST),
            "{error}"
        );
    }
    let error = with_weights(|all| all.get_mut("logit_scale").unwrap().1[0] = 100.0);
    assert!(
        matches!(&error, LearnedError::NotFinite { tensor, .. } if tensor == "logit_scale"),
        "{error}"
    );
}

#[test]
fn weights_of_64_bits_are_refused_by_name() {
    let folder = published("clip");
    let path = folder.path().join("model.safetensors");
    save_as(&weights::weights(&table("clip")), &path, Dtype::F64, |value| {
        f64::from(value).to_le_bytes().to_vec()
    });
    let error = load(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("holds F64; save the weights as F32, F16 or BF16"),
        "{error}"
    );
}

#[test]
fn a_file_cut_short_or_grown_is_refused_wherever_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lpips.safetensors");
    save(&weights::weights(&table("lpips")), &path);
    let bytes = std::fs::read(&path).unwrap();
    assert!(lpips(&path).is_ok());
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = lpips(&path).unwrap_err();
        let expected =
            matches!(error, LearnedError::NotSafetensors { .. } | LearnedError::WrongLength { .. });
        assert!(expected && error.to_string().contains("lpips.safetensors"), "{length}: {error}");
    }
    std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(matches!(lpips(&path), Err(LearnedError::WrongLength { .. })));
}

#[test]
fn other_files_and_false_headers_are_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        lpips(&path).unwrap_err()
    };
    let with_header =
        |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    // A zip archive, as PyTorch writes: its first bytes are not the length of any header.
    assert!(matches!(
        refused(b"PK\x03\x04\x00\x00\x08\x08 and more"),
        LearnedError::TooLarge { .. }
    ));
    assert!(matches!(refused(&u64::MAX.to_le_bytes()), LearnedError::TooLarge { .. }));
    assert!(matches!(refused(&with_header("[]")), LearnedError::NotSafetensors { .. }));
    assert!(matches!(refused(&with_header("{\"a\": 3}")), LearnedError::NotSafetensors { .. }));
    assert!(matches!(refused(&with_header("{}")), LearnedError::MissingTensor { .. }));
    // Sizes that overflow, offsets with a gap, and a shape that its bytes do not have.
    for (shape, offsets) in
        [("[9007199254740993,4096,4096]", "[0,0]"), ("[1]", "[4,8]"), ("[2]", "[0,4]")]
    {
        let tensor =
            format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}");
        assert!(
            matches!(refused(&with_header(&tensor)), LearnedError::NotSafetensors { .. }),
            "{tensor}"
        );
    }
    // A huge file of zeros.
    let huge = std::fs::File::create(&path).unwrap();
    huge.set_len(17 << 30).unwrap();
    assert!(matches!(lpips(&path), Err(LearnedError::TooLarge { .. })));
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_it_should_be() {
    let folder = published("clip");
    for file in ["model.safetensors", "tokenizer.json", "config.json"] {
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{file}: No such file")) && error.contains("it should be the"),
            "{error}"
        );
    }
    assert!(lpips(folder.path()).unwrap_err().to_string().contains("not a plain file"));
    assert!(lpips(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a plain file"));
}

#[test]
fn a_configuration_out_of_bounds_is_refused_by_its_field() {
    for (old, new, wanted) in [
        (
            "\"model_type\": \"clip\",",
            "\"model_type\": \"bert\",",
            "model_type is bert; known: clip and siglip",
        ),
        (
            "\"hidden_size\": 24",
            "\"hidden_size\": 1000000",
            "hidden_size is 1000000, not between 1 and 8192",
        ),
        ("\"hidden_size\": 24", "\"hidden_size\": 0", "hidden_size is 0"),
        ("\"hidden_size\": 24", "\"hidden_size\": -1", "invalid value"),
        (
            "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 5",
            "a multiple of num_attention_heads",
        ),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5000", "num_hidden_layers is 5000"),
        ("\"patch_size\": 8", "\"patch_size\": 33", "patch_size is 33, not between 1 and 32"),
        ("\"image_size\": 32", "\"image_size\": 1000", "the number of patches is 15625"),
        ("\"quick_gelu\"", "\"relu\"", "hidden_act is relu"),
        ("\"layer_norm_eps\": 1e-05", "\"layer_norm_eps\": 1", "layer_norm_eps is 1"),
        ("\"num_channels\": 3", "\"num_channels\": 4", "num_channels"),
    ] {
        let error = with_config("clip", old, new);
        let expected = matches!(error, LearnedError::Config { .. })
            && error.to_string().contains("config.json: ");
        assert!(expected && error.to_string().contains(wanted), "{error}");
    }
    assert!(
        with_config("siglip", "\"projection_size\": 32", "\"projection_size\": 24")
            .to_string()
            .contains("embedding")
    );
    assert!(
        with_config("siglip", "\"vision_use_head\": true", "\"vision_use_head\": false")
            .to_string()
            .contains("head")
    );
    let folder = published("siglip");
    let text = r#"{"model_type": "clip", "text_config": {"hidden_size": 8192, "intermediate_size": 32768, "num_hidden_layers": 96}}"#;
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("weights, more than the"));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let error = with_config("siglip", "\"vocab_size\": 115", "\"vocab_size\": 20").to_string();
    assert!(
        error.contains("tokenizer.json: it gives token") && error.contains("vocab_size is 20"),
        "{error}"
    );
    let error = with_config("clip", "\"eos_token_id\": 763", "\"eos_token_id\": 700").to_string();
    assert!(error.contains("does not end a text with token 700"), "{error}");
    let folder = published("clip");
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(matches!(load(folder.path()), Err(LearnedError::Tokenizer { .. })));
}

#[test]
fn a_preprocessor_configuration_is_used_or_refused() {
    let folder = published("clip");
    let picture = Tensor::<Flex, 4>::full([1, 3, 40, 50], 0.25, &cpu());
    let embed = |text: &str| {
        std::fs::write(folder.path().join("preprocessor_config.json"), text).unwrap();
        Ok::<_, LearnedError>(load(folder.path())?.pictures(&picture).unwrap().remove(0))
    };
    let usual = embed("{}").unwrap();
    assert_ne!(embed(r#"{"image_mean": [0.5, 0.5, 0.5], "resample": 2}"#).unwrap(), usual);
    for text in [
        r#"{"resample": 1}"#,
        r#"{"image_std": [0, 1, 1]}"#,
        r#"{"image_mean": [1e39, 0, 0]}"#,
        r#"{"image_mean": [0, 0]}"#,
        "nothing",
    ] {
        let error = embed(text).unwrap_err();
        assert!(error.to_string().contains("preprocessor_config.json: "), "{error}");
    }
}

#[test]
fn pictures_that_cannot_be_judged_are_refused() {
    let folder = published("clip");
    let model = load(folder.path()).unwrap();
    let path = folder.path().join("lpips.safetensors");
    save(&weights::weights(&table("lpips")), &path);
    let lpips = lpips(&path).unwrap();
    let pictures = |shape: [usize; 4]| Tensor::<Flex, 4>::zeros(shape, &cpu());
    assert!(matches!(
        model.pictures(&pictures([1, 1, 40, 40])),
        Err(LearnedError::Pictures { .. })
    ));
    let error = lpips.distance(&pictures([1, 3, 30, 64]), &pictures([1, 3, 30, 64])).unwrap_err();
    assert!(error.to_string().contains("[1, 3, 30, 64] cannot be judged: LPIPS needs"), "{error}");
    assert!(lpips.distance(&pictures([1, 3, 40, 64]), &pictures([2, 3, 40, 64])).is_err());
}
