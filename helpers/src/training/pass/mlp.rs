//! The pass of an [`Mlp`].

use super::dense::{Dense, relu, relu_back};
use super::loss::cross_entropy;
use super::{Pass, Ready};
use crate::error::Result;
use crate::model::{Architecture, Mlp};

pub(super) fn pass(model: &Mlp, pass: &Pass, ready: &mut Ready) -> Result<f64> {
    let layer = |name: &str| Dense::of(pass.parameters, name);
    let layers = [layer("layer1")?, layer("layer2")?, layer("layer3")?];
    let mut first = layers[0].forward(pass.features);
    relu(&mut first);
    let mut second = layers[1].forward(&first);
    relu(&mut second);
    let mut gradient = layers[2].forward(&second);
    let loss = cross_entropy(&mut gradient, pass.labels, model.classes())?;
    for (layer, input) in [(&layers[2], &second), (&layers[1], &first)] {
        layer.gradients(input, &gradient, ready)?;
        gradient = layer.back(&gradient);
        relu_back(&mut gradient, input);
    }
    layers[0].gradients(pass.features, &gradient, ready)?;
    Ok(loss)
}
