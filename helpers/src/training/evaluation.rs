//! How well a network does on rows that it did not learn from.

use candle_core::{D, DType};
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::Result;
use crate::model::Network;

/// Labels that are predicted at once, so that memory stays flat.
const CHUNK: usize = 1024;

/// Loss and accuracy over a data set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats. Guessing among 10 classes gives ln 10 = 2.30.
    pub loss: f64,
    /// Share of labels whose class has the highest score, from 0 to 1.
    pub accuracy: f64,
}

/// Runs the network over all rows of a set.
///
/// # Errors
/// [`crate::Error::Candle`] when the rows don't fit the network.
pub fn evaluate(network: &Network, data: &Dataset) -> Result<Evaluation> {
    let (mut loss, mut right) = (0.0, 0.0);
    let rows = (CHUNK / data.labels_per_row()).max(1);
    for start in (0..data.rows()).step_by(rows) {
        let end = (start + rows).min(data.rows());
        let batch = data.batch_range(start, end, network.device())?;
        let scores = network.forward(&batch.features)?.detach();
        let chunk_loss = candle_nn::loss::cross_entropy(&scores, &batch.labels)?.to_scalar::<f32>()?;
        let hits = scores.argmax(D::Minus1)?.eq(&batch.labels)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
        loss += f64::from(chunk_loss) * batch.labels.elem_count() as f64;
        right += f64::from(hits);
    }
    let labels = data.labels().len() as f64;
    Ok(Evaluation { loss: loss / labels, accuracy: right / labels })
}
