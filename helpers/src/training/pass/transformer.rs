//! The blocks of a [`Transformer`]: the embeddings, each layer, and the scores.
//!
//! When workers run a layer together, each has some of its heads and of its hidden units: two all-reduces on the way
//! forward, after the attention and after the dense part, and two on the way back, before them.

use std::borrow::Cow;
use std::ops::Range;

use super::attention::Attention;
use super::chain::{Back, Block, Together, sum_over};
use super::dense::{Dense, column_sums, relu, relu_back};
use super::norm::{Norm, Normal};
use super::{Parameters, Ready};
use crate::error::{Error, Result};
use crate::model::{Architecture, Transformer};

pub(super) fn blocks<'a>(
    model: &Transformer,
    parameters: &'a Parameters,
    which: Range<usize>,
) -> Result<Vec<Box<dyn Block + 'a>>> {
    which
        .map(|index| -> Result<Box<dyn Block>> {
            Ok(match index {
                0 => Box::new(Embedding::of(model, parameters)?),
                layer if layer <= model.depth() => Box::new(Layer::of(model, parameters, layer - 1)?),
                _ => Box::new(Scores { norm: Norm::of(parameters, "norm")?, dense: Dense::of(parameters, "scores")? }),
            })
        })
        .collect()
}

/// How many blocks a transformer has.
pub(crate) fn block_count(model: &Transformer) -> usize {
    model.depth() + 2
}

/// Token embedding plus position embedding.
struct Embedding<'a> {
    model: Transformer,
    tokens: (usize, &'a [f32]),
    positions: (usize, &'a [f32]),
}

struct EmbeddingBack<'s> {
    embedding: &'s Embedding<'s>,
    tokens: Vec<usize>,
}

impl<'a> Embedding<'a> {
    fn of(model: &Transformer, parameters: &'a Parameters) -> Result<Self> {
        let tokens = parameters.get("embedding.token")?;
        Ok(Self { model: *model, tokens, positions: parameters.get("embedding.position")? })
    }
}

impl Block for Embedding<'_> {
    fn forward<'s>(&'s self, input: Cow<'s, [f32]>, _: &mut Together) -> Result<(Vec<f32>, Box<dyn Back + 's>)> {
        let width = self.model.width();
        let tokens = tokens(&self.model, &input)?;
        let mut sum = Vec::with_capacity(tokens.len() * width);
        for (token, position) in tokens.iter().zip(self.positions.1.chunks_exact(width).cycle()) {
            let token = &self.tokens.1[token * width..(token + 1) * width];
            sum.extend(token.iter().zip(position).map(|(token, position)| token + position));
        }
        Ok((sum, Box::new(EmbeddingBack { embedding: self, tokens })))
    }
}

impl Back for EmbeddingBack<'_> {
    fn back(self: Box<Self>, of_sum: Vec<f32>, _: &mut Together, ready: &mut Ready) -> Result<Vec<f32>> {
        let Embedding { model, tokens: (index, values), positions } = self.embedding;
        let width = model.width();
        let mut of_tokens = vec![0.0_f32; values.len()];
        for (token, row) in self.tokens.iter().zip(of_sum.chunks_exact(width)) {
            let sums = of_tokens[token * width..(token + 1) * width].iter_mut();
            sums.zip(row).for_each(|(sum, value)| *sum += value);
        }
        ready(*index, of_tokens)?;
        ready(positions.0, column_sums(&of_sum, model.columns() * width))?;
        Ok(Vec::new())
    }
}

/// The last norm, and the product that gives a score for each token of the vocabulary.
struct Scores<'a> {
    norm: Norm<'a>,
    dense: Dense<'a>,
}

struct ScoresBack<'s> {
    scores: &'s Scores<'s>,
    normal: Normal,
    normal_output: Vec<f32>,
}

impl Block for Scores<'_> {
    fn forward<'s>(&'s self, input: Cow<'s, [f32]>, _: &mut Together) -> Result<(Vec<f32>, Box<dyn Back + 's>)> {
        let normal = self.norm.normal(&input);
        let normal_output = self.norm.output(&normal);
        let output = self.dense.forward(&normal_output);
        Ok((output, Box::new(ScoresBack { scores: self, normal, normal_output })))
    }
}

impl Back for ScoresBack<'_> {
    fn back(self: Box<Self>, of_scores: Vec<f32>, _: &mut Together, ready: &mut Ready) -> Result<Vec<f32>> {
        let Scores { norm, dense } = self.scores;
        dense.gradients(&self.normal_output, &of_scores, ready)?;
        let mut of_sum = vec![0.0; self.normal_output.len()];
        norm.back(&self.normal, dense.back(&of_scores), &mut of_sum, ready)?;
        Ok(of_sum)
    }
}

/// The variables of one layer.
struct Layer<'a> {
    shape: Attention,
    attention_norm: Norm<'a>,
    attention_in: Dense<'a>,
    attention_out: Dense<'a>,
    dense_norm: Norm<'a>,
    dense_in: Dense<'a>,
    dense_out: Dense<'a>,
}

/// What a layer's way back needs of its way forward.
struct LayerBack<'s> {
    layer: &'s Layer<'s>,
    attention_normal: Normal,
    /// Q, K and V side by side.
    inputs: Vec<f32>,
    shares: Vec<f32>,
    mixed: Vec<f32>,
    dense_normal: Normal,
    hidden: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn of(model: &Transformer, parameters: &'a Parameters, layer: usize) -> Result<Self> {
        let name = Transformer::layer_name(layer);
        let dense = |part: &str| Dense::of(parameters, &format!("{name}.{part}"));
        let norm = |part: &str| Norm::of(parameters, &format!("{name}.{part}"));
        let attention_out = dense("attention.out")?;
        // All of the model's heads, or this worker's share of them.
        let width = attention_out.inputs();
        let heads = model.heads() * width / model.width();
        Ok(Self {
            shape: Attention { context: model.columns(), heads, width },
            attention_norm: norm("attention.norm")?,
            attention_in: dense("attention.in")?,
            attention_out,
            dense_norm: norm("dense.norm")?,
            dense_in: dense("dense.in")?,
            dense_out: dense("dense.out")?,
        })
    }
}

/// Adds the layer's product with `input` to `sum`.
fn add(dense: &Dense, input: &[f32], sum: &mut [f32], together: &mut Together) -> Result<()> {
    match together {
        None => dense.forward_onto(input, sum),
        Some(workers) => {
            let output = dense.forward_together(input, *workers)?;
            sum.iter_mut().zip(output).for_each(|(sum, value)| *sum += value);
        }
    }
    Ok(())
}

impl Block for Layer<'_> {
    fn forward<'s>(&'s self, input: Cow<'s, [f32]>, together: &mut Together) -> Result<(Vec<f32>, Box<dyn Back + 's>)> {
        let mut sum = input.into_owned();
        let attention_normal = self.attention_norm.normal(&sum);
        let inputs = self.attention_in.forward(&self.attention_norm.output(&attention_normal));
        let (shares, mixed) = self.shape.forward(&inputs);
        add(&self.attention_out, &mixed, &mut sum, together)?;
        let dense_normal = self.dense_norm.normal(&sum);
        let mut hidden = self.dense_in.forward(&self.dense_norm.output(&dense_normal));
        relu(&mut hidden);
        add(&self.dense_out, &hidden, &mut sum, together)?;
        Ok((sum, Box::new(LayerBack { layer: self, attention_normal, inputs, shares, mixed, dense_normal, hidden })))
    }
}

impl Back for LayerBack<'_> {
    /// From the gradient of the sum behind this layer to that before it.
    fn back(self: Box<Self>, mut of_sum: Vec<f32>, together: &mut Together, ready: &mut Ready) -> Result<Vec<f32>> {
        let Layer { shape, attention_norm, attention_in, attention_out, dense_norm, dense_in, dense_out } = self.layer;
        dense_out.gradients(&self.hidden, &of_sum, ready)?;
        let mut of_hidden = dense_out.back(&of_sum);
        relu_back(&mut of_hidden, &self.hidden);
        dense_in.gradients(&dense_norm.output(&self.dense_normal), &of_hidden, ready)?;
        let mut of_normal = dense_in.back(&of_hidden);
        sum_over(together, &mut of_normal)?;
        dense_norm.back(&self.dense_normal, of_normal, &mut of_sum, ready)?;

        attention_out.gradients(&self.mixed, &of_sum, ready)?;
        let of_inputs = shape.back(&self.inputs, &self.shares, &attention_out.back(&of_sum));
        attention_in.gradients(&attention_norm.output(&self.attention_normal), &of_inputs, ready)?;
        let mut of_normal = attention_in.back(&of_inputs);
        sum_over(together, &mut of_normal)?;
        attention_norm.back(&self.attention_normal, of_normal, &mut of_sum, ready)?;
        Ok(of_sum)
    }
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
