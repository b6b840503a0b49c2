//! The pass of a [`Transformer`].

use super::attention::Attention;
use super::dense::{Dense, column_sums, relu, relu_back};
use super::loss::cross_entropy;
use super::norm::{Norm, Normal};
use super::{Parameters, Pass, Ready};
use crate::error::{Error, Result};
use crate::model::{Architecture, Transformer};

/// The variables of one layer.
struct Layer<'a> {
    attention_norm: Norm<'a>,
    attention_in: Dense<'a>,
    attention_out: Dense<'a>,
    dense_norm: Norm<'a>,
    dense_in: Dense<'a>,
    dense_out: Dense<'a>,
}

/// What a layer's way back needs of its way forward.
struct Kept {
    attention_normal: Normal,
    /// Q, K and V side by side.
    inputs: Vec<f32>,
    shares: Vec<f32>,
    mixed: Vec<f32>,
    dense_normal: Normal,
    hidden: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn of(parameters: &'a Parameters, layer: usize) -> Result<Self> {
        let name = Transformer::layer_name(layer);
        let dense = |part: &str| Dense::of(parameters, &format!("{name}.{part}"));
        let norm = |part: &str| Norm::of(parameters, &format!("{name}.{part}"));
        Ok(Self {
            attention_norm: norm("attention.norm")?,
            attention_in: dense("attention.in")?,
            attention_out: dense("attention.out")?,
            dense_norm: norm("dense.norm")?,
            dense_in: dense("dense.in")?,
            dense_out: dense("dense.out")?,
        })
    }

    /// Adds both blocks to `sum` (sequences x context, width).
    fn forward(&self, shape: &Attention, sum: &mut [f32]) -> Kept {
        let attention_normal = self.attention_norm.normal(sum);
        let inputs = self.attention_in.forward(&self.attention_norm.output(&attention_normal));
        let (shares, mixed) = shape.forward(&inputs);
        self.attention_out.forward_onto(&mixed, sum);
        let dense_normal = self.dense_norm.normal(sum);
        let mut hidden = self.dense_in.forward(&self.dense_norm.output(&dense_normal));
        relu(&mut hidden);
        self.dense_out.forward_onto(&hidden, sum);
        Kept { attention_normal, inputs, shares, mixed, dense_normal, hidden }
    }

    /// From the gradient of the sum behind this layer to that before it.
    fn back(&self, shape: &Attention, kept: &Kept, of_sum: &mut [f32], ready: &mut Ready) -> Result<()> {
        self.dense_out.gradients(&kept.hidden, of_sum, ready)?;
        let mut of_hidden = self.dense_out.back(of_sum);
        relu_back(&mut of_hidden, &kept.hidden);
        self.dense_in.gradients(&self.dense_norm.output(&kept.dense_normal), &of_hidden, ready)?;
        self.dense_norm.back(&kept.dense_normal, self.dense_in.back(&of_hidden), of_sum, ready)?;

        self.attention_out.gradients(&kept.mixed, of_sum, ready)?;
        let of_inputs = shape.back(&kept.inputs, &kept.shares, &self.attention_out.back(of_sum));
        self.attention_in.gradients(&self.attention_norm.output(&kept.attention_normal), &of_inputs, ready)?;
        self.attention_norm.back(&kept.attention_normal, self.attention_in.back(&of_inputs), of_sum, ready)
    }
}

pub(super) fn pass(model: &Transformer, pass: &Pass, ready: &mut Ready) -> Result<f64> {
    let shape = Attention { context: model.columns(), heads: model.heads(), width: model.width() };
    let layers = (0..model.depth()).map(|layer| Layer::of(pass.parameters, layer)).collect::<Result<Vec<_>>>()?;
    let (norm, scores) = (Norm::of(pass.parameters, "norm")?, Dense::of(pass.parameters, "scores")?);
    let tokens = tokens(model, pass.features)?;

    let mut sum = embed(model, pass.parameters, &tokens)?;
    let kept: Vec<Kept> = layers.iter().map(|layer| layer.forward(&shape, &mut sum)).collect();
    let normal = norm.normal(&sum);
    let normal_output = norm.output(&normal);
    let mut of_scores = scores.forward(&normal_output);
    let loss = cross_entropy(&mut of_scores, pass.labels, model.classes())?;

    scores.gradients(&normal_output, &of_scores, ready)?;
    let mut of_sum = sum;
    of_sum.fill(0.0);
    norm.back(&normal, scores.back(&of_scores), &mut of_sum, ready)?;
    for (layer, kept) in layers.iter().zip(&kept).rev() {
        layer.back(&shape, kept, &mut of_sum, ready)?;
    }
    embed_back(model, pass.parameters, &tokens, &of_sum, ready)?;
    Ok(loss)
}

/// The rows as token numbers.
fn tokens(model: &Transformer, rows: &[f32]) -> Result<Vec<usize>> {
    if let Some(token) = rows.iter().find(|token| !(0.0..model.classes() as f32).contains(*token)) {
        return Err(Error::invalid(format!(
            "the batch has the token {token}, and the model's vocabulary of {} tokens begins with 0",
            model.classes()
        )));
    }
    Ok(rows.iter().map(|token| *token as usize).collect())
}

/// Token embedding plus position embedding.
fn embed(model: &Transformer, parameters: &Parameters, tokens: &[usize]) -> Result<Vec<f32>> {
    let width = model.width();
    let (_, of_tokens) = parameters.get("embedding.token")?;
    let (_, of_positions) = parameters.get("embedding.position")?;
    let mut sum = Vec::with_capacity(tokens.len() * width);
    for (token, position) in tokens.iter().zip(of_positions.chunks_exact(width).cycle()) {
        let token = &of_tokens[token * width..(token + 1) * width];
        sum.extend(token.iter().zip(position).map(|(token, position)| token + position));
    }
    Ok(sum)
}

fn embed_back(
    model: &Transformer,
    parameters: &Parameters,
    tokens: &[usize],
    of_sum: &[f32],
    ready: &mut Ready,
) -> Result<()> {
    let width = model.width();
    let (index, values) = parameters.get("embedding.token")?;
    let mut of_tokens = vec![0.0_f32; values.len()];
    for (token, row) in tokens.iter().zip(of_sum.chunks_exact(width)) {
        let sums = of_tokens[token * width..(token + 1) * width].iter_mut();
        sums.zip(row).for_each(|(sum, value)| *sum += value);
    }
    ready(index, of_tokens)?;
    ready(parameters.get("embedding.position")?.0, column_sums(of_sum, model.columns() * width))
}
