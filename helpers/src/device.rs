//! Where tensors live: this machine's processor, or a CUDA GPU.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::process;

/// The place where a model and its data are kept and computed on.
///
/// This is a description: it can be copied and serialised. [`Device::open`] gives the handle that
/// tensors need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor's cores and the main memory.
    #[default]
    Cpu,
    /// The CUDA GPU with this number, counted from 0.
    Cuda {
        /// The GPU's number.
        ordinal: usize,
    },
}

impl Device {
    /// The first CUDA GPU when this build can use one and it answers, the processor otherwise.
    pub fn best() -> Self {
        let gpu = Self::Cuda { ordinal: 0 };
        if gpu.open().is_ok() { gpu } else { Self::Cpu }
    }

    /// The handle that tensors are made with.
    ///
    /// # Errors
    /// [`Error::Device`] when a GPU is asked for and this build has no CUDA in it, or no GPU with this
    /// number answers.
    pub fn open(self) -> Result<candle_core::Device> {
        match self {
            Self::Cpu => {
                process::prepare();
                Ok(candle_core::Device::Cpu)
            }
            Self::Cuda { ordinal } if cfg!(feature = "cuda") => {
                candle_core::Device::new_cuda(ordinal).map_err(|cause| {
                    Error::Device(format!(
                        "GPU number {ordinal} does not answer ({}); look at the output of `nvidia-smi`, \
                         or use Device::Cpu",
                        first_line(&cause.to_string())
                    ))
                })
            }
            Self::Cuda { ordinal } => Err(Error::Device(format!(
                "GPU number {ordinal} was asked for, but this build of onramp has no CUDA in it; use \
                 Device::Cpu, or build with `cargo build -p onramp --features cuda` where the CUDA toolkit \
                 is installed"
            ))),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "CPU"),
            Self::Cuda { ordinal } => write!(f, "CUDA GPU {ordinal}"),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}
