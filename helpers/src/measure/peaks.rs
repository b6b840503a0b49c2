//! What a device can reach at most: how fast it copies memory, and how fast it multiplies matrices.

use std::time::Instant;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::Estimate;
use crate::device::{Device, Precision};
use crate::error::Result;
use crate::law::Roof;
use crate::machine;

/// Each thread copies this much at once: far more than a cache of last level has room for.
const CPU_COPY_BYTES: usize = 64 << 20;
/// Likewise for a GPU.
const GPU_COPY_BYTES: usize = 512 << 20;
/// Side of the square matrices: large enough that what a product moves costs it nothing.
const CPU_MATRIX_SIDE: usize = 1024;
/// A GPU needs more to be busy everywhere.
const GPU_MATRIX_SIDE: usize = 8192;
/// One sample lasts about this long.
const SAMPLE_SECONDS: f64 = 0.1;

/// The peaks of some threads of the processor, or of a GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// Where it was measured.
    pub device: Device,
    /// The precision of the matrix product.
    pub precision: Precision,
    /// Threads, each on a core of its own; 1 for a GPU.
    pub threads: usize,
    /// Bytes that a copy reads and writes per second, as the STREAM benchmark counts them (McCalpin 1995).
    pub bytes_per_second: Estimate,
    /// Floating-point operations per second of a large matrix product, two for each multiplication with its addition.
    pub flops_per_second: Estimate,
}

impl Peaks {
    /// The roof that they make.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] for peaks that are not above 0.
    pub fn roof(&self) -> Result<Roof> {
        Roof::new(self.flops_per_second.clone(), self.bytes_per_second.clone())
    }
}

/// What a measurement of [`Peaks`] works on.
pub(crate) struct PeakBench {
    device: Device,
    precision: Precision,
    pool: rayon::ThreadPool,
    handle: candle_core::Device,
    /// What each thread copies, and where to.
    copies: Vec<(Tensor, Tensor)>,
    matrices: (Tensor, Tensor),
}

impl PeakBench {
    /// # Errors
    /// [`crate::Error::Device`] for a device that is not there or does not compute in this precision.
    pub(crate) fn new(device: Device, precision: Precision, threads: usize) -> Result<Self> {
        device.check(precision)?;
        let handle = device.open()?;
        let (bytes, side) = match device {
            Device::Cpu => (CPU_COPY_BYTES, CPU_MATRIX_SIDE),
            Device::Cuda { .. } => (GPU_COPY_BYTES, GPU_MATRIX_SIDE),
        };
        let block = || Tensor::zeros(bytes / size_of::<f32>(), DType::F32, &handle);
        let copies = (0..threads).map(|_| Ok((block()?, block()?))).collect::<Result<_>>()?;
        // Products of zeros draw less power, and run faster than any real ones.
        let matrix = || Tensor::randn(0f32, 1.0, (side, side), &handle)?.to_dtype(precision.dtype());
        let matrices = (matrix()?, matrix()?);
        Ok(Self { device, precision, pool: machine::threads_pool(threads, 0)?, handle, copies, matrices })
    }

    /// Bytes read and written per second by all threads at once, once.
    pub(crate) fn copy_rate(&self) -> Result<f64> {
        let bytes: usize = self.copies.iter().map(|(from, _)| 2 * size_of::<f32>() * from.elem_count()).sum();
        let copy = || -> Result<()> {
            for copied in self.pool.broadcast(|thread| copy(&self.copies[thread.index()])) {
                copied?;
            }
            Ok(self.handle.synchronize()?)
        };
        Ok(bytes as f64 * self.rate(copy)?)
    }

    /// Floating-point operations per second of the matrix product, once.
    pub(crate) fn product_rate(&self) -> Result<f64> {
        let (a, b) = &self.matrices;
        let side = a.dims()[0] as f64;
        let product = || -> Result<()> {
            self.pool.install(|| a.matmul(b))?;
            Ok(self.handle.synchronize()?)
        };
        Ok(2.0 * side.powi(3) * self.rate(product)?)
    }

    pub(crate) fn peaks(&self, bytes_per_second: Vec<f64>, flops_per_second: Vec<f64>) -> Result<Peaks> {
        Ok(Peaks {
            device: self.device,
            precision: self.precision,
            threads: self.pool.current_num_threads(),
            bytes_per_second: Estimate::from_samples(bytes_per_second)?,
            flops_per_second: Estimate::from_samples(flops_per_second)?,
        })
    }

    /// How often `work` is done in a second.
    fn rate(&self, work: impl Fn() -> Result<()>) -> Result<f64> {
        let (start, mut times) = (Instant::now(), 0);
        while times == 0 || start.elapsed().as_secs_f64() < SAMPLE_SECONDS {
            work()?;
            times += 1;
        }
        Ok(f64::from(times) / start.elapsed().as_secs_f64())
    }
}

/// On the CPU in place, because fresh memory of this size is cleared page by page. A GPU has its own copying engine for
/// whole tensors, and keeps the memory of the last copy.
fn copy((from, to): &(Tensor, Tensor)) -> Result<()> {
    match from.device().is_cpu() {
        true => Ok(to.slice_set(from, 0, 0)?),
        false => Ok(from.copy().map(drop)?),
    }
}
