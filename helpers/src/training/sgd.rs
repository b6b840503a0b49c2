//! Stochastic gradient descent: each parameter moves against its gradient, w <- w - rate * g.

use candle_core::{CpuStorage, InplaceOp2, Layout, bail};

use super::Gradients;
use crate::error::{Error, Result};
use crate::model::Network;

/// Plain stochastic gradient descent, without momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    rate: f64,
}

impl Sgd {
    /// Descent with this learning rate.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the rate is not a number above 0.
    pub fn new(learning_rate: f64) -> Result<Self> {
        if !(learning_rate.is_finite() && learning_rate > 0.0) {
            return Err(Error::invalid(format!(
                "the learning rate is {learning_rate}; use a number above 0, such as 0.1"
            )));
        }
        Ok(Self { rate: learning_rate })
    }

    /// Changes the network's parameters.
    ///
    /// On the CPU the change is made in place: written out as tensor operations it would make three
    /// temporary tensors for each variable.
    ///
    /// # Errors
    /// [`Error::Candle`] when the gradients belong to another network.
    pub fn step(&self, network: &Network, gradients: &Gradients) -> Result<()> {
        for ((_, variable), gradient) in network.variables().iter().zip(gradients.tensors()) {
            if network.device().is_cpu() {
                variable.inplace_op2(gradient, &Descend { rate: self.rate as f32 })?;
            } else {
                variable.set(&variable.sub(&(gradient * self.rate)?)?)?;
            }
        }
        Ok(())
    }
}

struct Descend {
    rate: f32,
}

impl InplaceOp2 for Descend {
    fn name(&self) -> &'static str {
        "descend"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        l1: &Layout,
        gradients: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradients)) = (weights, gradients) else {
            bail!("descent needs 32-bit floats")
        };
        let (Some((w, w_end)), Some((g, g_end))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            bail!("descent needs contiguous tensors")
        };
        if w_end - w != g_end - g {
            bail!("{} weights but {} gradients", w_end - w, g_end - g)
        }
        for (weight, gradient) in weights[w..w_end].iter_mut().zip(&gradients[g..g_end]) {
            *weight -= self.rate * gradient;
        }
        Ok(())
    }
}
