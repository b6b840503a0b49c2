//! A decoder-only transformer T(w): from the tokens of a sequence so far to scores for the next one, at each place.
//!
//! ```text
//! x = token embedding + position embedding                          (context, w)
//! for each layer:  x = x + attention(norm(x));  x = x + W2 relu(W1 norm(x) + b1) + b2
//! scores = norm(x) W + b                                            (context, vocabulary)
//! attention: softmax(Q K^T / sqrt(d) where the key is not later than the query) V, in heads of d = 32 numbers
//! ```
//!
//! (Vaswani et al. 2017, "Attention is all you need", with the normalisation before each block, as in Radford et al.
//! 2019.) One number sets its size: the depth is w / 32, so that width and depth grow together at the ratio that Kaplan
//! et al. 2020 found to matter little. Each layer has 12 w^2 weights.
//!
//! A training step costs 6 floating-point operations for each weight and token, the embeddings apart, which are only
//! looked up; and 12 w for each pair of places and layer, for the scores Q K^T and their products with V.

use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use super::mlp::FLOPS_PER_PARAMETER_AND_ROW;
use super::{Architecture, Variables};
use crate::data::Text;
use crate::error::{Error, Result};

/// Numbers in a head of the attention, and width per layer of depth.
const HEAD: usize = 32;

/// A description of T(w); [`Architecture::build`] makes the network.
///
/// ```
/// use onramp::model::{Architecture, Transformer};
///
/// let (small, large) = (Transformer::new(64), Transformer::new(128));
/// assert_eq!((small.depth(), large.depth()), (2, 4));
/// // Twice the width and twice the depth: nearly eight times the weights.
/// assert!(large.parameters() > 7 * small.parameters());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transformer {
    width: usize,
    depth: usize,
    context: usize,
    vocabulary: usize,
}

impl Transformer {
    /// T(width) over sequences of 32 tokens out of 43, as [`Text`] has them; the width is a multiple of 32.
    pub fn new(width: usize) -> Self {
        Self { width, depth: width / HEAD, context: Text::CONTEXT, vocabulary: Text::VOCABULARY }
    }

    /// The same over sequences of this many tokens.
    pub fn context(mut self, tokens: usize) -> Self {
        self.context = tokens;
        self
    }

    /// The same with this many different tokens.
    pub fn vocabulary(mut self, tokens: usize) -> Self {
        self.vocabulary = tokens;
        self
    }

    /// The same with this many layers.
    pub fn layers(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Numbers that stand for a token between the layers, w.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of layers.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Heads of each layer's attention.
    pub fn heads(&self) -> usize {
        self.width / HEAD
    }

    /// The names of a layer's variables begin with this.
    pub(crate) fn layer_name(layer: usize) -> String {
        format!("layer{layer:03}")
    }

    /// Name, inputs and outputs of the dense layers of one layer.
    fn dense_layers(&self) -> [(&'static str, usize, usize); 4] {
        let width = self.width;
        [
            ("attention.in", width, 3 * width),
            ("attention.out", width, width),
            ("dense.in", width, 4 * width),
            ("dense.out", 4 * width, width),
        ]
    }

    /// The attention of one layer, from (sequences x context, w) to the same.
    fn attention(&self, variables: &Variables, name: &str, input: &Tensor) -> Result<Tensor> {
        let (context, heads) = (self.context, self.heads());
        let sequences = input.dim(0)? / context;
        let all = variables.dense(&format!("{name}.attention.in"), input)?;
        let part = |index: usize| -> Result<Tensor> {
            let part = all.narrow(1, index * self.width, self.width)?;
            Ok(part.reshape((sequences, context, heads, HEAD))?.transpose(1, 2)?.contiguous()?)
        };
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let scores = (query.matmul(&key.t()?)? / (HEAD as f64).sqrt())?;
        let shares = candle_nn::ops::softmax(&scores.broadcast_add(&self.mask(&scores)?)?, D::Minus1)?;
        let mixed = shares.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        variables.dense(&format!("{name}.attention.out"), &mixed.reshape((sequences * context, self.width))?)
    }

    /// 0 where the key (column) is not later than the query (row), minus infinity elsewhere.
    fn mask(&self, scores: &Tensor) -> Result<Tensor> {
        let context = self.context;
        let allowed = |index: usize| if index % context <= index / context { 0.0 } else { f32::NEG_INFINITY };
        let mask: Vec<f32> = (0..context * context).map(allowed).collect();
        Ok(Tensor::from_vec(mask, (context, context), scores.device())?.to_dtype(scores.dtype())?)
    }
}

impl Architecture for Transformer {
    fn columns(&self) -> usize {
        self.context
    }

    fn classes(&self) -> usize {
        self.vocabulary
    }

    fn predictions_per_row(&self) -> usize {
        self.context
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let mut shapes = vec![
            ("embedding.position".to_owned(), vec![self.context, width]),
            ("embedding.token".to_owned(), vec![self.vocabulary, width]),
        ];
        let mut dense = vec![("scores".to_owned(), width, self.vocabulary)];
        let mut norms = vec!["norm".to_owned()];
        for layer in (0..self.depth).map(Self::layer_name) {
            dense.extend(
                self.dense_layers().map(|(name, inputs, outputs)| (format!("{layer}.{name}"), inputs, outputs)),
            );
            norms.extend(["attention", "dense"].map(|block| format!("{layer}.{block}.norm")));
        }
        for (name, inputs, outputs) in dense {
            shapes.push((format!("{name}.weight"), vec![inputs, outputs]));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        }
        for name in norms {
            shapes.push((format!("{name}.scale"), vec![width]));
            shapes.push((format!("{name}.bias"), vec![width]));
        }
        shapes
    }

    fn flops_per_row(&self) -> f64 {
        let layers = self.dense_layers().iter().map(|(_, inputs, outputs)| inputs * outputs).sum::<usize>();
        let weights = self.depth * layers + self.width * self.vocabulary;
        let dense = FLOPS_PER_PARAMETER_AND_ROW * (self.context * weights) as f64;
        let pairs = (self.depth * self.context * self.context) as f64;
        dense + 12.0 * pairs * self.width as f64
    }

    fn activations_per_row(&self) -> usize {
        // The embedding, and in each layer two normalised inputs, Q, K and V, the mix, two sums and the hidden layer;
        // the shares of attention; the last norm and the scores.
        let shares = self.heads() * self.context * self.context;
        let layer = self.context * (2 + 3 + 1 + 2 + 4) * self.width + shares;
        self.context * (2 * self.width + self.vocabulary) + self.depth * layer
    }

    fn described_for(&self, columns: usize, classes: usize) -> String {
        format!(".context({columns}).vocabulary({classes})")
    }

    fn validate(&self) -> Result<()> {
        if self.width == 0 || !self.width.is_multiple_of(HEAD) {
            return Err(Error::invalid(format!(
                "a transformer's width must be a multiple of {HEAD}, the numbers in one head of its attention; {} is \
                 not: use Transformer::new(64)",
                self.width
            )));
        }
        if self.depth == 0 || self.context == 0 || self.vocabulary == 0 {
            return Err(Error::invalid(format!(
                "a transformer with {} layers, a context of {} and a vocabulary of {} tokens computes nothing; each \
                 must be at least 1",
                self.depth, self.context, self.vocabulary
            )));
        }
        Ok(())
    }

    /// Variance 1 / inputs, smaller where a block adds to the sum of all the others (Radford et al. 2019).
    fn initial_bound(&self, name: &str, shape: &[usize]) -> f32 {
        let bound = (3.0 / shape[0] as f32).sqrt();
        if name.starts_with("embedding") {
            return 3.0_f32.sqrt() * 0.1;
        }
        if name.ends_with(".out.weight") { bound / (2.0 * self.depth as f32).sqrt() } else { bound }
    }

    fn forward(&self, variables: &Variables, rows: &Tensor) -> Result<Tensor> {
        let sequences = rows.dims2()?.0;
        let tokens = rows.to_dtype(DType::U32)?.flatten_all()?;
        let shape = (sequences, self.context, self.width);
        let tokens = variables.get("embedding.token")?.index_select(&tokens, 0)?.reshape(shape)?;
        let sum = tokens.broadcast_add(&variables.get("embedding.position")?)?;
        let mut sum = sum.reshape((sequences * self.context, self.width))?;
        for name in (0..self.depth).map(Self::layer_name) {
            let normal = variables.layer_norm(&format!("{name}.attention.norm"), &sum)?;
            sum = (sum + self.attention(variables, &name, &normal)?)?;
            let normal = variables.layer_norm(&format!("{name}.dense.norm"), &sum)?;
            let hidden = variables.dense(&format!("{name}.dense.in"), &normal)?.relu()?;
            sum = (sum + variables.dense(&format!("{name}.dense.out"), &hidden)?)?;
        }
        variables.dense("scores", &variables.layer_norm("norm", &sum)?)
    }
}
