//! The pass forward and back on the CPU, written out for each model.
//!
//! Candle's own differentiation gives the same numbers, and serves every other device. On the CPU it costs up to three
//! times as much: it also computes the gradient of the rows, which nobody needs, and it makes several temporary
//! tensors where these passes work in place. And here each gradient can be used as soon as it is there, while the
//! pass goes on towards the first layer.
//!
//! - `matrix`: products of matrices
//! - `dense`, `convolution`, `norm`, `attention`, `loss`: forward and back of one layer, on plain numbers
//! - `mlp`, `convnet`, `transformer`: the models made of them

mod attention;
mod convnet;
mod convolution;
mod dense;
mod loss;
mod matrix;
mod mlp;
mod norm;
mod transformer;

use std::ops::Deref;

use candle_core::{CpuStorage, Storage, Tensor};

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::model::{Model, Network};

/// Computes the mean loss, and hands over each variable's gradient, with its number, as soon as it is there.
///
/// # Errors
/// [`Error::InvalidInput`] when the batch does not fit the model, and what `ready` returns.
pub(super) fn loss_and_gradients(network: &Network, batch: &Batch, ready: &mut Ready) -> Result<f64> {
    let parameters = Parameters::of(network)?;
    let (features, labels) = (Numbers::of(&batch.features)?, batch.labels.flatten_all()?.to_vec1::<u32>()?);
    let pass = Pass { parameters: &parameters, features: features.values()?, labels: &labels };
    match network.model() {
        Model::Mlp(model) => mlp::pass(&model, &pass, ready),
        Model::Convnet(model) => convnet::pass(&model, &pass, ready),
        Model::Transformer(model) => transformer::pass(&model, &pass, ready),
    }
}

/// Takes the number of a variable, in the order of their names, and its gradient.
pub(super) type Ready<'a> = dyn FnMut(usize, Vec<f32>) -> Result<()> + 'a;

/// What all models' passes begin with.
struct Pass<'a> {
    parameters: &'a Parameters<'a>,
    /// Shape (rows, columns).
    features: &'a [f32],
    /// Shape (rows x predictions per row).
    labels: &'a [u32],
}

/// The numbers of a tensor that lies in main memory, one after the other.
struct Numbers<'a> {
    /// Candle's lock, which is held as long as this is there.
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    start: usize,
    end: usize,
}

impl<'a> Numbers<'a> {
    fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| Error::invalid("a batch's numbers must lie one after the other; call contiguous()"))?;
        Ok(Self { storage: Box::new(storage), start, end })
    }

    fn values(&self) -> Result<&[f32]> {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => Ok(&values[self.start..self.end]),
            _ => Err(Error::invalid("a pass on the CPU needs 32-bit floats in main memory")),
        }
    }
}

/// The variables of a network, found by their names.
struct Parameters<'a> {
    names: Vec<&'a str>,
    numbers: Vec<Numbers<'a>>,
}

impl<'a> Parameters<'a> {
    fn of(network: &'a Network) -> Result<Self> {
        let names = network.variables().iter().map(|(name, _)| name.as_str()).collect();
        let numbers = network.variables().iter().map(|(_, variable)| Numbers::of(variable)).collect::<Result<_>>()?;
        Ok(Self { names, numbers })
    }

    /// The number and the values of a variable.
    fn get(&self, name: &str) -> Result<(usize, &[f32])> {
        let place = self.names.binary_search(&name);
        let index = place.map_err(|_| Error::invalid(format!("the model has no variable {name}")))?;
        Ok((index, self.numbers[index].values()?))
    }
}
