//! Why a learned metric cannot be used.

use std::io;
use std::path::PathBuf;

/// What is wrong with the operator's files, or with a network's input. The message names the file
/// and the tensor, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LearnedError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}; {remedy}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The file is larger than any such file.
    #[error("{} is too large: {what} is {got}, the limit is {limit}; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large, with its unit.
        what: &'static str,
        /// Its size.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// The header is not that of a safetensors file.
    #[error("{} is not a safetensors file: {reason}; convert the weights with Python's safetensors.torch.save_file", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The header promises another length than the file has.
    #[error("{} has {got} bytes where its header promises {want}; copy the file again", path.display())]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        got: u64,
        /// Bytes that should be.
        want: u64,
    },
    /// A tensor that the model needs is not in the file.
    #[error("{} has no tensor {tensor}; are these the weights of another model, or laid out by another library?", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor is of another model's size.
    #[error("{}: tensor {tensor} is {got:?}, not {want:?}; do the weights belong to this model and its config.json?", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its sides.
        got: Vec<usize>,
        /// The sides that the model needs.
        want: Vec<usize>,
    },
    /// A tensor does not hold floats of 32 or 16 bits.
    #[error("{}: tensor {tensor} holds {got}; save the weights as F32, F16 or BF16", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its type, as safetensors writes it.
        got: String,
    },
    /// A tensor holds an infinite value or one that is not a number.
    #[error("{}: tensor {tensor} holds a value that is not finite; fetch the weights again", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A configuration that is not understood or not supported.
    #[error("{}: {fault}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Which field, and what it may be.
        fault: ConfigFault,
    },
    /// A tokenizer that cannot be loaded, or does not belong to the model.
    #[error("{}: {reason}; take the tokenizer.json that was published with the weights", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The files changed after the validator started.
    #[error("{} was {was} when the validator started and is {is} now; restart the validator", folder.display())]
    Replaced {
        /// The model's folder.
        folder: PathBuf,
        /// Its id then.
        was: String,
        /// Its id now.
        is: String,
    },
    /// Pictures that cannot be judged.
    #[error("pictures of shape {shape:?} cannot be judged: {reason}")]
    Pictures {
        /// Their shape.
        shape: [usize; 4],
        /// What is needed instead.
        reason: String,
    },
}

/// What is wrong with a model's `config.json` or `preprocessor_config.json`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// Not JSON, or a field of another type.
    #[error("{0}; take the file that was published with the weights")]
    NotJson(serde_json::Error),
    /// A size outside its bounds.
    #[error("{field} is {value}, not between 1 and {most}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The largest value it may have.
        most: usize,
    },
    /// A variant that is not implemented here.
    #[error("{field} is {value}; known: {known}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values it may have.
        known: &'static str,
    },
    /// Two sizes do not fit each other.
    #[error("{field} is {value}, where {other} has {other_value}")]
    Disagree {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// What it has to fit.
        other: &'static str,
        /// The other's value.
        other_value: usize,
    },
    /// Each size is allowed, but not all of them together.
    #[error("the model has {weights} weights, more than the {limit} allowed")]
    TooManyWeights {
        /// Their approximate number.
        weights: u64,
        /// The largest number allowed.
        limit: u64,
    },
}
