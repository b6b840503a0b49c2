//! A synthetic classification set of any size, labelled by a fixed random network: the teacher.
//!
//! Real images fill only a thin slice of all the pictures that their pixels could show. The rows are made
//! the same way: each starts as [`LATENT`] independent normal numbers z and becomes x = tanh(z G), 784
//! numbers wide unless asked for otherwise, where G is fixed. The teacher, a network 784 -> 32 -> 10 with fixed random
//! weights and the ReLU between them, says which class x belongs to. So there is a true answer for every row, any number
//! of rows can be had, and a student network can learn them, but not at once.
//!
//! Rows are made in chunks, each from a random stream of its own: so any part of a set can be made without the rest, and
//! the same rows stand in memory and in a file of any size.

use candle_core::{D, DType, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// Independent numbers behind each row.
const LATENT: usize = 12;
/// Width of the teacher's hidden layer.
const HIDDEN: usize = 32;
/// Rows that are made at once, so that memory stays flat however many are asked for.
pub(crate) const CHUNK: usize = 4096;

/// A description of a teacher-labelled set: how many rows, drawn from which seed.
///
/// The same seed always gives the same rows, and a larger set begins with the rows of a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teacher {
    rows: usize,
    seed: u64,
    #[serde(default = "usual_columns")]
    columns: usize,
}

fn usual_columns() -> usize {
    Teacher::COLUMNS
}

impl Teacher {
    /// Numbers in each row, unless asked for otherwise.
    pub const COLUMNS: usize = 784;
    /// Number of classes.
    pub const CLASSES: usize = 10;

    /// A set with this many rows, drawn from seed 0.
    pub fn new(rows: usize) -> Self {
        Self { rows, seed: 0, columns: Self::COLUMNS }
    }

    /// The same with rows drawn from another seed. The teacher stays the same.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same with so many numbers in each row. Another number of columns has another teacher.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// Numbers in each row.
    pub fn column_count(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Makes the rows and lets the teacher label them.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero rows or columns; [`Error::Interrupted`].
    pub fn generate(&self) -> Result<Dataset> {
        self.validate()?;
        let network = Network::fixed(self.columns)?;
        let mut features = Vec::with_capacity(self.rows * self.columns);
        let mut labels = Vec::with_capacity(self.rows);
        for chunk in 0..self.rows.div_ceil(CHUNK) {
            check_interrupt()?;
            let (rows, classes) = self.chunk(&network, chunk)?;
            features.extend(rows);
            labels.extend(classes);
        }
        Dataset::new("teacher", self.columns, Self::CLASSES, features, labels)
    }

    /// Refuses a set without rows or columns.
    ///
    /// # Errors
    /// [`Error::InvalidInput`].
    pub(crate) fn validate(&self) -> Result<()> {
        if self.rows == 0 || self.columns == 0 {
            return Err(Error::invalid(format!(
                "a data set of {} rows with {} numbers each teaches nothing; ask for at least one of both",
                self.rows, self.columns
            )));
        }
        Ok(())
    }

    /// The features, row by row, and the labels of the [`CHUNK`] rows from `chunk` x [`CHUNK`] on, or those that there are.
    pub(crate) fn chunk(&self, network: &Network, chunk: usize) -> Result<(Vec<f32>, Vec<u32>)> {
        let rows = CHUNK.min(self.rows - chunk * CHUNK);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(chunk as u64);
        let x = network.rows(&normals(&mut rng, rows, LATENT, 1.0)?)?;
        let classes = network.scores(&x)?.argmax(D::Minus1)?;
        Ok((x.flatten_all()?.to_vec1::<f32>()?, classes.to_dtype(DType::U32)?.to_vec1::<u32>()?))
    }
}

/// The fixed parts: G, and the teacher's two layers.
pub(crate) struct Network {
    lift: Tensor,
    first: Tensor,
    second: Tensor,
    /// Mean score of each class, so that no class wins everywhere.
    offset: Tensor,
}

impl Network {
    /// Draws the same weights every time.
    pub(crate) fn fixed(columns: usize) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(784);
        let scale = |inputs: usize| 1.0 / (inputs as f32).sqrt();
        let mut network = Self {
            lift: normals(&mut rng, LATENT, columns, scale(LATENT))?,
            first: normals(&mut rng, columns, HIDDEN, scale(columns))?,
            second: normals(&mut rng, HIDDEN, Teacher::CLASSES, scale(HIDDEN))?,
            offset: Tensor::zeros((1, Teacher::CLASSES), DType::F32, &Device::Cpu.open()?)?,
        };
        let probe = network.rows(&normals(&mut rng, CHUNK, LATENT, 1.0)?)?;
        network.offset = network.scores(&probe)?.mean_keepdim(0)?;
        Ok(network)
    }

    /// From (rows, LATENT) to (rows, columns).
    fn rows(&self, latent: &Tensor) -> Result<Tensor> {
        Ok(latent.matmul(&self.lift)?.tanh()?)
    }

    /// From (rows, columns) to (rows, 10).
    fn scores(&self, rows: &Tensor) -> Result<Tensor> {
        Ok(rows.matmul(&self.first)?.relu()?.matmul(&self.second)?.broadcast_sub(&self.offset)?)
    }
}

fn normals(rng: &mut ChaCha8Rng, rows: usize, columns: usize, scale: f32) -> Result<Tensor> {
    let values: Vec<f32> = (0..rows * columns).map(|_| scale * rng.sample::<f32, _>(StandardNormal)).collect();
    Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu.open()?)?)
}
