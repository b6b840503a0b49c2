//! The blocks of an [`Mlp`]: its three layers.
//!
//! When workers run them together, each has some columns of the first layer and the same rows of the second: so the
//! first needs no word, the second one all-reduce, and the third, which is small, is everybody's.

use std::borrow::Cow;
use std::ops::Range;

use super::chain::{Back, Block, Together};
use super::dense::{Dense, relu, relu_back};
use super::{Parameters, Ready};
use crate::error::Result;

/// How many blocks an MLP has.
pub(crate) const BLOCKS: usize = 3;
/// The block that each worker has some rows of.
const SPLIT_BY_ROWS: usize = 1;

struct Layer<'a> {
    dense: Dense<'a>,
    index: usize,
}

struct LayerBack<'s> {
    layer: &'s Layer<'s>,
    input: Cow<'s, [f32]>,
}

pub(super) fn blocks<'a>(parameters: &'a Parameters, which: Range<usize>) -> Result<Vec<Box<dyn Block + 'a>>> {
    which
        .map(|index| -> Result<Box<dyn Block>> {
            Ok(Box::new(Layer { dense: Dense::of(parameters, &format!("layer{}", index + 1))?, index }))
        })
        .collect()
}

impl Block for Layer<'_> {
    fn forward<'s>(&'s self, input: Cow<'s, [f32]>, together: &mut Together) -> Result<(Vec<f32>, Box<dyn Back + 's>)> {
        let mut output = match together {
            Some(workers) if self.index == SPLIT_BY_ROWS => self.dense.forward_together(&input, *workers)?,
            _ => self.dense.forward(&input),
        };
        if self.index + 1 < BLOCKS {
            relu(&mut output);
        }
        Ok((output, Box::new(LayerBack { layer: self, input })))
    }
}

impl Back for LayerBack<'_> {
    fn back(self: Box<Self>, of_output: Vec<f32>, _: &mut Together, ready: &mut Ready) -> Result<Vec<f32>> {
        let dense = &self.layer.dense;
        dense.gradients(&self.input, &of_output, ready)?;
        if self.layer.index == 0 {
            return Ok(Vec::new());
        }
        let mut of_input = dense.back(&of_output);
        // What came in is what a ReLU gave.
        relu_back(&mut of_input, &self.input);
        Ok(of_input)
    }
}
