//! Fewer bytes for the same gradients.
//!
//! What a compressed step leaves out is added to the next step's gradients (error feedback: Karimireddy et al. 2019,
//! "Error Feedback Fixes SignSGD and other Gradient Compression Schemes"), so that nothing is lost, only late.
//!
//! For P parameters, p workers and r the rank, one worker sends in a step
//!
//! ```text
//! nothing compressed, ring   8 P (p-1)/p bytes
//! int8                       2 P (p-1)/p, and a scale for each block of 256 numbers
//! top-k of a share s         8 s P (p-1): each worker's choice goes to all, so it grows with p
//! PowerSGD                   8 (p-1)/p r (n + m) for each matrix (n, m); vectors are not compressed
//! ```

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::communication::{Algorithm, Collective, Communicator, chunk};
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::training::Gradients;
use crate::training::pass::matrix::{Before, Matrix, multiply};

/// Numbers that share a scale.
const BLOCK: usize = 256;
const SCALE_BYTES: usize = size_of::<f32>();
/// Bytes of a chosen number and of its place.
const CHOSEN_BYTES: usize = size_of::<u32>() + size_of::<f32>();

/// How gradients are made smaller before they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Eight bits for each number, with a scale for each block of 256.
    Int8,
    /// Only the largest numbers, with their places (Lin et al. 2018, "Deep Gradient Compression").
    TopK {
        /// The share of numbers that is sent, above 0 and at most 1.
        share: f64,
    },
    /// Each matrix as a product of two thin ones (Vogels, Karimireddy and Jaggi 2019, "PowerSGD").
    PowerSgd {
        /// Columns of the thin matrices.
        rank: usize,
    },
}

impl Compression {
    /// Refuses what leaves nothing to send.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a share that is not above 0 and at most 1, or a rank of 0.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::TopK { share } if !(*share > 0.0 && *share <= 1.0) => Err(Error::invalid(format!(
                "a share of {share} of the gradients can't be sent; use more than 0 and at most 1, such as 0.01"
            ))),
            Self::PowerSgd { rank: 0 } => {
                Err(Error::invalid("PowerSGD of rank 0 sends nothing; use at least 1, such as 4"))
            }
            _ => Ok(()),
        }
    }

    /// The calls of one step, with the numbers of 4 bytes that each moves; for a [`Replay`](crate::communication::Replay).
    pub fn calls(
        &self,
        model: &impl Architecture,
        algorithm: Algorithm,
        world_size: usize,
    ) -> Vec<(Collective, usize)> {
        let parameters = model.parameters();
        match self {
            Self::Int8 => {
                // The chunks differ by a number at most, and a message by a scale.
                let message = encoded_bytes(parameters.div_ceil(world_size)).div_ceil(size_of::<f32>());
                vec![(Collective::AllToAll, message); 2]
            }
            Self::TopK { share } => {
                vec![(Collective::AllToAll, chosen(parameters, *share) * CHOSEN_BYTES / size_of::<f32>())]
            }
            Self::PowerSgd { rank } => {
                let shapes: Vec<Vec<usize>> = model.shapes().into_iter().map(|(_, shape)| shape).collect();
                let thin = shapes.iter().filter_map(|shape| thin_shape(shape, *rank));
                let (left, right) = thin.fold((0, 0), |(left, right), (n, m)| (left + n * rank, right + m * rank));
                let plain = shapes.iter().filter(|shape| thin_shape(shape, *rank).is_none());
                let plain: usize = plain.map(|shape| shape.iter().product::<usize>()).sum();
                let all_reduce = Collective::AllReduce(algorithm);
                vec![(all_reduce, left + plain), (all_reduce, right)]
            }
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int8 => write!(f, "int8"),
            Self::TopK { share } => write!(f, "top-k of {} %", 100.0 * share),
            Self::PowerSgd { rank } => write!(f, "PowerSGD of rank {rank}"),
        }
    }
}

/// A worker's compression, with what it still owes.
#[derive(Debug, Clone)]
pub struct Compressor {
    compression: Compression,
    /// What this worker's gradients lost so far.
    owed: Vec<f32>,
    /// What the means of this worker's chunk lost so far, for int8.
    owed_of_chunk: Vec<f32>,
    /// The right thin matrix of each compressed variable; the next step begins with it.
    right: Vec<Vec<f32>>,
}

impl Compressor {
    /// Before the first step: nothing is owed.
    pub fn new(compression: Compression) -> Self {
        Self { compression, owed: Vec::new(), owed_of_chunk: Vec::new(), right: Vec::new() }
    }

    /// Replaces each worker's gradients by nearly their mean over all workers. All workers end with the same bits.
    ///
    /// # Errors
    /// [`Error::Worker`] when another worker stopped.
    pub fn average(&mut self, gradients: &mut Gradients, workers: &mut dyn Communicator) -> Result<()> {
        self.compression.validate()?;
        let mut values = gradients.to_flat()?;
        self.owed.resize(values.len(), 0.0);
        values.iter_mut().zip(&self.owed).for_each(|(value, owed)| *value += owed);
        let mean = match self.compression {
            Compression::Int8 => self.int8(values, workers)?,
            Compression::TopK { share } => self.top_k(values, share, workers)?,
            Compression::PowerSgd { rank } => {
                let shapes: Vec<Vec<usize>> = gradients.tensors().iter().map(|tensor| tensor.dims().to_vec()).collect();
                self.power_sgd(values, &shapes, rank, workers)?
            }
        };
        gradients.set_flat(mean)
    }

    /// Each worker's chunk goes to its owner in eight bits, who adds up and sends the mean to all in eight bits.
    fn int8(&mut self, values: Vec<f32>, workers: &mut dyn Communicator) -> Result<Vec<f32>> {
        let (rank, world_size) = (workers.rank(), workers.world_size());
        let chunks: Vec<_> = (0..world_size).map(|rank| chunk(rank, world_size, values.len())).collect();
        let messages: Vec<Vec<u8>> = chunks.iter().map(|chunk| encode(&values[chunk.clone()])).collect();
        for (chunk, message) in chunks.iter().zip(&messages) {
            let sent = decode(message, chunk.len())?;
            let owed = self.owed[chunk.clone()].iter_mut().zip(&values[chunk.clone()]);
            owed.zip(sent).for_each(|((owed, value), sent)| *owed = value - sent);
        }
        let own = chunks[rank].len();
        self.owed_of_chunk.resize(own, 0.0);
        let mut mean = vec![0.0; own];
        for message in workers.all_to_all_bytes(messages)? {
            mean.iter_mut().zip(decode(&message, own)?).for_each(|(sum, value)| *sum += value);
        }
        let means = mean.iter_mut().zip(&self.owed_of_chunk);
        means.for_each(|(mean, owed)| *mean = *mean / world_size as f32 + owed);
        let message = encode(&mean);
        let sent = decode(&message, own)?;
        let owed = self.owed_of_chunk.iter_mut().zip(mean);
        owed.zip(sent).for_each(|((owed, mean), sent)| *owed = mean - sent);
        let mut all = Vec::with_capacity(values.len());
        for (message, chunk) in workers.all_gather_bytes(&message)?.iter().zip(&chunks) {
            all.extend(decode(message, chunk.len())?);
        }
        Ok(all)
    }

    fn top_k(&mut self, values: Vec<f32>, share: f64, workers: &mut dyn Communicator) -> Result<Vec<f32>> {
        let count = chosen(values.len(), share);
        let mut places: Vec<u32> = (0..values.len() as u32).collect();
        if count < places.len() {
            let size = |place: &u32| values[*place as usize].abs();
            places.select_nth_unstable_by(count, |a, b| size(b).total_cmp(&size(a)));
            places.truncate(count);
        }
        // In order of places, so that the same numbers are added in the same order everywhere.
        places.sort_unstable();
        let mut message = Vec::with_capacity(count * CHOSEN_BYTES);
        for place in &places {
            message.extend(place.to_le_bytes());
            message.extend(values[*place as usize].to_le_bytes());
        }
        let mut mean = vec![0.0; values.len()];
        let part = 1.0 / workers.world_size() as f32;
        for message in workers.all_gather_bytes(&message)? {
            for pair in message.chunks_exact(CHOSEN_BYTES) {
                let (place, value) = (number(&pair[..4], u32::from_le_bytes), number(&pair[4..], f32::from_le_bytes));
                let sum = mean.get_mut(place as usize).ok_or_else(|| {
                    Error::Worker(format!("a worker sent the gradient number {place} of {}", values.len()))
                })?;
                *sum += part * value;
            }
        }
        self.owed = values;
        places.iter().for_each(|place| self.owed[*place as usize] = 0.0);
        Ok(mean)
    }

    /// With M (n, m) and the last step's Q (m, r): P = mean of M Q, made orthogonal; Q = mean of M^T P; the mean of M
    /// is nearly P Q^T.
    fn power_sgd(
        &mut self,
        values: Vec<f32>,
        shapes: &[Vec<usize>],
        rank: usize,
        workers: &mut dyn Communicator,
    ) -> Result<Vec<f32>> {
        let mut start = 0;
        let mut variables = Vec::new();
        for shape in shapes {
            let end = start + shape.iter().product::<usize>();
            variables.push((start..end, thin_shape(shape, rank)));
            start = end;
        }
        if self.right.is_empty() {
            // The same numbers on each worker.
            let mut random = ChaCha8Rng::seed_from_u64(0);
            let mut start = |(_, m): (usize, usize)| (0..m * rank).map(|_| random.random_range(-1.0..1.0)).collect();
            self.right = variables.iter().filter_map(|(_, thin)| thin.map(&mut start)).collect();
        }
        let part = 1.0 / workers.world_size() as f32;
        let mut mean_of = |values: &mut Vec<f32>| -> Result<()> {
            workers.all_reduce_sum(values)?;
            values.iter_mut().for_each(|value| *value *= part);
            Ok(())
        };
        // All left matrices and all plain variables in one message.
        let (mut left, mut plain) = (Vec::new(), Vec::new());
        let mut rights = self.right.iter();
        for (range, thin) in &variables {
            match (thin, thin.and_then(|_| rights.next())) {
                (Some((n, m)), Some(right)) => {
                    let mut product = vec![0.0; n * rank];
                    let (matrix, right) = (Matrix::new(&values[range.clone()], *m), Matrix::new(right, rank));
                    multiply(matrix, right, 1.0, Before::Replaced, &mut product, rank);
                    left.extend(product);
                }
                _ => plain.extend_from_slice(&values[range.clone()]),
            }
        }
        let thin_numbers = left.len();
        left.extend(plain);
        mean_of(&mut left)?;
        let plain = left.split_off(thin_numbers);
        let mut rest = left.as_mut_slice();
        let mut lefts = Vec::new();
        let mut right = Vec::new();
        for (range, thin) in &variables {
            let Some((n, m)) = thin else { continue };
            let (own, after) = rest.split_at_mut(n * rank);
            rest = after;
            orthogonalise(own, rank);
            let mut product = vec![0.0; m * rank];
            let (matrix, own_left) = (Matrix::new(&values[range.clone()], *m), Matrix::new(own, rank));
            multiply(matrix.t(), own_left, 1.0, Before::Replaced, &mut product, rank);
            right.extend(product);
            lefts.push(own.to_vec());
        }
        mean_of(&mut right)?;
        let mut mean = vec![0.0; values.len()];
        let (mut right, mut plain) = (right.as_slice(), plain.as_slice());
        self.right.clear();
        let mut lefts = lefts.into_iter();
        for (range, thin) in &variables {
            let out = &mut mean[range.clone()];
            match (thin, thin.and_then(|_| lefts.next())) {
                (Some((_, m)), Some(left)) => {
                    let (own, after) = right.split_at(m * rank);
                    right = after;
                    let (left, own_right) = (Matrix::new(&left, rank), Matrix::new(own, rank));
                    multiply(left, own_right.t(), 1.0, Before::Replaced, out, *m);
                    self.right.push(own.to_vec());
                }
                _ => {
                    let (own, after) = plain.split_at(out.len());
                    plain = after;
                    out.copy_from_slice(own);
                }
            }
        }
        for (range, thin) in &variables {
            let owed = self.owed[range.clone()].iter_mut();
            let lost = values[range.clone()].iter().zip(&mean[range.clone()]);
            // What is sent as it is loses nothing.
            let factor = if thin.is_some() { 1.0 } else { 0.0 };
            owed.zip(lost).for_each(|(owed, (value, mean))| *owed = factor * (value - mean));
        }
        Ok(mean)
    }
}

/// How many of so many numbers are chosen.
fn chosen(elements: usize, share: f64) -> usize {
    ((share * elements as f64).round() as usize).clamp(1, elements.max(1))
}

/// Rows and columns of a matrix that two thin ones are smaller than.
fn thin_shape(shape: &[usize], rank: usize) -> Option<(usize, usize)> {
    let [_, .., m] = *shape else { return None };
    let n = shape.iter().product::<usize>() / m;
    (rank * (n + m) < n * m).then_some((n, m))
}

/// Blocks of a scale and 256 bytes.
fn encode(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_bytes(values.len()));
    for block in values.chunks(BLOCK) {
        let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        // A block of zeros, whose scale is 0, stays one.
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        bytes.extend(scale.to_le_bytes());
        bytes.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
    }
    bytes
}

fn encoded_bytes(elements: usize) -> usize {
    elements + elements.div_ceil(BLOCK) * SCALE_BYTES
}

fn decode(bytes: &[u8], elements: usize) -> Result<Vec<f32>> {
    if bytes.len() != encoded_bytes(elements) {
        return Err(Error::Worker(format!(
            "a worker sent {} bytes for {elements} gradients in eight bits; all workers must have the same model",
            bytes.len()
        )));
    }
    let mut values = Vec::with_capacity(elements);
    for block in bytes.chunks(SCALE_BYTES + BLOCK) {
        let (scale, numbers) = block.split_at(SCALE_BYTES);
        let scale = number(scale, f32::from_le_bytes);
        values.extend(numbers.iter().map(|number| f32::from(*number as i8) * scale));
    }
    Ok(values)
}

fn number<T>(bytes: &[u8], from: fn([u8; 4]) -> T) -> T {
    from(bytes.try_into().unwrap_or_default())
}

/// Makes the columns of a matrix with `rank` columns orthogonal and of length 1 (modified Gram-Schmidt). A column that
/// the others already span becomes zero.
fn orthogonalise(matrix: &mut [f32], rank: usize) {
    const SMALLEST_SHARE: f64 = 1e-6;
    let dot = |matrix: &[f32], a: usize, b: usize| -> f64 {
        matrix.chunks_exact(rank).map(|row| f64::from(row[a]) * f64::from(row[b])).sum()
    };
    for column in 0..rank {
        let before = dot(matrix, column, column).sqrt();
        for earlier in 0..column {
            let along = dot(matrix, earlier, column) as f32;
            matrix.chunks_exact_mut(rank).for_each(|row| row[column] -= along * row[earlier]);
        }
        let length = dot(matrix, column, column).sqrt();
        let factor = if length > SMALLEST_SHARE * before { (1.0 / length) as f32 } else { 0.0 };
        matrix.chunks_exact_mut(rank).for_each(|row| row[column] *= factor);
    }
}
