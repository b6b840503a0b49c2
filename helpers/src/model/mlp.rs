//! The multi-layer perceptron M(w): inputs -> w -> w -> outputs, with the ReLU between the layers.
//!
//! A dense layer from n to m numbers has n m weights and m biases. A training step multiplies and adds each
//! weight three times for each row (once forward, once for the gradient of the weights, once for the gradient
//! of the layer's input), and a multiplication with an addition is 2 floating-point operations. So a step
//! costs 6 for each parameter and row, but 4 in the first layer, whose input needs no gradient; the biases' share is
//! below one percent.

use candle_core::{DType, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Network;
use crate::device::Device;
use crate::error::{Error, Result};

/// Floating-point operations per parameter and row in a training step, but for the first layer.
pub const FLOPS_PER_PARAMETER_AND_ROW: f64 = 6.0;

/// A description of M(w); [`Mlp::build`] makes the network.
///
/// ```
/// use onramp::model::Mlp;
///
/// let model = Mlp::new(256);
/// assert_eq!(model.parameters(), 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10);
/// assert_eq!(model.gradient_bytes(), 4 * model.parameters());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mlp {
    width: usize,
    inputs: usize,
    outputs: usize,
}

impl Mlp {
    /// M(width) with 784 inputs and 10 outputs.
    pub fn new(width: usize) -> Self {
        Self { width, inputs: 784, outputs: 10 }
    }

    /// The same with this many numbers in each input row.
    pub fn inputs(mut self, inputs: usize) -> Self {
        self.inputs = inputs;
        self
    }

    /// The same with this many classes.
    pub fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    /// Neurons in each of the two hidden layers.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers in each input row.
    pub fn columns(&self) -> usize {
        self.inputs
    }

    /// Classes that the model tells apart.
    pub fn classes(&self) -> usize {
        self.outputs
    }

    /// Weights and biases, P.
    pub fn parameters(&self) -> usize {
        self.layers().iter().map(|(_, inputs, outputs)| inputs * outputs + outputs).sum()
    }

    /// Bytes of one gradient: 4 for each parameter.
    pub fn gradient_bytes(&self) -> usize {
        self.parameters() * size_of::<f32>()
    }

    /// Floating-point operations of a training step for each row (the derivation opens this module).
    pub fn flops_per_row(&self) -> f64 {
        let gradient_of_rows = 2 * self.inputs * self.width;
        FLOPS_PER_PARAMETER_AND_ROW * self.parameters() as f64 - gradient_of_rows as f64
    }

    /// Name and length of each variable, in the order of their names.
    pub fn variables(&self) -> Vec<(String, usize)> {
        let mut variables: Vec<_> = self
            .layers()
            .iter()
            .flat_map(|(name, inputs, outputs)| {
                [(format!("{name}.bias"), *outputs), (format!("{name}.weight"), inputs * outputs)]
            })
            .collect();
        variables.sort();
        variables
    }

    /// Refuses a model without a single neuron.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the width, the inputs or the outputs are zero.
    pub fn validate(&self) -> Result<()> {
        if self.width == 0 || self.inputs == 0 || self.outputs == 0 {
            return Err(Error::invalid(format!(
                "a model with {} inputs, width {} and {} outputs has an empty layer; each must be at least 1, such as \
                 Mlp::new(256)",
                self.inputs, self.width, self.outputs
            )));
        }
        Ok(())
    }

    /// Makes the network with weights drawn from `seed`.
    ///
    /// Weights are uniform within ±sqrt(6 / inputs of the layer) (He et al. 2015, which suits the ReLU), biases
    /// start at 0. The numbers come from ChaCha, so they are the same on each machine and device.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an empty layer, [`Error::Device`] when the device can't be opened.
    pub fn build(&self, seed: u64, device: &Device) -> Result<Network> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        self.build_with(device, |name, shape| {
            let count = shape.iter().product();
            if name.ends_with(".bias") {
                return vec![0.0; count];
            }
            let bound = (6.0 / shape[0] as f32).sqrt();
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        })
    }

    /// Makes the network with the weights that `initial` gives for each variable's name and shape.
    ///
    /// Weights have the shape (inputs, outputs) of their layer, biases (outputs). Variables are asked for in the
    /// order of their names.
    ///
    /// # Errors
    /// As for [`Mlp::build`], and [`Error::Candle`] when the values don't fill the shape.
    pub fn build_with(&self, device: &Device, mut initial: impl FnMut(&str, &[usize]) -> Vec<f32>) -> Result<Network> {
        self.validate()?;
        let device = device.open()?;
        let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
        for (name, inputs, outputs) in self.layers() {
            shapes.push((format!("{name}.weight"), vec![inputs, outputs]));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        }
        shapes.sort();
        let mut variables = Vec::with_capacity(shapes.len());
        for (name, shape) in shapes {
            let values = Tensor::from_vec(initial(&name, &shape), shape, &device)?.to_dtype(DType::F32)?;
            variables.push((name, Var::from_tensor(&values)?));
        }
        Ok(Network::new(*self, device, variables))
    }

    /// Name, inputs and outputs of each layer, in the order in which data flows.
    fn layers(&self) -> [(&'static str, usize, usize); 3] {
        [("layer1", self.inputs, self.width), ("layer2", self.width, self.width), ("layer3", self.width, self.outputs)]
    }
}
