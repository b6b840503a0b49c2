//! The pass forward and back of an [`crate::model::Mlp`] on the CPU, written out.
//!
//! With activations a_0 (the rows), weights W_l, biases b_l and rows n:
//!
//! ```text
//! forward    a_l = relu(a_{l-1} W_l + b_l), the scores without relu
//! loss       mean over rows of -ln softmax(scores)[label];  g = (softmax(scores) - one-hot(label)) / n
//! back       dW_l = a_{l-1}^T g;  db_l = sum of g's rows;  g <- (g W_l^T) where a_{l-1} > 0, else 0
//! ```
//!
//! Candle's own differentiation gives the same numbers and serves every other device. On the CPU it costs up to twice
//! the time: it also computes the gradient of the rows, which nobody needs, and it makes several temporary
//! tensors of each layer's size where this pass works in place.

use std::cell::Cell;

use candle_core::{CpuStorage, CustomOp1, InplaceOp2, Layout, Shape, Tensor, bail};

use crate::data::Batch;
use crate::error::Result;
use crate::model::Network;

/// The mean loss, and a gradient for each variable in the order of their names.
pub(super) fn loss_and_gradients(network: &Network, batch: &Batch) -> Result<(f64, Vec<Tensor>)> {
    // Detached, so that candle keeps no record of what is computed from them.
    let variables: Vec<Tensor> = network.variables().iter().map(|(_, v)| v.as_tensor().detach()).collect();
    let layers: Vec<(&Tensor, &Tensor)> = variables.chunks_exact(2).map(|layer| (&layer[0], &layer[1])).collect();
    let mut activations = vec![batch.features.clone()];
    for (index, (bias, weight)) in layers.iter().enumerate() {
        let sums = activations[index].matmul(weight)?;
        sums.inplace_op2(bias, &AddBias { relu: index + 1 < layers.len() })?;
        activations.push(sums);
    }
    let cross_entropy = CrossEntropy { loss: Cell::new(0.0) };
    // The scores are not needed again: their place takes their gradient.
    let Some(mut gradient) = activations.pop() else { unreachable!("the rows are there") };
    gradient.inplace_op2(&batch.labels, &cross_entropy)?;
    let mut gradients = Vec::with_capacity(variables.len());
    for ((_, weight), input) in layers.iter().zip(&activations).rev() {
        gradients.push(input.t()?.matmul(&gradient)?);
        gradients.push(gradient.apply_op1_no_bwd(&ColumnSums)?);
        if gradients.len() < variables.len() {
            gradient = gradient.matmul(&weight.t()?)?;
            gradient.inplace_op2(input, &WhereActive)?;
        }
    }
    gradients.reverse();
    Ok((cross_entropy.loss.get(), gradients))
}

/// The numbers of a tensor that lie one after the other.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("the dense pass needs contiguous 32-bit floats"),
    }
}

/// The same, to be changed.
fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("the dense pass needs contiguous 32-bit floats"),
    }
}

/// Adds the bias to each row, then sets what is below zero to zero when there is a ReLU.
struct AddBias {
    relu: bool,
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add bias"
    }

    fn cpu_fwd(&self, sums: &mut CpuStorage, l1: &Layout, bias: &CpuStorage, l2: &Layout) -> candle_core::Result<()> {
        let bias = floats(bias, l2)?;
        let least = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        for row in floats_mut(sums, l1)?.chunks_exact_mut(bias.len()) {
            // Not `max`, which would turn a NaN into 0 and hide that a run diverged.
            row.iter_mut().zip(bias).for_each(|(sum, bias)| {
                *sum += bias;
                if *sum < least {
                    *sum = least;
                }
            });
        }
        Ok(())
    }
}

/// Replaces scores by the gradient of the mean cross-entropy, and keeps the loss.
struct CrossEntropy {
    loss: Cell<f64>,
}

impl InplaceOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy and its gradient"
    }

    fn cpu_fwd(
        &self,
        scores: &mut CpuStorage,
        l1: &Layout,
        labels: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::U32(labels), Some((start, end))) = (labels, l2.contiguous_offsets()) else {
            bail!("labels are contiguous class numbers")
        };
        let labels = &labels[start..end];
        let classes = l1.shape().dims2()?.1;
        let share = 1.0 / labels.len() as f32;
        let mut loss = 0.0;
        for (row, &label) in floats_mut(scores, l1)?.chunks_exact_mut(classes).zip(labels) {
            let label = label as usize;
            let Some(&own) = row.get(label) else { bail!("label {label} of {classes} classes") };
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|score| *score = (*score - largest).exp());
            let sum: f32 = row.iter().sum();
            loss += f64::from(sum.ln() + largest - own);
            row.iter_mut().for_each(|score| *score *= share / sum);
            row[label] -= share;
        }
        self.loss.set(loss / labels.len() as f64);
        Ok(())
    }
}

/// Sets the gradient to zero where the activation is.
struct WhereActive;

impl InplaceOp2 for WhereActive {
    fn name(&self) -> &'static str {
        "gradient of the ReLU"
    }

    fn cpu_fwd(
        &self,
        gradient: &mut CpuStorage,
        l1: &Layout,
        activation: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<()> {
        let pairs = floats_mut(gradient, l1)?.iter_mut().zip(floats(activation, l2)?);
        pairs.for_each(|(gradient, activation)| *gradient = if *activation > 0.0 { *gradient } else { 0.0 });
        Ok(())
    }
}

/// The sum of all rows.
struct ColumnSums;

impl CustomOp1 for ColumnSums {
    fn name(&self) -> &'static str {
        "column sums"
    }

    fn cpu_fwd(&self, values: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let columns = layout.shape().dims2()?.1;
        let mut sums = vec![0.0_f32; columns];
        for row in floats(values, layout)?.chunks_exact(columns) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        Ok((CpuStorage::F32(sums), Shape::from(columns)))
    }
}
