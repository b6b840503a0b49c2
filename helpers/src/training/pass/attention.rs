//! Causal attention: each place of a sequence mixes the values of the places before it and its own.
//!
//! For each head, with Q, K and V (context, d):
//!
//! ```text
//! shares S = softmax(Q K^T / sqrt(d)), 0 where the key is later than the query;  mixed = S V
//! dV = S^T dmixed;  dS = dmixed V^T;  dZ = S (dS - sum of its row's S dS) / sqrt(d);  dQ = dZ K;  dK = dZ^T Q
//! ```

use rayon::prelude::*;

use super::matrix::{Before, Matrix, multiply_alone};
use super::norm::{dot, sum};

/// The shape of one layer's attention.
#[derive(Clone, Copy)]
pub(super) struct Attention {
    pub(super) context: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
}

impl Attention {
    /// Numbers in a head.
    fn head(&self) -> usize {
        self.width / self.heads
    }

    /// Numbers of Q, K and V for one sequence.
    fn inputs(&self) -> usize {
        self.context * 3 * self.width
    }

    fn shares(&self) -> usize {
        self.context * self.context
    }

    fn factor(&self) -> f32 {
        1.0 / (self.head() as f32).sqrt()
    }

    /// One head's Q (part 0), K (1) or V (2).
    fn part<'a>(&self, inputs: &'a [f32], head: usize, part: usize) -> Matrix<'a> {
        let start = part * self.width + head * self.head();
        Matrix::part(&inputs[start..], self.context, self.head(), 3 * self.width)
    }

    /// One head's columns of something as wide as the model.
    fn columns<'a>(&self, values: &'a [f32], head: usize) -> Matrix<'a> {
        Matrix::part(&values[head * self.head()..], self.context, self.head(), self.width)
    }

    /// From Q, K and V side by side, (sequences x context, 3 width), to the shares (sequences, heads, context, context)
    /// and what they mix (sequences x context, width).
    pub(super) fn forward(&self, inputs: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let sequences = inputs.len() / self.inputs();
        let mut shares = vec![0.0; sequences * self.heads * self.shares()];
        let mut mixed = vec![0.0; sequences * self.context * self.width];
        (
            inputs.par_chunks_exact(self.inputs()),
            shares.par_chunks_exact_mut(self.heads * self.shares()),
            mixed.par_chunks_exact_mut(self.context * self.width),
        )
            .into_par_iter()
            .for_each(|(inputs, shares, mixed)| self.forward_one(inputs, shares, mixed));
        (shares, mixed)
    }

    fn forward_one(&self, inputs: &[f32], shares: &mut [f32], mixed: &mut [f32]) {
        for (head, shares) in shares.chunks_exact_mut(self.shares()).enumerate() {
            let (query, key) = (self.part(inputs, head, 0), self.part(inputs, head, 1));
            multiply_alone(query, key.t(), self.factor(), Before::Replaced, shares, self.context);
            for (place, row) in shares.chunks_exact_mut(self.context).enumerate() {
                let (seen, later) = row.split_at_mut(place + 1);
                softmax(seen);
                later.fill(0.0);
            }
            let value = self.part(inputs, head, 2);
            let out = &mut mixed[head * self.head()..];
            multiply_alone(Matrix::new(shares, self.context), value, 1.0, Before::Replaced, out, self.width);
        }
    }

    /// The gradient of Q, K and V side by side.
    pub(super) fn back(&self, inputs: &[f32], shares: &[f32], of_mixed: &[f32]) -> Vec<f32> {
        let mut of_inputs = vec![0.0; inputs.len()];
        (
            of_inputs.par_chunks_exact_mut(self.inputs()),
            inputs.par_chunks_exact(self.inputs()),
            shares.par_chunks_exact(self.heads * self.shares()),
            of_mixed.par_chunks_exact(self.context * self.width),
        )
            .into_par_iter()
            .for_each(|(of_inputs, inputs, shares, of_mixed)| self.back_one(of_inputs, inputs, shares, of_mixed));
        of_inputs
    }

    fn back_one(&self, of_inputs: &mut [f32], inputs: &[f32], shares: &[f32], of_mixed: &[f32]) {
        let stride = 3 * self.width;
        let mut of_scores = vec![0.0; self.shares()];
        for (head, shares) in shares.chunks_exact(self.shares()).enumerate() {
            let (query, key, value) =
                (self.part(inputs, head, 0), self.part(inputs, head, 1), self.part(inputs, head, 2));
            let (share, of_mixed) = (Matrix::new(shares, self.context), self.columns(of_mixed, head));
            let start = |part: usize| part * self.width + head * self.head();
            multiply_alone(share.t(), of_mixed, 1.0, Before::Replaced, &mut of_inputs[start(2)..], stride);
            multiply_alone(of_mixed, value.t(), 1.0, Before::Replaced, &mut of_scores, self.context);
            let rows = of_scores.chunks_exact_mut(self.context).zip(shares.chunks_exact(self.context));
            for (gradient, share) in rows {
                let mean = dot(gradient, share);
                gradient.iter_mut().zip(share).for_each(|(gradient, share)| *gradient = share * (*gradient - mean));
            }
            let of_scores = Matrix::new(&of_scores, self.context);
            multiply_alone(of_scores, key, self.factor(), Before::Replaced, &mut of_inputs[start(0)..], stride);
            multiply_alone(of_scores.t(), query, self.factor(), Before::Replaced, &mut of_inputs[start(1)..], stride);
        }
    }
}

/// Replaces scores by positive shares whose sum is 1.
fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let total = sum(row, |share| share);
    row.iter_mut().for_each(|share| *share /= total);
}
