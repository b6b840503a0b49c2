//! What a network answers to rows: a class, and how sure it is.

use candle_core::{D, Tensor};

use crate::error::Result;
use crate::model::Network;

/// Rows that are answered at once, so that memory stays flat.
const CHUNK: usize = 512;

/// The class with the highest probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    pub(super) class: u32,
    /// Its probability by the softmax of the scores, from 1 / classes to 1.
    pub(super) confidence: f32,
}

/// An answer for each row of `columns` numbers.
pub(super) fn answers(network: &Network, features: &[f32], columns: usize) -> Result<Vec<Answer>> {
    let mut found = Vec::with_capacity(features.len() / columns);
    for rows in features.chunks(CHUNK * columns) {
        let rows = Tensor::from_slice(rows, (rows.len() / columns, columns), network.device())?;
        let probabilities = candle_nn::ops::softmax(&network.forward(&rows)?.detach(), D::Minus1)?;
        for row in probabilities.to_vec2::<f32>()? {
            let first = Answer { class: 0, confidence: f32::NEG_INFINITY };
            found.push(row.into_iter().zip(0..).fold(first, |best, (confidence, class)| {
                if confidence > best.confidence { Answer { class, confidence } } else { best }
            }));
        }
    }
    Ok(found)
}
