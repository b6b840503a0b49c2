//! What an optimiser remembers from step to step.
//!
//! On the CPU each variable is changed in place, in one pass over parameter, gradient and moments: written out as
//! tensor operations a step would make up to ten temporary tensors for each variable.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var, bail};

use super::Gradients;
use super::optimiser::{Optimiser, Rule};
use crate::error::{Error, Result};
use crate::model::Network;

/// Against a division by zero where a gradient is clipped; PyTorch's value.
const SMALLEST_NORM: f64 = 1e-6;

/// The moments of all variables, and the number of steps taken. It can be taken out and put back, so that a run
/// that is resumed goes on as if it had never stopped.
#[derive(Debug, Clone)]
pub struct OptimiserState {
    optimiser: Optimiser,
    steps: usize,
    /// True on the CPU; elsewhere a step is made of tensor operations.
    in_place: bool,
    /// For each moment of the rule, one tensor's numbers for each variable, in the order of their names.
    moments: Vec<Vec<Moment>>,
}

/// A running mean with the shape of its variable.
#[derive(Debug, Clone)]
enum Moment {
    Host(Vec<f32>),
    Device(Tensor),
}

impl OptimiserState {
    pub(super) fn new(optimiser: Optimiser, network: &Network, in_place: bool) -> Result<Self> {
        let count = match optimiser.rule {
            Rule::Sgd { momentum: 0.0 } => 0,
            Rule::Sgd { .. } => 1,
            Rule::AdamW { .. } => 2,
        };
        let zeros = || -> Result<Vec<Moment>> {
            network.variables().iter().map(|(_, variable)| Moment::zeros(variable, in_place)).collect()
        };
        let moments = (0..count).map(|_| zeros()).collect::<Result<_>>()?;
        Ok(Self { optimiser, steps: 0, in_place, moments })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// All moments one after the other, each in the order of the variables' names. Plain descent has none.
    ///
    /// # Errors
    /// [`Error::Candle`] when the device fails.
    pub fn moments(&self) -> Result<Vec<f32>> {
        let mut flat = Vec::new();
        for moment in self.moments.iter().flatten() {
            match moment {
                Moment::Host(values) => flat.extend_from_slice(values),
                Moment::Device(tensor) => flat.extend(tensor.flatten_all()?.to_vec1::<f32>()?),
            }
        }
        Ok(flat)
    }

    /// Goes on from a state that was taken out with [`OptimiserState::moments`] and [`OptimiserState::steps`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there are more or fewer numbers than this optimiser has.
    pub fn restore(&mut self, steps: usize, moments: &[f32]) -> Result<()> {
        let own = self.moments.iter().flatten().map(Moment::len).sum::<usize>();
        if moments.len() != own {
            return Err(Error::invalid(format!(
                "{} moments were given for an optimiser that has {own}; take them from the same optimiser and model",
                moments.len()
            )));
        }
        let mut rest = moments;
        for moment in self.moments.iter_mut().flatten() {
            let (values, after) = rest.split_at(moment.len());
            rest = after;
            match moment {
                Moment::Host(own) => own.copy_from_slice(values),
                Moment::Device(tensor) => *tensor = Tensor::from_slice(values, tensor.shape(), tensor.device())?,
            }
        }
        self.steps = steps;
        Ok(())
    }

    /// Changes the network's parameters, and the state.
    ///
    /// # Errors
    /// [`Error::Candle`] when the gradients belong to another network.
    pub fn step(&mut self, network: &Network, gradients: &Gradients) -> Result<()> {
        let update = Update {
            rate: self.optimiser.learning_rate_at(self.steps),
            scale: self.clipping(gradients)?,
            decay: self.optimiser.weight_decay,
            rule: self.optimiser.rule,
            step: self.steps as i32 + 1,
            in_place: self.in_place,
        };
        for (index, ((_, variable), gradient)) in network.variables().iter().zip(gradients.tensors()).enumerate() {
            let mut moments: Vec<&mut Moment> = self.moments.iter_mut().map(|kind| &mut kind[index]).collect();
            update.apply(variable, gradient, &mut moments)?;
        }
        self.steps += 1;
        Ok(())
    }

    /// What the gradients are multiplied by, so that they are not longer than asked.
    fn clipping(&self, gradients: &Gradients) -> Result<f64> {
        let Some(longest) = self.optimiser.clip_norm else { return Ok(1.0) };
        Ok((longest / (gradients.norm()? + SMALLEST_NORM)).min(1.0))
    }
}

impl Moment {
    fn zeros(variable: &Var, in_place: bool) -> Result<Self> {
        Ok(match in_place {
            true => Self::Host(vec![0.0; variable.elem_count()]),
            false => Self::Device(variable.zeros_like()?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Host(values) => values.len(),
            Self::Device(tensor) => tensor.elem_count(),
        }
    }
}

/// One step of one optimiser.
struct Update {
    rate: f64,
    scale: f64,
    decay: f64,
    rule: Rule,
    /// From 1.
    step: i32,
    in_place: bool,
}

impl Update {
    fn apply(&self, variable: &Var, gradient: &Tensor, moments: &mut [&mut Moment]) -> Result<()> {
        if self.in_place {
            let host = moments.iter_mut().filter_map(|moment| match moment {
                Moment::Host(values) => Some(values.as_mut_slice()),
                Moment::Device(_) => None,
            });
            let in_place = InPlace { update: self, moments: RefCell::new(host.collect()) };
            return Ok(variable.inplace_op2(gradient, &in_place)?);
        }
        let mut device = moments.iter_mut().filter_map(|moment| match moment {
            Moment::Device(tensor) => Some(tensor),
            Moment::Host(_) => None,
        });
        let gradient = (gradient * self.scale)?;
        let weights = variable.as_tensor().detach();
        let moved = match self.rule {
            Rule::Sgd { momentum } => {
                let mut change = (gradient + (&weights * self.decay)?)?;
                if let Some(velocity) = device.next() {
                    change = ((&*velocity * momentum)? + change)?;
                    *velocity = change.clone();
                }
                (weights - (change * self.rate)?)?
            }
            Rule::AdamW { beta1, beta2, epsilon } => {
                let (Some(first), Some(second)) = (device.next(), device.next()) else {
                    return Err(Error::invalid("this state belongs to another optimiser; start a new one"));
                };
                *first = ((&*first * beta1)? + (&gradient * (1.0 - beta1))?)?;
                *second = ((&*second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                let size = ((&*second / (1.0 - beta2.powi(self.step)))?.sqrt()? + epsilon)?;
                let change = ((&*first / (1.0 - beta1.powi(self.step)))? / size)?;
                ((weights * (1.0 - self.rate * self.decay))? - (change * self.rate)?)?
            }
        };
        Ok(variable.set(&moved)?)
    }
}

/// [`Update`] on the CPU, in one pass.
struct InPlace<'a> {
    update: &'a Update,
    moments: RefCell<Vec<&'a mut [f32]>>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "optimiser step"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        l1: &Layout,
        gradients: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradients)) = (weights, gradients) else {
            bail!("an optimiser's step needs 32-bit floats")
        };
        let (Some((w, w_end)), Some((g, g_end))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            bail!("an optimiser's step needs contiguous tensors")
        };
        if w_end - w != g_end - g {
            bail!("{} weights but {} gradients", w_end - w, g_end - g)
        }
        let pairs = weights[w..w_end].iter_mut().zip(&gradients[g..g_end]);
        let Update { rate, scale, decay, .. } = *self.update;
        let (rate, scale, decay) = (rate as f32, scale as f32, decay as f32);
        match (self.update.rule, &mut self.moments.borrow_mut()[..]) {
            (Rule::Sgd { .. }, []) => {
                pairs.for_each(|(weight, gradient)| *weight -= rate * (scale * gradient + decay * *weight));
            }
            (Rule::Sgd { momentum }, [velocities]) => {
                let momentum = momentum as f32;
                for ((weight, gradient), velocity) in pairs.zip(velocities.iter_mut()) {
                    *velocity = momentum * *velocity + (scale * gradient + decay * *weight);
                    *weight -= rate * *velocity;
                }
            }
            (Rule::AdamW { beta1, beta2, epsilon }, [firsts, seconds]) => {
                let step = self.update.step;
                // m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon), with the divisions outside the loop.
                let first_scale = (self.update.rate / (1.0 - beta1.powi(step))) as f32;
                let second_scale = (1.0 / (1.0 - beta2.powi(step)).sqrt()) as f32;
                let keep = (1.0 - self.update.rate * self.update.decay) as f32;
                // 1 - 0.999 in 32 bits would lose half of its digits.
                let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
                let (beta1, beta2, epsilon) = (beta1 as f32, beta2 as f32, epsilon as f32);
                let moments = firsts.iter_mut().zip(seconds.iter_mut());
                for ((weight, gradient), (first, second)) in pairs.zip(moments) {
                    let gradient = scale * gradient;
                    *first = beta1 * *first + rest1 * gradient;
                    *second = beta2 * *second + rest2 * gradient * gradient;
                    *weight = keep * *weight - first_scale * *first / (second_scale * second.sqrt() + epsilon);
                }
            }
            (_, moments) => bail!("this optimiser does not have {} moments", moments.len()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Teacher;
    use crate::device::Device;
    use crate::model::{Architecture, Mlp};

    /// The parameters and moments after three steps.
    fn stepped(optimiser: Optimiser, in_place: bool) -> Result<(Vec<f32>, Vec<f32>)> {
        let network = Mlp::new(8).build(0, &Device::Cpu)?;
        let batch = Teacher::new(16).generate()?.batch_range(0, 16, network.device())?;
        let mut state = OptimiserState::new(optimiser, &network, in_place)?;
        for _ in 0..3 {
            let (_, gradients) = Gradients::of(&network, &batch)?;
            state.step(&network, &gradients)?;
        }
        Ok((network.parameters()?, state.moments()?))
    }

    #[test]
    fn tensor_operations_and_the_pass_in_place_agree() -> Result<()> {
        let plain = Optimiser::sgd(0.1).weight_decay(0.01);
        for optimiser in [plain, plain.momentum(0.9).clip_norm(0.1), Optimiser::adamw(1e-2).warm_up(2)] {
            let (one, other) = (stepped(optimiser, true)?, stepped(optimiser, false)?);
            assert_eq!(one.1.len(), other.1.len());
            for (a, b) in one.0.iter().chain(&one.1).zip(other.0.iter().chain(&other.1)) {
                assert!((a - b).abs() < 1e-5, "{a} in place, {b} by tensor operations: {optimiser:?}");
            }
        }
        Ok(())
    }
}
