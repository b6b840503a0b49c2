//! Where tensors live: this machine's processor, or a CUDA GPU.

use std::fmt;

use candle_core::DType;
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

    /// Refuses a precision that this device can't compute in.
    ///
    /// # Errors
    /// [`Error::Device`] for bf16 on the processor: candle multiplies no such matrices there.
    pub fn check(self, precision: Precision) -> Result<()> {
        match (self, precision) {
            (Self::Cpu, Precision::Bf16) => Err(Error::Device(
                "the CPU can't train in bf16; use Precision::F32, or a GPU: Device::Cuda { ordinal: 0 }".to_string(),
            )),
            _ => Ok(()),
        }
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
                "GPU number {ordinal} was asked for, but this build of onramp has no CUDA in it; use Device::Cpu, or \
                 run `cargo lab setup --cuda` once, which builds it for NVIDIA GPUs"
            ))),
        }
    }
}

/// In which numbers a pass forward and back computes. Parameters, gradients and optimiser states are 32-bit floats always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16 bits, of which 8 are the exponent's, as many as in 32: half the memory, and a GPU's matrix units (Kalamkar et
    /// al. 2019, "A Study of BFLOAT16 for Deep Learning Training").
    Bf16,
}

impl Precision {
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
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
