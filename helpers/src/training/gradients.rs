//! The gradient of the loss with respect to each variable of a network.

use candle_core::{CpuStorage, Storage, Tensor};

use super::pass;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::model::Network;

/// One tensor for each variable, in the order of the variables' names.
#[derive(Debug, Clone)]
pub struct Gradients {
    names: Vec<String>,
    tensors: Vec<Tensor>,
}

impl Gradients {
    /// The pass forward and back: the mean cross-entropy over the batch's rows, and its gradient.
    ///
    /// # Errors
    /// [`Error::Candle`] when the batch does not fit the network.
    pub fn of(network: &Network, batch: &Batch) -> Result<(f64, Self)> {
        Self::weighted(network, batch, 1.0)
    }

    /// The loss, and `weight` times its gradient.
    fn weighted(network: &Network, batch: &Batch, weight: f64) -> Result<(f64, Self)> {
        if !network.device().is_cpu() {
            return Self::by_differentiation(network, batch, weight);
        }
        Self::collected(network, |ready| pass::loss_and_gradients(network, batch, weight as f32, &mut None, ready))
    }

    /// Zeros of the network's shape, to be replaced by [`Gradients::set_flat`].
    pub(crate) fn zeros(network: &Network) -> Result<Self> {
        let names = network.variables().iter().map(|(name, _)| name.clone()).collect();
        let zeros = network.variables().iter().map(|(_, variable)| Ok(variable.zeros_like()?));
        Ok(Self { names, tensors: zeros.collect::<Result<_>>()? })
    }

    /// The gradients that `work` hands over one by one, and what else it gives.
    pub(crate) fn collected<T>(
        network: &Network,
        work: impl FnOnce(&mut pass::Ready) -> Result<T>,
    ) -> Result<(T, Self)> {
        let mut tensors = vec![None; network.variables().len()];
        let result = work(&mut |index, values| {
            let shape = network.variables()[index].1.shape();
            tensors[index] = Some(Tensor::from_vec(values, shape, network.device())?);
            Ok(())
        })?;
        let names: Vec<_> = network.variables().iter().map(|(name, _)| name.clone()).collect();
        let tensors: Vec<_> = tensors.into_iter().flatten().collect();
        if tensors.len() < names.len() {
            return Err(Error::invalid(format!("{} variables have no gradient", names.len() - tensors.len())));
        }
        Ok((result, Self { names, tensors }))
    }

    /// The pass forward and back that hands over `weight` times each variable's gradient, with the variable's number, as
    /// soon as it is there: on the CPU while the pass goes on, elsewhere all at the end, the last layer's first.
    pub(crate) fn handed_over(network: &Network, batch: &Batch, weight: f32, ready: &mut pass::Ready) -> Result<f64> {
        if network.device().is_cpu() {
            return pass::loss_and_gradients(network, batch, weight, &mut None, ready);
        }
        let (loss, gradients) = Self::by_differentiation(network, batch, f64::from(weight))?;
        for (index, tensor) in gradients.tensors.iter().enumerate().rev() {
            ready(index, tensor.flatten_all()?.to_vec1::<f32>()?)?;
        }
        Ok(loss)
    }

    /// The same by candle's automatic differentiation, on any device.
    fn by_differentiation(network: &Network, batch: &Batch, weight: f64) -> Result<(f64, Self)> {
        let scores = network.forward(&batch.features)?;
        let loss = candle_nn::loss::cross_entropy(&scores, &batch.labels)?;
        let store = if weight == 1.0 { loss.backward()? } else { (&loss * weight)?.backward()? };
        let mut names = Vec::new();
        let mut tensors = Vec::new();
        for (name, variable) in network.variables() {
            let gradient = store.get(variable.as_tensor()).ok_or_else(|| {
                Error::invalid(format!("the loss does not depend on the variable {name}, so it has no gradient"))
            })?;
            names.push(name.clone());
            tensors.push(gradient.contiguous()?);
        }
        Ok((f64::from(loss.to_scalar::<f32>()?), Self { names, tensors }))
    }

    /// The variables' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// One gradient for each name, with the shape of its variable.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Numbers in all tensors together: the parameters of the model.
    pub fn elements(&self) -> usize {
        self.tensors.iter().map(Tensor::elem_count).sum()
    }

    /// The mean gradient over all rows of several batches, and the mean loss: gradient accumulation. It is that of the
    /// joined batch, with the memory of the largest one.
    ///
    /// # Errors
    /// As for [`Gradients::of`], and [`Error::InvalidInput`] without a batch.
    pub fn accumulated(network: &Network, batches: &[Batch]) -> Result<(f64, Self)> {
        let rows: usize = batches.iter().map(Batch::rows).sum();
        let mut sum: Option<(f64, Self)> = None;
        for batch in batches {
            let share = batch.rows() as f64 / rows as f64;
            let (loss, gradients) = Self::weighted(network, batch, share)?;
            sum = Some(match sum {
                None => (share * loss, gradients),
                Some((before, so_far)) => (before + share * loss, so_far.plus(&gradients)?),
            });
        }
        sum.ok_or_else(|| Error::invalid("there are 0 batches to take a gradient over; pass at least one"))
    }

    fn plus(mut self, other: &Self) -> Result<Self> {
        for (tensor, other) in self.tensors.iter_mut().zip(&other.tensors) {
            *tensor = (&*tensor + other)?;
        }
        Ok(self)
    }

    /// The Euclidean length over all numbers.
    ///
    /// # Errors
    /// [`Error::Candle`] when the device fails.
    pub fn norm(&self) -> Result<f64> {
        let mut squares = 0.0;
        for tensor in &self.tensors {
            squares += f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        Ok(squares.sqrt())
    }

    /// All numbers one after the other, in the order of the names.
    ///
    /// # Errors
    /// [`Error::Candle`] when the device fails.
    pub fn to_flat(&self) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.elements());
        for tensor in &self.tensors {
            append(tensor, &mut flat)?;
        }
        Ok(flat)
    }

    /// Replaces all numbers by those of `flat`, in the order of the names.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `flat` has another length.
    pub fn set_flat(&mut self, flat: Vec<f32>) -> Result<()> {
        if flat.len() != self.elements() {
            return Err(Error::invalid(format!(
                "{} numbers were given for gradients of {} elements; both must come from the same model",
                flat.len(),
                self.elements()
            )));
        }
        let Some(device) = self.tensors.first().map(|tensor| tensor.device().clone()) else { return Ok(()) };
        let all = Tensor::from_vec(flat, self.elements(), &device)?;
        let mut start = 0;
        for tensor in &mut self.tensors {
            let elements = tensor.elem_count();
            // Parts of one tensor share its memory.
            *tensor = all.narrow(0, start, elements)?.reshape(tensor.shape())?;
            start += elements;
        }
        Ok(())
    }

    /// The numbers of each tensor.
    pub(crate) fn to_parts(&self) -> Result<Vec<Vec<f32>>> {
        let numbers = |tensor: &Tensor| Ok(tensor.flatten_all()?.to_vec1::<f32>()?);
        self.tensors.iter().map(numbers).collect()
    }

    /// Replaces the numbers of each tensor.
    pub(crate) fn set_parts(&mut self, parts: Vec<Vec<f32>>) -> Result<()> {
        for (tensor, values) in self.tensors.iter_mut().zip(parts) {
            *tensor = Tensor::from_vec(values, tensor.shape(), tensor.device())?;
        }
        Ok(())
    }

    /// The same gradients with the variable `order[i]` in place i.
    pub(crate) fn reordered(&self, order: &[usize]) -> Self {
        Self {
            names: order.iter().map(|&index| self.names[index].clone()).collect(),
            tensors: order.iter().map(|&index| self.tensors[index].clone()).collect(),
        }
    }

    /// How far these gradients are from `reference`: the length of the difference over the length of the
    /// reference (both Euclidean, over all numbers). 0 is equal; 1 means wrong by as much as there is.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the lengths differ.
    pub fn relative_error(&self, reference: &Self) -> Result<f64> {
        let (ours, theirs) = (self.to_flat()?, reference.to_flat()?);
        if ours.len() != theirs.len() {
            return Err(Error::invalid(format!(
                "gradients of {} and {} elements can't be compared; both must come from the same model",
                ours.len(),
                theirs.len()
            )));
        }
        let square = |value: f32| f64::from(value) * f64::from(value);
        let difference: f64 = ours.iter().zip(&theirs).map(|(a, b)| square(a - b)).sum();
        let length: f64 = theirs.iter().map(|b| square(*b)).sum();
        Ok((difference / length.max(f64::MIN_POSITIVE)).sqrt())
    }
}

/// Adds a tensor's numbers to the end of `flat`, without a copy in between on the CPU.
fn append(tensor: &Tensor, flat: &mut Vec<f32>) -> Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        flat.extend_from_slice(&values[start..end]);
        return Ok(());
    }
    drop(storage);
    flat.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Teacher;
    use crate::device::Device;
    use crate::model::{Architecture, Convnet, Mlp, Transformer};

    fn agrees(model: impl Architecture, batch: &Batch) -> Result<()> {
        let network = model.build(3, &Device::Cpu)?;
        let (loss, written) = Gradients::of(&network, batch)?;
        let (reference_loss, reference) = Gradients::by_differentiation(&network, batch, 1.0)?;
        assert!((loss - reference_loss).abs() < 1e-5, "{loss}, {reference_loss} by differentiation");
        assert_eq!(written.names, reference.names);
        for (own, its) in written.tensors.iter().zip(&reference.tensors) {
            assert_eq!(own.shape(), its.shape());
        }
        let error = written.relative_error(&reference)?;
        assert!(error < 1e-5, "{:?}: {error}", network.model());
        Ok(())
    }

    #[test]
    fn the_written_out_pass_equals_automatic_differentiation() -> Result<()> {
        for (size, rows) in [(1, 1), (7, 3), (64, 50)] {
            let batch = Teacher::new(rows).generate()?.batch_range(0, rows, &candle_core::Device::Cpu)?;
            agrees(Mlp::new(size), &batch)?;
            agrees(Convnet::new(size), &batch)?;
            let (context, count) = (2 * size + 1, (2 * size + 1) * rows);
            let tokens: Vec<f32> = (0..count).map(|i| (i * 5 % 11) as f32).collect();
            let labels: Vec<u32> = (0..count).map(|i| (i * 7 % 11) as u32).collect();
            let batch = Batch {
                features: Tensor::from_vec(tokens, (rows, context), &candle_core::Device::Cpu)?,
                labels: Tensor::from_vec(labels, count, &candle_core::Device::Cpu)?,
            };
            agrees(Transformer::new(64).context(context).vocabulary(11), &batch)?;
        }
        Ok(())
    }
}
