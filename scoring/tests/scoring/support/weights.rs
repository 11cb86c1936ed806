//! Models of `references/tables/learned` as an operator would lay them out; `references/learned.py`
//! makes the same weights.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "shared by several test programs, each of which uses a part"
)]

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A table of `references/tables/learned`.
pub fn table(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(tables().join(format!("{name}.json"))).unwrap()).unwrap()
}

fn tables() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("references/tables/learned")
}

/// Weights by name, with their sides.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The weights of a model.
pub fn weights(table: &Value) -> Weights {
    let entry = |(name, shape): (&String, &Value)| {
        let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
        let values = fill(name, &shape);
        (name.clone(), (shape, values))
    };
    table["shapes"].as_object().unwrap().iter().map(entry).collect()
}

/// Weights of a tensor: a hash of its name and of each place, scaled by a power of two.
fn fill(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name
        .bytes()
        .fold(2_166_136_261_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    let unit = |place: u32| {
        let mixed = seed.wrapping_add(place.wrapping_mul(2_654_435_769));
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_146_121_005);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_221_713_035);
        ((mixed ^ (mixed >> 16)) >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let inputs: u64 = shape.iter().skip(1).product::<usize>() as u64;
    let halvings = (0..).find(|halvings| 1_u64 << (2 * halvings) >= inputs).unwrap();
    let value = |unit: f32| match name {
        _ if name.starts_with("lin") => (unit + 0.5) * 0.25,
        _ if shape.len() == 1 && name.contains("norm") && name.ends_with("weight") => {
            1.0 + unit * 0.5
        }
        _ if shape.len() < 2 => unit * 0.5,
        _ if name.contains("embedding") && !name.contains("patch") || name.ends_with("probe") => {
            unit
        }
        _ => unit * 4.0 / (1_u64 << halvings) as f32,
    };
    (0..shape.iter().product::<usize>() as u32).map(|place| value(unit(place))).collect()
}

/// Writes 32-bit weights.
pub fn save(weights: &Weights, path: &Path) {
    save_as(weights, path, Dtype::F32, |value| value.to_le_bytes().to_vec());
}

/// Writes weights of another type.
pub fn save_as(weights: &Weights, path: &Path, dtype: Dtype, bytes: impl Fn(f32) -> Vec<u8>) {
    let encode = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| bytes(*value)).collect();
        (name.clone(), shape.clone(), bytes)
    };
    let encoded: Vec<_> = weights.iter().map(encode).collect();
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A folder with a model as it is published.
pub fn published(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(tables().join(name).join(file), folder.path().join(file)).unwrap();
    }
    save(&weights(&table(name)), &folder.path().join("model.safetensors"));
    folder
}
