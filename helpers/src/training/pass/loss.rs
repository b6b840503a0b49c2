//! The mean of -ln softmax(scores)\[label\].

use crate::error::{Error, Result};

/// Replaces `scores` (n, classes) by `weight` times their gradient, (softmax(scores) - one-hot(label)) / n, and returns the
/// loss. All gradients further back are then `weight` times themselves, too.
pub(crate) fn cross_entropy(scores: &mut [f32], labels: &[u32], classes: usize, weight: f32) -> Result<f64> {
    if scores.len() != labels.len() * classes {
        return Err(Error::invalid(format!(
            "the batch has {} labels for {} predictions of {classes} classes; give each prediction a label",
            labels.len(),
            scores.len() / classes
        )));
    }
    let share = weight / labels.len() as f32;
    let mut loss = 0.0;
    for (row, &label) in scores.chunks_exact_mut(classes).zip(labels) {
        let own = *row.get(label as usize).ok_or_else(|| {
            Error::invalid(format!("the batch has the label {label}, and the model's {classes} classes begin with 0"))
        })?;
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|score| *score = (*score - largest).exp());
        let sum: f32 = row.iter().sum();
        loss += f64::from(sum.ln() + largest - own);
        row.iter_mut().for_each(|score| *score *= share / sum);
        row[label as usize] -= share;
    }
    Ok(loss / labels.len() as f64)
}
