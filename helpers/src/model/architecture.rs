//! What all models have in common: how much they compute and hold, and how their network is built.

use std::fmt;

use candle_core::{DType, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Convnet, Mlp, Network, Transformer, Variables};
use crate::device::Device;
use crate::error::Result;

/// The description of a model, from which its network is built and its costs are counted.
///
/// A *row* is what one label set belongs to: an image, or a sequence of tokens. All counts are for 32-bit floats.
///
/// ```
/// use onramp::model::{Architecture, Mlp};
///
/// let model = Mlp::new(256);
/// assert_eq!(model.parameters(), 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10);
/// assert_eq!(model.gradient_bytes(), 4 * model.parameters());
/// ```
pub trait Architecture: Copy + Into<Model> {
    /// Numbers in each row: an image's pixels, or a sequence's tokens.
    fn columns(&self) -> usize;

    /// Classes that the model tells apart: for a language model the size of its vocabulary.
    fn classes(&self) -> usize;

    /// Labels that the model predicts for each row: 1, or one for each token of a sequence.
    fn predictions_per_row(&self) -> usize {
        1
    }

    /// Name and shape of each variable, in any order.
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;

    /// Floating-point operations of a training step for each row: forward, and both halves of the way back. What grows
    /// slower than the matrix products (biases, normalisations, the loss) is left out; it is a few percent.
    fn flops_per_row(&self) -> f64;

    /// Numbers that the pass forward writes for each row and the way back reads again.
    fn activations_per_row(&self) -> usize;

    /// How to describe the same model for rows of that many columns in that many classes, as one would write it.
    fn described_for(&self, columns: usize, classes: usize) -> String;

    /// Refuses a model that can't be built.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] with the value and one that would do.
    fn validate(&self) -> Result<()>;

    /// From rows (rows, columns) to one score for each class and prediction, (rows x predictions per row, classes).
    ///
    /// # Errors
    /// [`crate::Error::Candle`] when the rows have another number of columns.
    fn forward(&self, variables: &Variables, rows: &Tensor) -> Result<Tensor>;

    /// Where the first values of a variable lie: within this distance of zero, uniformly.
    ///
    /// Here sqrt(6 / inputs of the layer) (He et al. 2015, which suits the ReLU).
    fn initial_bound(&self, _name: &str, shape: &[usize]) -> f32 {
        (6.0 / shape[0] as f32).sqrt()
    }

    /// Name and length of each variable, in the order of their names.
    fn variables(&self) -> Vec<(String, usize)> {
        sorted(self.shapes()).into_iter().map(|(name, shape)| (name, shape.iter().product())).collect()
    }

    /// Weights and biases, P.
    fn parameters(&self) -> usize {
        self.variables().iter().map(|(_, elements)| elements).sum()
    }

    /// Bytes of one gradient: 4 for each parameter.
    fn gradient_bytes(&self) -> usize {
        self.parameters() * size_of::<f32>()
    }

    /// Bytes that a training step has to move at least, when nothing but the operands of a single product stays in a
    /// cache: the parameters (read forward, read on the way back, read and written by the update) with their gradient
    /// (written, read), and each row's numbers (read) and activations (written, read, and their gradient written).
    fn step_bytes(&self, rows: usize) -> f64 {
        let per_row = self.columns() + 3 * self.activations_per_row();
        (size_of::<f32>() * (6 * self.parameters() + rows * per_row)) as f64
    }

    /// Bytes per row of a step of that many rows, by [`Architecture::step_bytes`].
    fn bytes_per_row(&self, rows: usize) -> f64 {
        self.step_bytes(rows) / rows as f64
    }

    /// Makes the network with weights drawn from `seed`.
    ///
    /// Biases start at 0, scales at 1. The numbers come from ChaCha, so they are the same on each machine and
    /// device.
    ///
    /// # Errors
    /// As for [`Architecture::validate`], and [`crate::Error::Device`] when the device can't be opened.
    fn build(&self, seed: u64, device: &Device) -> Result<Network> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        self.build_with(device, |name, shape| {
            let count = shape.iter().product();
            if name.ends_with(".bias") {
                return vec![0.0; count];
            }
            if name.ends_with(".scale") {
                return vec![1.0; count];
            }
            let bound = self.initial_bound(name, shape);
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        })
    }

    /// Makes the network with the values that `initial` gives for each variable's name and shape.
    ///
    /// Variables are asked for in the order of their names.
    ///
    /// # Errors
    /// As for [`Architecture::build`], and [`crate::Error::Candle`] when the values don't fill the shape.
    fn build_with(&self, device: &Device, mut initial: impl FnMut(&str, &[usize]) -> Vec<f32>) -> Result<Network> {
        self.validate()?;
        let device = device.open()?;
        let mut variables = Vec::new();
        for (name, shape) in sorted(self.shapes()) {
            let values = Tensor::from_vec(initial(&name, &shape), shape, &device)?.to_dtype(DType::F32)?;
            variables.push((name, Var::from_tensor(&values)?));
        }
        Ok(Network::new((*self).into(), device, variables))
    }
}

fn sorted(mut shapes: Vec<(String, Vec<usize>)>) -> Vec<(String, Vec<usize>)> {
    shapes.sort();
    shapes
}

/// One of the models, where an experiment takes any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Dense layers.
    Mlp(Mlp),
    /// Convolutions over an image, then a dense layer.
    Convnet(Convnet),
    /// A decoder-only transformer over tokens.
    Transformer(Transformer),
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mlp(model) => write!(f, "M({})", model.width()),
            Self::Convnet(model) => write!(f, "C({})", model.channels()),
            Self::Transformer(model) => write!(f, "T({})", model.width()),
        }
    }
}

impl From<Mlp> for Model {
    fn from(model: Mlp) -> Self {
        Self::Mlp(model)
    }
}

impl From<Convnet> for Model {
    fn from(model: Convnet) -> Self {
        Self::Convnet(model)
    }
}

impl From<Transformer> for Model {
    fn from(model: Transformer) -> Self {
        Self::Transformer(model)
    }
}

/// The same expression for whichever model it is.
macro_rules! each {
    ($model:expr, $inner:ident => $result:expr) => {
        match $model {
            Model::Mlp($inner) => $result,
            Model::Convnet($inner) => $result,
            Model::Transformer($inner) => $result,
        }
    };
}

impl Architecture for Model {
    fn columns(&self) -> usize {
        each!(self, model => model.columns())
    }

    fn classes(&self) -> usize {
        each!(self, model => model.classes())
    }

    fn predictions_per_row(&self) -> usize {
        each!(self, model => model.predictions_per_row())
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        each!(self, model => model.shapes())
    }

    fn flops_per_row(&self) -> f64 {
        each!(self, model => model.flops_per_row())
    }

    fn activations_per_row(&self) -> usize {
        each!(self, model => model.activations_per_row())
    }

    fn described_for(&self, columns: usize, classes: usize) -> String {
        each!(self, model => model.described_for(columns, classes))
    }

    fn validate(&self) -> Result<()> {
        each!(self, model => model.validate())
    }

    fn forward(&self, variables: &Variables, rows: &Tensor) -> Result<Tensor> {
        each!(self, model => model.forward(variables, rows))
    }

    fn initial_bound(&self, name: &str, shape: &[usize]) -> f32 {
        each!(self, model => model.initial_bound(name, shape))
    }
}
