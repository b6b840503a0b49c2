//! The multi-layer perceptron M(w): inputs -> w -> w -> outputs, with the ReLU between the layers.
//!
//! A dense layer from n to m numbers has n m weights and m biases. A training step multiplies and adds each
//! weight three times for each row (once forward, once for the gradient of the weights, once for the gradient
//! of the layer's input), and a multiplication with an addition is 2 floating-point operations. So a step
//! costs 6 for each parameter and row, but 4 in the first layer, whose input needs no gradient; the biases' share is
//! below one percent.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Architecture, Variables};
use crate::error::{Error, Result};

/// Floating-point operations per parameter and row in a training step, but for the first layer.
pub const FLOPS_PER_PARAMETER_AND_ROW: f64 = 6.0;

/// A description of M(w); [`Architecture::build`] makes the network.
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

    /// Name, inputs and outputs of each layer, in the order in which data flows.
    fn layers(&self) -> [(&'static str, usize, usize); 3] {
        [("layer1", self.inputs, self.width), ("layer2", self.width, self.width), ("layer3", self.width, self.outputs)]
    }
}

impl Architecture for Mlp {
    fn columns(&self) -> usize {
        self.inputs
    }

    fn classes(&self) -> usize {
        self.outputs
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let layer = |(name, inputs, outputs): &(&str, usize, usize)| {
            [(format!("{name}.weight"), vec![*inputs, *outputs]), (format!("{name}.bias"), vec![*outputs])]
        };
        self.layers().iter().flat_map(layer).collect()
    }

    fn flops_per_row(&self) -> f64 {
        let gradient_of_rows = 2 * self.inputs * self.width;
        FLOPS_PER_PARAMETER_AND_ROW * self.parameters() as f64 - gradient_of_rows as f64
    }

    fn activations_per_row(&self) -> usize {
        self.layers().iter().map(|(_, _, outputs)| outputs).sum()
    }

    fn described_for(&self, columns: usize, classes: usize) -> String {
        format!(".inputs({columns}).outputs({classes})")
    }

    fn validate(&self) -> Result<()> {
        if self.width == 0 || self.inputs == 0 || self.outputs == 0 {
            return Err(Error::invalid(format!(
                "a model with {} inputs, width {} and {} outputs has an empty layer; each must be at least 1, such as \
                 Mlp::new(256)",
                self.inputs, self.width, self.outputs
            )));
        }
        Ok(())
    }

    fn forward(&self, variables: &Variables, rows: &Tensor) -> Result<Tensor> {
        let hidden = variables.dense("layer1", &rows.to_dtype(variables.precision())?)?.relu()?;
        let hidden = variables.dense("layer2", &hidden)?.relu()?;
        variables.dense("layer3", &hidden)
    }
}
