//! Nearest neighbours of a row among many: all of them looked at, or only those in the nearest cells.
//!
//! With rows p of a table and a query q, |p - q|^2 = |p|^2 - 2 p q + |q|^2. The first term is computed once, the last is the same
//! for all rows, and the middle one is a product of a matrix with the query: 2 x columns operations for each row. So a
//! search over all rows takes time in proportion to their number.
//!
//! An inverted file (Jégou, Douze and Schmid 2011, "Product quantization for nearest neighbor search") puts the rows into
//! cells around centres found by k-means (Lloyd 1982), and looks only into the cells nearest to the query. It may miss
//! neighbours: the share that it finds is its *recall*.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::training::pass::matrix::{Matrix, product};

/// Rows that are compared with the centres at once.
const CHUNK: usize = 4_096;
/// Rounds of k-means; the last ones change little.
const ROUNDS: usize = 8;
/// Rows for each cell from which centres are found.
const SAMPLE_PER_CELL: usize = 50;

/// Rows to search among.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    rows: Vec<f32>,
    columns: usize,
    /// Half the squared length of each row.
    half_squares: Vec<f32>,
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its number, from 0.
    pub row: usize,
    /// Its Euclidean distance from the query.
    pub distance: f32,
}

impl Neighbours {
    /// Rows of `columns` numbers, one after the other.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no rows, numbers that don't make whole rows, or that are not finite.
    pub fn new(rows: Vec<f32>, columns: usize) -> Result<Self> {
        if columns == 0 || rows.is_empty() || !rows.len().is_multiple_of(columns) {
            return Err(Error::invalid(format!(
                "{} numbers don't make rows of {columns}; give at least one whole row",
                rows.len()
            )));
        }
        if let Some(place) = rows.iter().position(|value| !value.is_finite()) {
            return Err(Error::invalid(format!(
                "row {} has the number {} in it, which is at no distance from anything; leave it out",
                place / columns,
                rows[place]
            )));
        }
        let half_squares = rows.chunks_exact(columns).map(half_square).collect();
        Ok(Self { rows, columns, half_squares })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.half_squares.len()
    }

    /// False: there is always a row.
    pub fn is_empty(&self) -> bool {
        self.half_squares.is_empty()
    }

    /// Numbers in each row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The `count` rows nearest to the query, the nearest first; all rows when there are fewer. Looks at every row.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the query has another number of columns or is not finite.
    pub fn nearest(&self, query: &[f32], count: usize) -> Result<Vec<Neighbour>> {
        self.check(query)?;
        let mut best = Best::new(count.min(self.len()));
        best.look(&self.rows, &self.half_squares, query, |place| place);
        Ok(best.found(query))
    }

    /// The rows in so many cells around centres found by k-means, starting from `seed`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no cells or more than rows; [`Error::Interrupted`].
    pub fn cells(&self, cells: usize, seed: u64) -> Result<Cells> {
        if cells == 0 || cells > self.len() {
            return Err(Error::invalid(format!(
                "{} rows can't lie in {cells} cells; use at least 1 and at most as many as rows, such as {}, their square \
                 root",
                self.len(),
                (self.len() as f64).sqrt().round()
            )));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let sample = (cells * SAMPLE_PER_CELL).min(self.len());
        let chosen = rand::seq::index::sample(&mut random, self.len(), sample).into_vec();
        let sampled: Vec<f32> = chosen.iter().flat_map(|&row| self.row(row)).copied().collect();
        // The sample is in random order, so that its first rows are as good as any to start from.
        let mut centres = Self::new(sampled[..cells * self.columns].to_vec(), self.columns)?;
        for _ in 0..ROUNDS {
            let nearest = centres.nearest_of_each(&sampled)?;
            let mut sums = vec![0.0_f64; cells * self.columns];
            let mut counts = vec![0_usize; cells];
            for (row, &cell) in sampled.chunks_exact(self.columns).zip(&nearest) {
                counts[cell] += 1;
                let sum = &mut sums[cell * self.columns..(cell + 1) * self.columns];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let mut moved = centres.rows;
            for (cell, count) in counts.into_iter().enumerate() {
                let own = cell * self.columns..(cell + 1) * self.columns;
                if count == 0 {
                    // A centre that nobody is near starts again at some row.
                    let row = random.random_range(0..sample);
                    moved[own].copy_from_slice(&sampled[row * self.columns..(row + 1) * self.columns]);
                } else {
                    moved[own.clone()]
                        .iter_mut()
                        .zip(&sums[own])
                        .for_each(|(to, sum)| *to = (*sum / count as f64) as f32);
                }
            }
            centres = Self::new(moved, self.columns)?;
        }
        let nearest = centres.nearest_of_each(&self.rows)?;
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&row| nearest[row]);
        let mut starts = vec![0; cells + 1];
        nearest.iter().for_each(|cell| starts[cell + 1] += 1);
        (0..cells).for_each(|cell| starts[cell + 1] += starts[cell]);
        let rows = order.iter().flat_map(|&row| self.row(row)).copied().collect();
        Ok(Cells { rows: Self::new(rows, self.columns)?, numbers: order, centres, starts })
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.columns..(row + 1) * self.columns]
    }

    /// The number of the row here that is nearest to each of `queries`.
    fn nearest_of_each(&self, queries: &[f32]) -> Result<Vec<usize>> {
        let mut nearest = Vec::with_capacity(queries.len() / self.columns);
        for chunk in queries.chunks(CHUNK * self.columns) {
            check_interrupt()?;
            let products = product(Matrix::new(chunk, self.columns), Matrix::new(&self.rows, self.columns).t());
            for products in products.chunks_exact(self.len()) {
                let scores = products.iter().zip(&self.half_squares).map(|(product, half)| half - product);
                let first = (f32::INFINITY, 0);
                let best =
                    scores.zip(0..).fold(first, |best, (score, row)| if score < best.0 { (score, row) } else { best });
                nearest.push(best.1);
            }
        }
        Ok(nearest)
    }

    fn check(&self, query: &[f32]) -> Result<()> {
        if query.len() == self.columns && query.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a query of {} numbers can't be compared with rows of {}; give as many, all of them finite",
            query.len(),
            self.columns
        )))
    }
}

/// The same rows in cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// The rows of the first cell, then those of the second, and so on.
    rows: Neighbours,
    /// Their numbers before.
    numbers: Vec<usize>,
    centres: Neighbours,
    /// Where each cell begins, and where the last one ends.
    starts: Vec<usize>,
}

impl Cells {
    /// Number of cells.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// False: there is always a cell.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// The nearest `count` rows among those in the `probes` cells whose centres are nearest to the query, and how many rows were
    /// looked at.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no probes or more than cells, and as for [`Neighbours::nearest`].
    pub fn nearest(&self, query: &[f32], count: usize, probes: usize) -> Result<(Vec<Neighbour>, usize)> {
        if probes == 0 || probes > self.len() {
            return Err(Error::invalid(format!(
                "{probes} of {} cells can't be looked into; use at least 1 and at most all of them",
                self.len()
            )));
        }
        let columns = self.rows.columns;
        let (mut best, mut looked_at) = (Best::new(count.min(self.rows.len())), 0);
        for cell in self.centres.nearest(query, probes)? {
            let (start, end) = (self.starts[cell.row], self.starts[cell.row + 1]);
            let rows = &self.rows.rows[start * columns..end * columns];
            best.look(rows, &self.rows.half_squares[start..end], query, |place| self.numbers[start + place]);
            looked_at += end - start;
        }
        Ok((best.found(query), looked_at))
    }
}

/// The nearest rows so far.
struct Best {
    count: usize,
    /// Half the squared distance without the query's own part, and the row's number; the nearest first.
    sorted: Vec<(f32, usize)>,
}

impl Best {
    fn new(count: usize) -> Self {
        Self { count, sorted: Vec::with_capacity(count + 1) }
    }

    /// Compares rows with the query; `number` says which row stands in a place.
    fn look(&mut self, rows: &[f32], half_squares: &[f32], query: &[f32], number: impl Fn(usize) -> usize) {
        if rows.is_empty() || self.count == 0 {
            return;
        }
        let products = product(Matrix::new(rows, query.len()), Matrix::new(query, 1));
        let mut furthest = self.furthest();
        for (place, (product, half)) in products.iter().zip(half_squares).enumerate() {
            let score = half - product;
            if score < furthest {
                let at = self.sorted.partition_point(|(other, _)| *other <= score);
                self.sorted.insert(at, (score, number(place)));
                self.sorted.truncate(self.count);
                furthest = self.furthest();
            }
        }
    }

    /// What a row has to be below to be kept.
    fn furthest(&self) -> f32 {
        if self.sorted.len() < self.count {
            f32::INFINITY
        } else {
            self.sorted.last().map_or(f32::INFINITY, |last| last.0)
        }
    }

    fn found(self, query: &[f32]) -> Vec<Neighbour> {
        let own = half_square(query);
        let distance = |score: f32| (2.0 * (score + own)).max(0.0).sqrt();
        self.sorted.into_iter().map(|(score, row)| Neighbour { row, distance: distance(score) }).collect()
    }
}

fn half_square(row: &[f32]) -> f32 {
    0.5 * row.iter().map(|value| value * value).sum::<f32>()
}
