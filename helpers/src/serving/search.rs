//! How far a simple architecture carries: nearest neighbours by looking at every row.
//!
//! The time of a search is proportional to the rows, so there is a number of them, N_break, at which it passes any limit. Where
//! rows lie in clusters, looking only into the nearest cells breaks this line at little loss; where they don't, it does not.

use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::neighbours::{Cells, Neighbours};
use super::search_run::{CellPoint, SearchPoint, SearchRun};
use crate::error::{Error, Result};
use crate::machine::{self, Machine};
use crate::measure::share::mean;
use crate::measure::{Estimate, interleaved};

/// Numbers in a row.
const COLUMNS: usize = 64;
/// Queries that are searched for in each sample of the time.
const QUERIES: usize = 24;
/// Samples of the time.
const REPEATS: usize = 7;
/// Rows around one centre, on average, where rows lie in clusters.
const ROWS_PER_CLUSTER: usize = 500;
/// Standard deviation of a cluster where the centres have 1.
const CLUSTER_WIDTH: f32 = 0.5;
/// Rows from which on a search is long enough for its law: below, what it costs to begin counts.
pub(super) const LAW_FROM: usize = 10_000;
/// At most this share of the memory holds the rows beyond the break.
const MEMORY_SHARE: f64 = 0.25;

/// How rows lie in space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Around centres, 500 rows each, as what belongs together does.
    Clustered,
    /// Anywhere in a cube with equal probability: the control.
    Uniform,
}

/// Searches of growing tables, the one that breaks a limit, and searches in cells.
///
/// ```no_run
/// use onramp::serving::NeighbourSearch;
///
/// let run = NeighbourSearch::new().limit_seconds(0.005).run()?;
/// println!("{} rows take longer than 5 ms", run.break_rows);
/// assert!(run.slope.low > 0.9 && run.beyond.seconds.low > 0.005);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighbourSearch {
    pub(super) rows: Vec<usize>,
    pub(super) limit_seconds: f64,
    pub(super) neighbours: usize,
    pub(super) probes: Vec<usize>,
    pub(super) seed: u64,
}

impl Default for NeighbourSearch {
    fn default() -> Self {
        Self::new()
    }
}

impl NeighbourSearch {
    /// The 10 nearest of 1,000 to 100,000 rows of 64 numbers, within 5 ms.
    pub fn new() -> Self {
        Self {
            rows: vec![1_000, 3_000, 10_000, 17_000, 30_000, 55_000, 100_000],
            limit_seconds: 0.005,
            neighbours: 10,
            probes: vec![1, 2, 4, 8, 16, 32, 64],
            seed: 0,
        }
    }

    /// The sizes of the tables. Three from 10,000 on are needed for the slope, five for a fit with its floor.
    pub fn rows(mut self, rows: impl IntoIterator<Item = usize>) -> Self {
        self.rows = rows.into_iter().collect();
        self.rows.sort_unstable();
        self.rows.dedup();
        self
    }

    /// What a search may take.
    pub fn limit_seconds(mut self, seconds: f64) -> Self {
        self.limit_seconds = seconds;
        self
    }

    /// Neighbours that a search looks for.
    pub fn neighbours(mut self, count: usize) -> Self {
        self.neighbours = count;
        self
    }

    /// Into how many cells of the largest table a search looks; all of them is always tried.
    pub fn probes(mut self, probes: impl IntoIterator<Item = usize>) -> Self {
        self.probes = probes.into_iter().collect();
        self
    }

    /// The seed of rows and queries.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Times the searches, each on one core, extrapolates to the limit, and measures at twice the rows.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for too few or too small tables, or a limit that only more rows break than memory holds;
    /// [`Error::Interrupted`].
    pub fn run(&self) -> Result<SearchRun> {
        self.validate()?;
        let tables = self.rows.iter().map(|rows| self.table(*rows, Lie::Clustered)).collect::<Result<Vec<_>>>()?;
        let points =
            self.search_times(&tables.iter().map(|(table, queries)| (table, queries.as_slice())).collect::<Vec<_>>())?;
        let (slope, break_rows) = self.line(&points)?;
        let (table, queries) = self.table(2 * break_rows, Lie::Clustered)?;
        let beyond = self.search_times(&[(&table, &queries)])?;
        drop(table);
        let mut cells = Vec::new();
        for lie in [Lie::Clustered, Lie::Uniform] {
            cells.extend(self.in_cells(lie)?);
        }
        let beyond = beyond.into_iter().next().ok_or_else(|| Error::TooFewPoints("nothing was measured".into()))?;
        Ok(SearchRun { points, slope, break_rows, beyond, cells, machine: Machine::detect(), search: self.clone() })
    }

    fn validate(&self) -> Result<()> {
        let for_the_slope = self.rows.iter().filter(|rows| **rows >= LAW_FROM).count();
        if for_the_slope < 3 || self.rows.first().is_some_and(|rows| *rows < 2 * self.neighbours) {
            return Err(Error::invalid(format!(
                "tables of {:?} rows show no law; use three of 10,000 rows or more, and none below twice the {} neighbours",
                self.rows, self.neighbours
            )));
        }
        if !(self.limit_seconds.is_finite() && self.limit_seconds > 0.0) || self.neighbours == 0 {
            return Err(Error::invalid(format!(
                "{} neighbours within {} s can't be looked for; use at least 1 and a time above 0, such as 0.005",
                self.neighbours, self.limit_seconds
            )));
        }
        Ok(())
    }

    /// Rows and queries, drawn alike.
    fn table(&self, rows: usize, lie: Lie) -> Result<(Neighbours, Vec<Vec<f32>>)> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut normals = |count: usize| -> Vec<f32> { (0..count).map(|_| random.sample(StandardNormal)).collect() };
        let clusters = (rows / ROWS_PER_CLUSTER).max(2);
        let centres = normals(clusters * COLUMNS);
        let mut draw = |count: usize| -> Vec<f32> {
            match lie {
                Lie::Uniform => (0..count * COLUMNS).map(|_| random.random::<f32>()).collect(),
                Lie::Clustered => (0..count)
                    .flat_map(|_| {
                        let centre = random.random_range(0..clusters) * COLUMNS;
                        let own: Vec<f32> = (0..COLUMNS)
                            .map(|column| {
                                centres[centre + column] + CLUSTER_WIDTH * random.sample::<f32, _>(StandardNormal)
                            })
                            .collect();
                        own
                    })
                    .collect(),
            }
        };
        let (table, queries) = (draw(rows), draw(QUERIES));
        Ok((Neighbours::new(table, COLUMNS)?, queries.chunks_exact(COLUMNS).map(<[f32]>::to_vec).collect()))
    }

    /// Seconds of a search in each table; a sample is the mean over the queries.
    fn search_times(&self, tables: &[(&Neighbours, &[Vec<f32>])]) -> Result<Vec<SearchPoint>> {
        let searches = tables
            .iter()
            .map(|(table, queries)| move || timed(queries, |query| table.nearest(query, self.neighbours).map(|_| ())));
        let seconds = in_turn(searches.collect())?;
        Ok(tables.iter().zip(seconds).map(|((table, _), seconds)| SearchPoint { rows: table.len(), seconds }).collect())
    }

    /// The slope of the straight line through ln seconds against ln rows, round by round, and the rows at which the line through
    /// the medians reaches the limit.
    fn line(&self, points: &[SearchPoint]) -> Result<(Estimate, usize)> {
        let points: Vec<&SearchPoint> = points.iter().filter(|point| point.rows >= LAW_FROM).collect();
        let line = |seconds: &dyn Fn(&SearchPoint) -> f64| {
            let logs = points.iter().map(|point| ((point.rows as f64).ln(), seconds(point).ln()));
            let count = points.len() as f64;
            let (x, y) = logs.clone().fold((0.0, 0.0), |(x, y), log| (x + log.0 / count, y + log.1 / count));
            let (products, squares) = logs.fold((0.0, 0.0), |(products, squares), log| {
                (products + (log.0 - x) * (log.1 - y), squares + (log.0 - x).powi(2))
            });
            (y - products / squares * x, products / squares)
        };
        let slopes = (0..REPEATS).map(|round| line(&|point| point.seconds.samples[round]).1).collect();
        let (intercept, slope) = line(&|point| point.seconds.median);
        let rows = ((self.limit_seconds.ln() - intercept) / slope).exp();
        let bytes = 2.0 * rows * (COLUMNS * size_of::<f32>()) as f64;
        let most = MEMORY_SHARE * Machine::detect().memory_bytes as f64;
        if !(slope > 0.0 && rows >= self.neighbours as f64 && (bytes <= most || most == 0.0)) {
            return Err(Error::invalid(format!(
                "a search passes {} s at about {rows:.0} rows; twice as many must fit into {most:.0} bytes and be more than \
                 the {} neighbours. Choose another limit, such as {} s",
                self.limit_seconds,
                self.neighbours,
                points.last().map_or(0.005, |last| 2.0 * last.seconds.median)
            )));
        }
        Ok((Estimate::from_samples(slopes)?, rows.round() as usize))
    }

    /// Recall and time of searches in cells of the largest table.
    fn in_cells(&self, lie: Lie) -> Result<Vec<CellPoint>> {
        let (table, queries) = self.table(self.rows.last().copied().unwrap_or(LAW_FROM), lie)?;
        let cells = table.cells((table.len() as f64).sqrt().round() as usize, self.seed)?;
        let mut probes: Vec<usize> = self.probes.iter().map(|probes| *probes.min(&cells.len())).collect();
        probes.push(cells.len());
        probes.dedup();
        let truth = queries.iter().map(|query| table.nearest(query, self.neighbours)).collect::<Result<Vec<_>>>()?;
        let search = |cells: &Cells, probes: usize, query: &[f32]| cells.nearest(query, self.neighbours, probes);
        let variants = probes.iter().map(|&probes| {
            let (cells, queries) = (&cells, &queries);
            move || timed(queries, |query| search(cells, probes, query).map(|_| ()))
        });
        let seconds = in_turn(variants.collect())?;
        let mut points = Vec::new();
        for (&probes, seconds) in probes.iter().zip(seconds) {
            let (mut recalls, mut looked_at) = (Vec::new(), 0);
            for (query, truth) in queries.iter().zip(&truth) {
                let (found, looked) = search(&cells, probes, query)?;
                let hits = truth.iter().filter(|true_one| found.iter().any(|one| one.row == true_one.row)).count();
                recalls.push(hits as f64 / truth.len() as f64);
                looked_at += looked;
            }
            points.push(CellPoint {
                lie,
                probes,
                cells: cells.len(),
                recall: mean(&recalls),
                looked_at: looked_at as f64 / (queries.len() * table.len()) as f64,
                seconds,
            });
        }
        Ok(points)
    }
}

/// Each of these in turn, round after round, on one core.
fn in_turn(mut searches: Vec<impl FnMut() -> Result<f64> + Send>) -> Result<Vec<Estimate>> {
    machine::core_pool(0)?.install(|| {
        let mut variants: Vec<&mut dyn FnMut() -> Result<f64>> = Vec::new();
        searches.iter_mut().for_each(|search| variants.push(search));
        interleaved(REPEATS, 1, &mut variants)
    })
}

/// Mean seconds of a search.
fn timed(queries: &[Vec<f32>], search: impl Fn(&[f32]) -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for query in queries {
        search(query)?;
    }
    Ok(start.elapsed().as_secs_f64() / queries.len() as f64)
}
