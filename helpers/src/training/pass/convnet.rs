//! The pass of a [`Convnet`].

use super::convolution::{images, patches};
use super::dense::{Dense, relu, relu_back};
use super::loss::cross_entropy;
use super::{Pass, Ready};
use crate::error::Result;
use crate::model::{Architecture, Convnet};

pub(super) fn pass(model: &Convnet, pass: &Pass, ready: &mut Ready) -> Result<f64> {
    let shapes = model.convolutions();
    let layer = |name: &str| Dense::of(pass.parameters, name);
    let (first, second, dense) = (layer(shapes[0].name)?, layer(shapes[1].name)?, layer("dense")?);
    let first_patches = patches(pass.features, &shapes[0]);
    let mut first_images = first.forward(&first_patches);
    relu(&mut first_images);
    let second_patches = patches(&first_images, &shapes[1]);
    let mut second_images = second.forward(&second_patches);
    relu(&mut second_images);
    let mut gradient = dense.forward(&second_images);
    let loss = cross_entropy(&mut gradient, pass.labels, model.classes(), pass.weight)?;
    dense.gradients(&second_images, &gradient, ready)?;
    let mut gradient = dense.back(&gradient);
    relu_back(&mut gradient, &second_images);
    second.gradients(&second_patches, &gradient, ready)?;
    let mut gradient = images(&second.back(&gradient), &shapes[1]);
    relu_back(&mut gradient, &first_images);
    first.gradients(&first_patches, &gradient, ready)?;
    Ok(loss)
}
