//! What a model answers to a row: a class, and how sure it is.

use super::work::softmax;

/// The class with the highest probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    pub(super) class: u32,
    /// Its probability, from 1 / classes to 1.
    pub(super) confidence: f32,
}

impl Answer {
    /// From the probabilities of all classes; the first of those that are equal.
    pub(super) fn of_probabilities(probabilities: &[f32]) -> Self {
        let none = Self { class: 0, confidence: f32::NEG_INFINITY };
        probabilities.iter().zip(0..).fold(none, |best, (&confidence, class)| {
            if confidence > best.confidence { Self { class, confidence } } else { best }
        })
    }

    /// From the scores of all classes.
    pub(super) fn of_scores(scores: &[f32]) -> Self {
        let mut probabilities = scores.to_vec();
        softmax(&mut probabilities);
        Self::of_probabilities(&probabilities)
    }
}
