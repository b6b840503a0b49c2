//! The pass forward and back on the CPU, written out for each model.
//!
//! Candle's own differentiation gives the same numbers, and serves every other device. On the CPU it costs up to three
//! times as much: it also computes the gradient of the rows, which nobody needs, and it makes several temporary
//! tensors where these passes work in place. And here each gradient can be used as soon as it is there, while the
//! pass goes on towards the first layer.
//!
//! - `matrix`: products of matrices
//! - `dense`, `convolution`, `norm`, `attention`, `loss`: forward and back of one layer, on plain numbers
//! - `chain`: blocks of such layers, which workers can share
//! - `mlp`, `convnet`, `transformer`: the models made of them

mod attention;
pub(crate) mod chain;
mod convnet;
mod convolution;
mod dense;
pub(crate) mod loss;
pub(crate) mod matrix;
mod mlp;
mod norm;
mod transformer;

use std::borrow::Cow;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Storage, Tensor};

use chain::Together;

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::model::{Architecture, Model, Network};

/// Computes the mean loss, and hands over `weight` times each variable's gradient, with the variable's number, as soon as it
/// is there.
///
/// # Errors
/// [`Error::InvalidInput`] when the batch does not fit the model, and what `ready` returns.
pub(crate) fn loss_and_gradients(
    network: &Network,
    batch: &Batch,
    weight: f32,
    together: &mut Together,
    ready: &mut Ready,
) -> Result<f64> {
    let parameters = Parameters::of(network)?;
    let (features, labels) = (Numbers::of(&batch.features)?, labels(batch)?);
    let features = features.values()?;
    if let Model::Convnet(model) = network.model() {
        return convnet::pass(&model, &Pass { parameters: &parameters, features, labels: &labels, weight }, ready);
    }
    let model = network.model();
    let blocks = blocks(&model, &parameters, 0..block_count(&model)?)?;
    let (mut scores, way_back) = chain::forward(&blocks, Cow::Borrowed(features), together)?;
    let loss = loss::cross_entropy(&mut scores, &labels, model.classes(), weight)?;
    way_back.back(scores, together, ready)?;
    Ok(loss)
}

/// From rows, one after the other, to their scores, as [`Network::forward`] computes them.
///
/// # Errors
/// [`Error::InvalidInput`] when the rows don't fit the model.
pub(crate) fn scores(network: &Network, rows: &[f32]) -> Result<Vec<f32>> {
    let model = network.model();
    let columns = model.columns();
    if rows.is_empty() || !rows.len().is_multiple_of(columns) {
        return Err(Error::invalid(format!("{} numbers are no rows of {columns}", rows.len())));
    }
    if let Model::Convnet(_) = model {
        let rows = Tensor::from_slice(rows, (rows.len() / columns, columns), network.device())?;
        return Ok(network.forward(&rows)?.flatten_all()?.to_vec1()?);
    }
    let parameters = Parameters::of(network)?;
    let blocks = blocks(&model, &parameters, 0..block_count(&model)?)?;
    Ok(chain::forward(&blocks, Cow::Borrowed(rows), &mut None)?.0)
}

/// Numbers of the batch's labels.
pub(crate) fn labels(batch: &Batch) -> Result<Vec<u32>> {
    Ok(batch.labels.flatten_all()?.to_vec1::<u32>()?)
}

/// The parts of a model that workers can have some of each.
///
/// # Errors
/// [`Error::InvalidInput`] for a convnet.
pub(crate) fn block_count(model: &Model) -> Result<usize> {
    match model {
        Model::Mlp(_) => Ok(mlp::BLOCKS),
        Model::Transformer(model) => Ok(transformer::block_count(model)),
        Model::Convnet(_) => Err(Error::invalid(
            "a Convnet can't be cut into parts; use an Mlp or a Transformer, or give each worker the whole model with \
             its own rows",
        )),
    }
}

/// Some of the parts of a model, with the variables of a network that has at least theirs.
pub(crate) fn blocks<'a>(
    model: &Model,
    parameters: &'a Parameters,
    which: Range<usize>,
) -> Result<Vec<Box<dyn chain::Block + 'a>>> {
    match model {
        Model::Mlp(_) => mlp::blocks(parameters, which),
        Model::Transformer(model) => transformer::blocks(model, parameters, which),
        Model::Convnet(_) => block_count(model).map(|_| Vec::new()),
    }
}

/// Takes the number of a variable, in the order of their names, and its gradient.
pub(crate) type Ready<'a> = dyn FnMut(usize, Vec<f32>) -> Result<()> + 'a;

/// What a pass that is not made of blocks begins with.
struct Pass<'a> {
    parameters: &'a Parameters<'a>,
    /// Shape (rows, columns).
    features: &'a [f32],
    /// Shape (rows x predictions per row).
    labels: &'a [u32],
    /// Of the gradients.
    weight: f32,
}

/// The numbers of a tensor that lies in main memory, one after the other.
pub(crate) struct Numbers<'a> {
    /// Candle's lock, which is held as long as this is there.
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    start: usize,
    end: usize,
}

impl<'a> Numbers<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| Error::invalid("a batch's numbers must lie one after the other; call contiguous()"))?;
        Ok(Self { storage: Box::new(storage), start, end })
    }

    pub(crate) fn values(&self) -> Result<&[f32]> {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => Ok(&values[self.start..self.end]),
            _ => Err(Error::invalid("a pass on the CPU needs 32-bit floats in main memory")),
        }
    }
}

/// The variables of a network, found by their names.
pub(crate) struct Parameters<'a> {
    names: Vec<&'a str>,
    numbers: Vec<Numbers<'a>>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn of(network: &'a Network) -> Result<Self> {
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
