//! The dense layer y = x W + b, with x (n, inputs), W (inputs, outputs) and b (outputs), and the ReLU.
//!
//! ```text
//! dW = x^T dy;  db = sum of dy's rows;  dx = dy W^T
//! ```

use super::matrix::{Before, Matrix, multiply, product};
use super::{Parameters, Ready};
use crate::communication::Communicator;
use crate::error::Result;

/// The weights and biases of one layer, and their numbers among the variables.
pub(super) struct Dense<'a> {
    weight: (usize, &'a [f32]),
    bias: (usize, &'a [f32]),
}

impl<'a> Dense<'a> {
    /// The layer whose variables are `name.weight` and `name.bias`.
    pub(super) fn of(parameters: &'a Parameters, name: &str) -> Result<Self> {
        let weight = parameters.get(&format!("{name}.weight"))?;
        Ok(Self { weight, bias: parameters.get(&format!("{name}.bias"))? })
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.1.len()
    }

    pub(super) fn inputs(&self) -> usize {
        self.weight.1.len() / self.outputs()
    }

    fn weights(&self) -> Matrix<'a> {
        Matrix::new(self.weight.1, self.outputs())
    }

    /// x W + b.
    pub(super) fn forward(&self, input: &[f32]) -> Vec<f32> {
        let mut output = self.bias.1.repeat(input.len() / self.inputs());
        self.product(input, &mut output);
        output
    }

    /// Adds x W + b to what is there.
    pub(super) fn forward_onto(&self, input: &[f32], output: &mut [f32]) {
        self.add_bias(output);
        self.product(input, output);
    }

    /// x W + b, where each worker has some rows of W and the same columns of x, and all of b.
    pub(super) fn forward_together(&self, input: &[f32], workers: &mut dyn Communicator) -> Result<Vec<f32>> {
        let mut output = vec![0.0; input.len() / self.inputs() * self.outputs()];
        self.product(input, &mut output);
        workers.all_reduce_sum(&mut output)?;
        self.add_bias(&mut output);
        Ok(output)
    }

    fn add_bias(&self, output: &mut [f32]) {
        for row in output.chunks_exact_mut(self.outputs()) {
            row.iter_mut().zip(self.bias.1).for_each(|(sum, bias)| *sum += bias);
        }
    }

    fn product(&self, input: &[f32], output: &mut [f32]) {
        multiply(Matrix::new(input, self.inputs()), self.weights(), 1.0, Before::Kept, output, self.outputs());
    }

    /// Hands over dW and db.
    pub(super) fn gradients(&self, input: &[f32], of_output: &[f32], ready: &mut Ready) -> Result<()> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let (input, gradient) = (Matrix::new(input, inputs), Matrix::new(of_output, outputs));
        ready(self.weight.0, product(input.t(), gradient))?;
        ready(self.bias.0, column_sums(of_output, outputs))
    }

    /// dx.
    pub(super) fn back(&self, of_output: &[f32]) -> Vec<f32> {
        product(Matrix::new(of_output, self.outputs()), self.weights().t())
    }
}

/// The sum of all rows.
pub(super) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f32; columns];
    for row in values.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Sets to zero what is below it. A NaN stays one, so that a run which diverged shows it.
pub(super) fn relu(values: &mut [f32]) {
    // Each number is written, because a branch on numbers that are as often above as below is guessed wrong half
    // of the time.
    values.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
}

/// Sets the gradient to zero where the ReLU's output is.
pub(super) fn relu_back(gradient: &mut [f32], output: &[f32]) {
    gradient
        .iter_mut()
        .zip(output)
        .for_each(|(gradient, output)| *gradient = if *output > 0.0 { *gradient } else { 0.0 });
}
