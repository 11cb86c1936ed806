//! Learned judges against the public implementations of their models: `references/` says how its
//! tables were made.

use crate::support::cpu;
#[cfg(feature = "vulkan")]
use crate::support::lavapipe::on_lavapipe;
use crate::support::pictures;
use crate::support::weights;
use crate::support::weights::{published, save, save_as, table};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
#[cfg(feature = "vulkan")]
use burn_wgpu::Vulkan;
use half::{bf16, f16};
use leoma_scoring::learned::{Embedding, Lpips, TextImage, similarity};
use safetensors::Dtype;
use serde_json::Value;

/// RGB of three textures.
fn colour(height: usize, width: usize, salt: i64) -> Vec<u8> {
    let plane = |channel: i64| {
        pictures::picture(height, width, |x, y| {
            pictures::texture(x * 256 + 3_000_000 * channel + salt, y * 256)
        })
    };
    (0..3).flat_map(plane).collect()
}

fn spoilt(base: &[u8], height: usize, width: usize) -> Vec<u8> {
    let noise = |channel: i64| {
        pictures::picture(height, width, |x, y| pictures::lattice(x, y, 99 + channel) % 41)
    };
    let noise = (0..3).flat_map(noise);
    base.iter()
        .zip(noise)
        .map(|(base, noise)| (i64::from(*base) + i64::from(noise) - 20).clamp(0, 255) as u8)
        .collect()
}

fn rgb(bytes: &[u8], height: usize, width: usize) -> Tensor<Flex, 4> {
    rgb_on(&cpu(), bytes, height, width)
}

fn rgb_on<B: Backend>(
    device: &B::Device,
    bytes: &[u8],
    height: usize,
    width: usize,
) -> Tensor<B, 4> {
    let values: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    Tensor::from_data(TensorData::new(values, [1, 3, height, width]), device)
}

fn side(case: &Value, name: &str) -> usize {
    case[name].as_u64().unwrap() as usize
}

/// Largest difference over the largest value.
fn error(found: &Embedding, wanted: &Value) -> f64 {
    let wanted: Vec<f64> = serde_json::from_value(wanted.clone()).unwrap();
    assert_eq!(found.values().len(), wanted.len());
    let differences = found
        .values()
        .iter()
        .zip(&wanted)
        .map(|(found, wanted)| (f64::from(*found) - wanted).abs());
    differences.fold(0.0, f64::max) / wanted.iter().fold(0.0, |most, value| value.abs().max(most))
}

fn model(name: &str) -> TextImage<Flex> {
    model_on(&cpu(), name)
}

fn model_on<B: Backend>(device: &B::Device, name: &str) -> TextImage<B> {
    TextImage::load(published(name).path(), device).unwrap()
}

fn lpips_meets_the_lpips_package<B: Backend>(device: &B::Device) {
    let table = table("lpips");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lpips.safetensors");
    save(&weights::weights(&table), &path);
    let lpips = Lpips::<B>::load(&path, device).unwrap();
    for case in table["cases"].as_array().unwrap() {
        let (height, width) = (side(case, "height"), side(case, "width"));
        let left = colour(height, width, 0);
        let right = match case["other"].as_str().unwrap() {
            "noise" => spoilt(&left, height, width),
            "unrelated" => colour(height, width, 10_000_000),
            _ => left.clone(),
        };
        let found = lpips
            .distance(&rgb_on(device, &left, height, width), &rgb_on(device, &right, height, width))
            .unwrap();
        let (found, wanted) = (f64::from(found[0]), case["distance"].as_f64().unwrap());
        println!("{case}: {found}, off by {:.1e}", (found - wanted).abs() / wanted.max(1e-9));
        assert!((found - wanted).abs() <= 1e-5 * wanted, "{case}: {found}");
    }
}

#[test]
fn lpips_takes_torchvisions_names_and_many_pairs() {
    let all = weights::weights(&table("lpips"));
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    save(&all, &first);
    let renamed = all.into_iter().map(|(name, tensor)| {
        let name = match name.strip_prefix("net.slice") {
            Some(rest) => format!("features{}", &rest[1..]),
            None => name.replace("lin", "lins."),
        };
        (name, tensor)
    });
    save(&renamed.collect(), &second);
    let bytes = colour(40, 40, 0);
    let left = Tensor::cat(vec![rgb(&bytes, 40, 40), rgb(&colour(40, 40, 999), 40, 40)], 0);
    let right = Tensor::cat(vec![rgb(&spoilt(&bytes, 40, 40), 40, 40), rgb(&bytes, 40, 40)], 0);
    let [first, second] = [first, second]
        .map(|path| Lpips::<Flex>::load(&path, &cpu()).unwrap().distance(&left, &right));
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    assert!(first.len() == 2 && 0.0 < first[0] && first[0] < first[1], "{first:?}");
}

fn texts_meet_transformers<B: Backend>(device: &B::Device) {
    for name in ["clip", "siglip"] {
        let (model, table) = (model_on::<B>(device, name), table(name));
        for case in table["texts"].as_array().unwrap() {
            let error =
                error(&model.text(case["text"].as_str().unwrap()).unwrap(), &case["embedding"]);
            println!("{name}, {}: {error:.1e}", case["text"]);
            assert!(error < 1e-5, "{name}: {}: {error}", case["text"]);
        }
    }
}

fn pictures_of_any_size_meet_transformers<B: Backend>(device: &B::Device) {
    for name in ["clip", "siglip"] {
        let (model, table) = (model_on::<B>(device, name), table(name));
        for case in table["pictures"].as_array().unwrap() {
            let (height, width) = (side(case, "height"), side(case, "width"));
            let found =
                model.pictures(&rgb_on(device, &colour(height, width, 0), height, width)).unwrap();
            let error = error(&found[0], &case["embedding"]);
            println!("{name}, {}: {error:.1e}", case["case"]);
            assert!(found.len() == 1 && error < 1e-5, "{name}: {}: {error}", case["case"]);
        }
    }
}

#[test]
fn learned_judges_meet_their_models() {
    meet_their_models::<Flex>(&cpu());
}

#[cfg(feature = "vulkan")]
#[test]
#[ignore = "kernels are compiled for four minutes"]
fn learned_judges_meet_their_models_on_vulkan() {
    on_lavapipe("learned::learned_judges_meet_their_models_on_vulkan", |device| {
        meet_their_models::<Vulkan>(&device)
    });
}

fn meet_their_models<B: Backend>(device: &B::Device) {
    lpips_meets_the_lpips_package::<B>(device);
    texts_meet_transformers::<B>(device);
    pictures_of_any_size_meet_transformers::<B>(device);
}

#[test]
fn a_text_and_a_picture_fit_as_much_as_in_transformers() {
    for name in ["clip", "siglip"] {
        let (model, table) = (model(name), table(name));
        let text = model.text(table["texts"][0]["text"].as_str().unwrap()).unwrap();
        let pictures = model.pictures(&rgb(&colour(60, 101, 0), 60, 101)).unwrap();
        let (found, wanted) = (model.logits(&text, &pictures)[0], table["logit"].as_f64().unwrap());
        assert!((found - wanted).abs() < 1e-5 * wanted.abs(), "{name}: {found}, not {wanted}");
    }
}

#[test]
fn a_clips_similarity_is_the_mean_of_its_pictures() {
    let model = model("clip");
    let text = model.text("a dog").unwrap();
    // More than one batch.
    let pictures: Vec<_> =
        (0..19).map(|index| rgb(&colour(40, 60, index * 5_000), 40, 60)).collect();
    let together = model.pictures(&Tensor::cat(pictures.clone(), 0)).unwrap();
    let alone: Vec<f64> =
        pictures.iter().map(|one| text.cosine(&model.pictures(one).unwrap()[0])).collect();
    let mean = alone.iter().sum::<f64>() / 19.0;
    assert_eq!(together.len(), 19);
    assert!((f64::from(similarity(&text, &together)) - mean).abs() < 1e-6);
    assert!((text.cosine(&text) - 1.0).abs() < 1e-12);
    assert_eq!(similarity(&text, &[]), 0.0);
}

#[test]
fn weights_of_16_bits_are_read() {
    let all = weights::weights(&table("siglip"));
    let exact = model("siglip").text("a photo of a cat").unwrap();
    let folder = published("siglip");
    let path = folder.path().join("model.safetensors");
    let cosine = |dtype, bytes: fn(f32) -> Vec<u8>| {
        save_as(&all, &path, dtype, bytes);
        let model = TextImage::<Flex>::load(folder.path(), &cpu()).unwrap();
        exact.cosine(&model.text("a photo of a cat").unwrap())
    };
    let half = cosine(Dtype::F16, |value| f16::from_f32(value).to_le_bytes().to_vec());
    let brain = cosine(Dtype::BF16, |value| bf16::from_f32(value).to_le_bytes().to_vec());
    assert!(half > 0.999_99 && half < 1.0, "{half}");
    assert!(brain > 0.999 && brain < half, "{brain}");
}

#[test]
fn a_short_text_is_filled_up_as_the_files_say() {
    let folder = published("siglip");
    let embed = || {
        let model = TextImage::<Flex>::load(folder.path(), &cpu()).unwrap();
        model.text("a cat").unwrap()
    };
    let first = embed();
    let stated =
        |text: &str| std::fs::write(folder.path().join("tokenizer_config.json"), text).unwrap();
    stated(r#"{"pad_token": "<pad>"}"#);
    assert_ne!(embed(), first);
    stated(r#"{"pad_token": {"content": "</s>"}}"#);
    assert_eq!(embed(), first);
}
