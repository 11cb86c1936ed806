//! What a miner is given, and what its answer is therefore judged by.
//!
//! | type | given | not judged by | weights of the aspects, in percent |
//! |---|---|---|---|
//! | `ti2v` | first frame and prompt | – | 25, 25, 15, 20, 10, 5 |
//! | `t2v` | prompt | the source's picture, and what is where in it and when | 0, 40, 20, 25, 10, 5 |
//! | `i2v` | first frame | what happens in the source: anything that moves as much will do | 35, 15, 20, 20, 10, 0 |
//!
//! Each part of the grade names what its miner has to have been given. So the metrics alone say
//! little about what a `t2v` or `i2v` answer shows. Gemini can tell, and for `t2v` a model that
//! reads prompts.

use serde::{Deserialize, Serialize};

/// What a miner is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskType {
    /// A first frame and a prompt.
    #[default]
    Ti2v,
    /// A prompt.
    T2v,
    /// A first frame.
    I2v,
}

impl TaskType {
    /// Whether miners are given the first frame.
    pub const fn gives_first_frame(self) -> bool {
        match self {
            Self::Ti2v | Self::I2v => true,
            Self::T2v => false,
        }
    }

    /// Whether miners are given a prompt.
    pub const fn gives_prompt(self) -> bool {
        match self {
            Self::Ti2v | Self::T2v => true,
            Self::I2v => false,
        }
    }

    /// Weights of the six aspects in percent, in the order of [`crate::Aspects`].
    pub const fn weights(self) -> [u16; 6] {
        match self {
            Self::Ti2v => [25, 25, 15, 20, 10, 5],
            Self::T2v => [0, 40, 20, 25, 10, 5],
            Self::I2v => [35, 15, 20, 20, 10, 0],
        }
    }
}

impl std::str::FromStr for TaskType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ti2v" => Ok(Self::Ti2v),
            "t2v" => Ok(Self::T2v),
            "i2v" => Ok(Self::I2v),
            _ => Err("a task type is ti2v, t2v or i2v".to_owned()),
        }
    }
}

impl std::fmt::Display for TaskType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ti2v => "ti2v",
            Self::T2v => "t2v",
            Self::I2v => "i2v",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_weights_are_percents() {
        for task in [TaskType::Ti2v, TaskType::T2v, TaskType::I2v] {
            assert_eq!(task.to_string().parse(), Ok(task));
            assert_eq!(serde_json::to_value(task).unwrap(), task.to_string());
            assert_eq!(task.weights().iter().sum::<u16>(), 100);
            assert_eq!(task.weights()[0] > 0, task.gives_first_frame());
        }
        assert!("TI2V".parse::<TaskType>().is_err());
    }
}
