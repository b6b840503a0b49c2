//! Layer normalisation: each row of x (n, width) with mean 0 and variance 1, times a scale, plus a bias.
//!
//! With h the normalised row and g = dy scale, both means over the row:
//!
//! ```text
//! dx = (g - mean(g) - h mean(g h)) / deviation;  dscale = sum of dy h;  dbias = sum of dy
//! ```

use rayon::prelude::*;

use super::dense::column_sums;
use super::{Parameters, Ready};
use crate::error::Result;
use crate::model::LAYER_NORM_EPSILON;

/// Rows that are worth another thread.
const ROWS_PER_TASK: usize = 64;

/// The scale and bias of one norm, and their numbers among the variables.
pub(super) struct Norm<'a> {
    scale: (usize, &'a [f32]),
    bias: (usize, &'a [f32]),
}

/// What the way back needs.
pub(super) struct Normal {
    /// h, of the input's shape.
    rows: Vec<f32>,
    /// One over each row's deviation.
    inverse: Vec<f32>,
}

impl<'a> Norm<'a> {
    /// The norm whose variables are `name.scale` and `name.bias`.
    pub(super) fn of(parameters: &'a Parameters, name: &str) -> Result<Self> {
        let scale = parameters.get(&format!("{name}.scale"))?;
        Ok(Self { scale, bias: parameters.get(&format!("{name}.bias"))? })
    }

    fn width(&self) -> usize {
        self.scale.1.len()
    }

    /// h.
    pub(super) fn normal(&self, input: &[f32]) -> Normal {
        let width = self.width();
        let mut rows = vec![0.0; input.len()];
        let mut inverse = vec![0.0; input.len() / width];
        (rows.par_chunks_exact_mut(width), input.par_chunks_exact(width), &mut inverse)
            .into_par_iter()
            .with_min_len(ROWS_PER_TASK)
            .for_each(|(row, input, inverse)| {
                let mean = sum(input, |x| x) / width as f32;
                let variance = sum(input, |x| (x - mean) * (x - mean)) / width as f32;
                *inverse = 1.0 / (variance + LAYER_NORM_EPSILON as f32).sqrt();
                row.iter_mut().zip(input).for_each(|(h, x)| *h = (x - mean) * *inverse);
            });
        Normal { rows, inverse }
    }

    /// h scale + bias.
    pub(super) fn output(&self, normal: &Normal) -> Vec<f32> {
        let width = self.width();
        let mut output = vec![0.0; normal.rows.len()];
        (output.par_chunks_exact_mut(width), normal.rows.par_chunks_exact(width))
            .into_par_iter()
            .with_min_len(ROWS_PER_TASK)
            .for_each(|(output, h)| {
                let parameters = self.scale.1.iter().zip(self.bias.1);
                output.iter_mut().zip(h).zip(parameters).for_each(|((y, h), (scale, bias))| *y = h * scale + bias);
            });
        output
    }

    /// Hands over dscale and dbias, and adds dx to `of_input`.
    pub(super) fn back(
        &self,
        normal: &Normal,
        mut of_output: Vec<f32>,
        of_input: &mut [f32],
        ready: &mut Ready,
    ) -> Result<()> {
        let width = self.width();
        let mut of_scale = vec![0.0_f32; width];
        for (h, dy) in normal.rows.chunks_exact(width).zip(of_output.chunks_exact(width)) {
            of_scale.iter_mut().zip(h).zip(dy).for_each(|((sum, h), dy)| *sum += h * dy);
        }
        ready(self.bias.0, column_sums(&of_output, width))?;
        ready(self.scale.0, of_scale)?;
        let rows = (of_input.par_chunks_exact_mut(width), of_output.par_chunks_exact_mut(width));
        (rows.0, rows.1, normal.rows.par_chunks_exact(width), &normal.inverse)
            .into_par_iter()
            .with_min_len(ROWS_PER_TASK)
            .for_each(|(dx, g, h, inverse)| {
                g.iter_mut().zip(self.scale.1).for_each(|(g, scale)| *g *= scale);
                let mean = sum(g, |g| g) / width as f32;
                let along = dot(g, h) / width as f32;
                let pairs = dx.iter_mut().zip(g).zip(h);
                pairs.for_each(|((dx, g), h)| *dx += (*g - mean - h * along) * inverse);
            });
        Ok(())
    }
}

/// Sums in flight at once: a single one would wait for each addition.
const LANES: usize = 16;

/// The sum of all values after `change`.
pub(super) fn sum(values: &[f32], change: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|x| change(*x)).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += change(*x));
    }
    sums.iter().sum::<f32>() + rest
}

/// The sum of all products.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f32>() + rest
}
