//! A convolution as a product: the patch around each output place becomes a row.

use crate::model::{Convolution, KERNEL};

/// From images (rows, 2 side, 2 side, inputs) to patches (rows x side x side, 9 inputs). Outside the image is 0.
pub(super) fn patches(images: &[f32], layer: &Convolution) -> Vec<f32> {
    let mut patches = vec![0.0; images.len() / image_size(layer) * layer.places() * layer.patch()];
    for (image, patches) in images.chunks_exact(image_size(layer)).zip(patches.chunks_exact_mut(patches_size(layer))) {
        for_each_line(layer, |in_image, in_patches, length| {
            patches[in_patches..in_patches + length].copy_from_slice(&image[in_image..in_image + length]);
        });
    }
    patches
}

/// The way back: adds up what each pixel's copies have.
pub(super) fn images(patches: &[f32], layer: &Convolution) -> Vec<f32> {
    let mut images = vec![0.0; patches.len() / patches_size(layer) * image_size(layer)];
    for (image, patches) in images.chunks_exact_mut(image_size(layer)).zip(patches.chunks_exact(patches_size(layer))) {
        for_each_line(layer, |in_image, in_patches, length| {
            let line = image[in_image..in_image + length].iter_mut();
            line.zip(&patches[in_patches..in_patches + length]).for_each(|(sum, copy)| *sum += copy);
        });
    }
    images
}

fn image_size(layer: &Convolution) -> usize {
    4 * layer.places() * layer.inputs
}

fn patches_size(layer: &Convolution) -> usize {
    layer.places() * layer.patch()
}

/// Calls with the place in the image, the place in its patches and the length of each piece of a line that both have.
fn for_each_line(layer: &Convolution, mut copy: impl FnMut(usize, usize, usize)) {
    let (side, inputs) = (layer.side, layer.inputs);
    for row in 0..side {
        for column in 0..side {
            let patch = (row * side + column) * layer.patch();
            for line in 0..KERNEL {
                // The window begins one pixel above and left of pixel (2 row, 2 column).
                let Some(y) = (2 * row + line).checked_sub(1).filter(|y| *y < 2 * side) else { continue };
                let skipped = usize::from(column == 0);
                let x = 2 * column + skipped - 1;
                let length = (KERNEL - skipped).min(2 * side - x);
                let in_patches = patch + (line * KERNEL + skipped) * inputs;
                copy((y * 2 * side + x) * inputs, in_patches, length * inputs);
            }
        }
    }
}
