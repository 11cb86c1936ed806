//! Reads weights from a safetensors file, one tensor at a time, after checking its size.

use super::LearnedError;
use crate::device::transfer::tensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The header's own length comes first, in 8 bytes.
const LENGTH_BYTES: u64 = 8;
/// A header has some 100 bytes per tensor, and the largest models here have under two thousand
/// tensors.
const MAX_HEADER_BYTES: u64 = 4 << 20;
/// The largest published CLIP has 10 GB of 32-bit weights.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Reads a small file.
pub(super) fn read_bounded(
    path: &Path,
    limit: u64,
    remedy: &'static str,
) -> Result<Vec<u8>, LearnedError> {
    let unreadable = |source| LearnedError::Unreadable { path: path.to_owned(), source, remedy };
    let (file, length) = open_regular(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // Even if the file grows meanwhile, no more than this length is read.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let got = length.max(bytes.len() as u64);
    if got > limit {
        return Err(LearnedError::TooLarge {
            path: path.to_owned(),
            what: "its size in bytes",
            got,
            limit,
        });
    }
    Ok(bytes)
}

/// Opens a plain file, and nothing that could block or never end.
fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_start: u64,
}

impl WeightFile {
    /// Reads and checks the header: offsets must have no gaps, sizes must fit shapes and types, and
    /// the file must have the stated length.
    pub(super) fn open(path: &Path, remedy: &'static str) -> Result<Self, LearnedError> {
        let path = path.to_owned();
        let unreadable = |source| LearnedError::Unreadable { path: path.clone(), source, remedy };
        let refused = |reason: String| LearnedError::NotSafetensors { path: path.clone(), reason };
        let too_large =
            |what, got, limit| LearnedError::TooLarge { path: path.clone(), what, got, limit };
        let (file, length) = open_regular(&path).map_err(unreadable)?;
        if length > MAX_FILE_BYTES {
            return Err(too_large("its size in bytes", length, MAX_FILE_BYTES));
        }
        if length < LENGTH_BYTES {
            return Err(refused(format!("it has only {length} bytes")));
        }
        let mut header_length = [0; LENGTH_BYTES as usize];
        file.read_exact_at(&mut header_length, 0).map_err(unreadable)?;
        let header_length = u64::from_le_bytes(header_length);
        if header_length > MAX_HEADER_BYTES {
            // Other kinds of file fail here, because their first bytes are taken for a length.
            return Err(too_large(
                "the length of its safetensors header in bytes",
                header_length,
                MAX_HEADER_BYTES,
            ));
        }
        let data_start = LENGTH_BYTES + header_length;
        if data_start > length {
            return Err(LearnedError::WrongLength { path, got: length, want: data_start });
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact_at(&mut header, LENGTH_BYTES).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| refused(error.to_string()))?;
        let want = data_start.saturating_add(metadata.data_len() as u64);
        if want != length {
            return Err(LearnedError::WrongLength { path, got: length, want });
        }
        Ok(Self { path, file, metadata, data_start })
    }

    /// All tensors of the file, for `device`.
    pub(super) fn tensors<'a, B: Backend>(&'a self, device: &'a B::Device) -> Scope<'a, B> {
        Scope { file: self, prefix: String::new(), device }
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LearnedError> {
        let (path, tensor) = (|| self.path.clone(), || name.to_owned());
        let Some(TensorInfo { dtype, shape: got, data_offsets: (start, end) }) =
            self.metadata.info(name)
        else {
            return Err(LearnedError::MissingTensor { path: path(), tensor: tensor() });
        };
        if got != shape {
            return Err(LearnedError::WrongShape {
                path: path(),
                tensor: tensor(),
                got: got.clone(),
                want: shape.to_vec(),
            });
        }
        if !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(LearnedError::WrongType {
                path: path(),
                tensor: tensor(),
                got: format!("{dtype:?}"),
            });
        }
        // The header was checked, so the bytes fit the shape and the type.
        let mut bytes = vec![0; end - start];
        self.file.read_exact_at(&mut bytes, self.data_start + *start as u64).map_err(|source| {
            LearnedError::Unreadable {
                path: path(),
                source,
                remedy: "did the file change while it was read?",
            }
        })?;
        let values: Vec<f32> = match dtype {
            Dtype::F32 => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => {
                bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            _ => {
                bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
        };
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(LearnedError::NotFinite { path: path(), tensor: tensor() })
        }
    }
}

/// The tensors of a file whose names have a common prefix.
#[derive(Debug)]
pub(super) struct Scope<'a, B: Backend> {
    file: &'a WeightFile,
    prefix: String,
    device: &'a B::Device,
}

impl<'a, B: Backend> Scope<'a, B> {
    /// The tensors of this scope whose names go on with `part`.
    pub(super) fn part(&self, part: &str) -> Self {
        Self { file: self.file, prefix: format!("{}{part}.", self.prefix), device: self.device }
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.file.metadata.info(&self.full_name(name)).is_some()
    }

    /// The tensor `name`, which must have this shape, as 32-bit floats.
    pub(super) fn tensor<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<B, D>, LearnedError> {
        Ok(tensor(self.file.values(&self.full_name(name), &shape)?, shape, self.device))
    }

    /// The value of a tensor that holds a single one.
    pub(super) fn value(&self, name: &str) -> Result<f32, LearnedError> {
        let name = self.full_name(name);
        let sides = self.file.metadata.info(&name).map_or(0, |info| info.shape.len());
        let values = self.file.values(&name, if sides == 1 { &[1] } else { &[] })?;
        Ok(values[0])
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
