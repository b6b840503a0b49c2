//! A model as blocks, one behind the other.
//!
//! A block's pass forward gives its output and its way back, which remembers what it needs. So one worker runs all
//! blocks, or several workers have some of them each (a pipeline), or several run each block together, with a share of
//! its heads and hidden units each (tensor parallelism: Shoeybi et al. 2019, "Megatron-LM").

use std::borrow::Cow;

use super::Ready;
use crate::communication::Communicator;
use crate::error::Result;

/// The workers that run each block together; none when this one has whole blocks.
pub(crate) type Together<'a, 'b> = Option<&'a mut (dyn Communicator + 'b)>;

/// Replaces `values` by their sum over the workers that run a block together.
pub(super) fn sum_over(together: &mut Together, values: &mut [f32]) -> Result<()> {
    together.as_mut().map_or(Ok(()), |workers| workers.all_reduce_sum(values))
}

/// A part of a model.
pub(crate) trait Block {
    /// From the output of the block before to this one's, and the way back.
    fn forward<'s>(&'s self, input: Cow<'s, [f32]>, together: &mut Together) -> Result<(Vec<f32>, Box<dyn Back + 's>)>;
}

/// A block's way back.
pub(crate) trait Back {
    /// From the gradient of the output to that of the input; hands over the gradients of the block's variables. The
    /// first block of a model gives nothing: nobody needs the gradient of the rows.
    fn back(self: Box<Self>, of_output: Vec<f32>, together: &mut Together, ready: &mut Ready) -> Result<Vec<f32>>;
}

/// The way back through several blocks.
pub(crate) struct WayBack<'s>(Vec<Box<dyn Back + 's>>);

/// Through all blocks.
pub(crate) fn forward<'s>(
    blocks: &'s [Box<dyn Block + 's>],
    input: Cow<'s, [f32]>,
    together: &mut Together,
) -> Result<(Vec<f32>, WayBack<'s>)> {
    let mut ways = Vec::with_capacity(blocks.len());
    let mut values = input;
    for block in blocks {
        let (output, way) = block.forward(values, together)?;
        values = Cow::Owned(output);
        ways.push(way);
    }
    Ok((values.into_owned(), WayBack(ways)))
}

impl WayBack<'_> {
    /// Through all blocks, the last one first.
    pub(crate) fn back(self, of_output: Vec<f32>, together: &mut Together, ready: &mut Ready) -> Result<Vec<f32>> {
        self.0.into_iter().rev().try_fold(of_output, |gradient, way| way.back(gradient, together, ready))
    }
}
