//! A small convolutional network C(c): two 3x3 convolutions of c and 2c channels, each halving the image, then a dense
//! layer.
//!
//! A convolution applies the same 3 x 3 x inputs weights at each place of its output. So for the same number of
//! parameters, which is what workers have to exchange, it computes much more than a dense layer does: 6 floating-point
//! operations per weight, row *and place* in a training step (4 in the first layer, whose input needs no gradient).
//!
//! Each convolution is computed as one matrix product: the 3 x 3 patch around each output place becomes a row
//! (Chellapilla et al. 2006, "High performance convolutional neural networks for document processing"). Strides
//! in place of pooling: Springenberg et al. 2015, "Striving for simplicity".

use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

use super::{Architecture, Variables};
use crate::error::{Error, Result};

/// Width and height of a convolution's window.
pub(crate) const KERNEL: usize = 3;

/// A description of C(c) over square grey images; [`Architecture::build`] makes the network.
///
/// ```
/// use onramp::model::{Architecture, Convnet};
///
/// let model = Convnet::new(8);
/// assert_eq!(model.parameters(), (9 + 1) * 8 + (9 * 8 + 1) * 16 + (7 * 7 * 16 + 1) * 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convnet {
    channels: usize,
    side: usize,
    outputs: usize,
}

/// One convolution: from (rows, 2 side, 2 side, inputs) to (rows, side, side, outputs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convolution {
    /// The name of its variables.
    pub(crate) name: &'static str,
    /// Width and height of its output.
    pub(crate) side: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Convolution {
    /// Numbers in a patch: the rows of the weights.
    pub(crate) fn patch(&self) -> usize {
        KERNEL * KERNEL * self.inputs
    }

    /// Output places of one image.
    pub(crate) fn places(&self) -> usize {
        self.side * self.side
    }
}

impl Convnet {
    /// C(channels) over images of 28 by 28 pixels in 10 classes.
    pub fn new(channels: usize) -> Self {
        Self { channels, side: 28, outputs: 10 }
    }

    /// The same over images with this width and height; a multiple of 4.
    pub fn side(mut self, pixels: usize) -> Self {
        self.side = pixels;
        self
    }

    /// The same with this many classes.
    pub fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    /// Channels of the first convolution; the second has twice as many.
    pub fn channels(&self) -> usize {
        self.channels
    }

    pub(crate) fn convolutions(&self) -> [Convolution; 2] {
        let (channels, side) = (self.channels, self.side);
        [
            Convolution { name: "convolution1", side: side / 2, inputs: 1, outputs: channels },
            Convolution { name: "convolution2", side: side / 4, inputs: channels, outputs: 2 * channels },
        ]
    }

    /// Numbers that reach the dense layer.
    fn flat(&self) -> usize {
        let [_, last] = self.convolutions();
        last.places() * last.outputs
    }
}

impl Architecture for Convnet {
    fn columns(&self) -> usize {
        self.side * self.side
    }

    fn classes(&self) -> usize {
        self.outputs
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let dense = ("dense", self.flat(), self.outputs);
        let convolutions = self.convolutions().map(|layer| (layer.name, layer.patch(), layer.outputs));
        let layer = |(name, inputs, outputs): (&str, usize, usize)| {
            [(format!("{name}.weight"), vec![inputs, outputs]), (format!("{name}.bias"), vec![outputs])]
        };
        convolutions.into_iter().chain([dense]).flat_map(layer).collect()
    }

    fn flops_per_row(&self) -> f64 {
        let [first, second] = self.convolutions();
        let multiplications = |layer: Convolution| (layer.places() * layer.patch() * layer.outputs) as f64;
        let dense = (self.flat() * self.outputs) as f64;
        4.0 * multiplications(first) + 6.0 * (multiplications(second) + dense)
    }

    fn activations_per_row(&self) -> usize {
        let convolutions: usize = self.convolutions().iter().map(|layer| layer.places() * layer.outputs).sum();
        convolutions + self.outputs
    }

    fn described_for(&self, columns: usize, classes: usize) -> String {
        let side = columns.isqrt();
        if side * side == columns && side.is_multiple_of(4) {
            return format!(".side({side}).outputs({classes})");
        }
        format!(
            "Mlp::new(256).inputs({columns}).outputs({classes}): a convnet needs square images, with sides in fours"
        )
    }

    fn validate(&self) -> Result<()> {
        if self.channels == 0 || self.outputs == 0 {
            return Err(Error::invalid(format!(
                "a convnet with {} channels and {} outputs has an empty layer; each must be at least 1, such as \
                 Convnet::new(16)",
                self.channels, self.outputs
            )));
        }
        if self.side == 0 || !self.side.is_multiple_of(4) {
            return Err(Error::invalid(format!(
                "a convnet halves its image twice, so its side of {} pixels must be a multiple of 4, such as 28",
                self.side
            )));
        }
        Ok(())
    }

    fn forward(&self, variables: &Variables, rows: &Tensor) -> Result<Tensor> {
        let count = rows.dim(0)?;
        let mut images = rows.to_dtype(variables.precision())?.reshape((count, self.side, self.side, 1))?;
        for layer in self.convolutions() {
            let patches = patches(&images, &layer)?;
            let sums = variables.dense(layer.name, &patches)?;
            images = sums.relu()?.reshape((count, layer.side, layer.side, layer.outputs))?;
        }
        variables.dense("dense", &images.reshape((count, self.flat()))?)
    }
}

/// The 3 x 3 patch around every second place of `images` (rows, side, side, inputs), one after the other:
/// (rows x places, 9 inputs). Outside the image is 0.
fn patches(images: &Tensor, layer: &Convolution) -> Result<Tensor> {
    let (count, _, _, inputs) = images.dims4()?;
    let side = layer.side;
    let padded = images.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
    let mut shifted = Vec::with_capacity(KERNEL * KERNEL);
    for y in 0..KERNEL {
        // Places y, y + 2, y + 4 and so on: the first of each pair of lines.
        let lines = padded.narrow(1, y, 2 * side)?.contiguous()?;
        let lines = lines.reshape((count, side, 2, 2 * side + 2, inputs))?.narrow(2, 0, 1)?.squeeze(2)?;
        for x in 0..KERNEL {
            let places = lines.narrow(2, x, 2 * side)?.contiguous()?;
            let places = places.reshape((count, side, side, 2, inputs))?.narrow(3, 0, 1)?.squeeze(3)?;
            shifted.push(places);
        }
    }
    Ok(Tensor::cat(&shifted, D::Minus1)?.reshape((count * layer.places(), layer.patch()))?)
}
