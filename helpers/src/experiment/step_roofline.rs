//! Training steps below the roof of the machine that they ran on.

use serde::{Deserialize, Serialize};

use super::step_time::{StepTime, StepTimeRun, StepTimer};
use crate::device::{Device, Precision};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::law::Placed;
use crate::measure::{Estimate, PeakBench, Peaks, interleaved};

const WARMUPS: usize = 1;

/// Times training steps, and what their machine can reach at most, in turn.
///
/// Steps with the same threads, device and precision lie below the same roof.
///
/// ```
/// use onramp::prelude::*;
///
/// let step = |rows: usize| StepTime::new(Mlp::new(16)).device(Device::Cpu).rows(rows);
/// let run = StepRoofline::new([step(8), step(64)]).samples(1).run()?;
/// assert_eq!(run.roofs.len(), 1);
/// assert_eq!(run.roofs[0].placed.len(), 2);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRoofline {
    steps: Vec<StepTime>,
    samples: usize,
}

/// The result of [`StepRoofline::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRooflineRun {
    /// What was timed.
    pub experiment: StepRoofline,
    /// One for each combination of threads, device and precision, in the order in which they were first asked for.
    pub roofs: Vec<StepsBelowRoof>,
}

/// A roof and the steps below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepsBelowRoof {
    /// What the roof is made of.
    pub peaks: Peaks,
    /// The steps' times.
    pub steps: Vec<StepTimeRun>,
    /// The same steps below the roof.
    pub placed: Vec<Placed>,
}

/// What [`StepTime`]s must have in common to lie below one roof.
type Place = (Device, Precision, usize);

impl StepRoofline {
    /// 7 samples of each step and each peak.
    pub fn new(steps: impl IntoIterator<Item = StepTime>) -> Self {
        Self { steps: steps.into_iter().collect(), samples: 7 }
    }

    /// How often each time is taken, in turn.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Takes the times.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without steps, and whatever [`StepTime::run`] returns.
    pub fn run(&self) -> Result<StepRooflineRun> {
        if self.steps.is_empty() {
            return Err(Error::invalid(
                "there are 0 steps to place below a roof; pass some, such as [StepTime::new(Mlp::new(256))]",
            ));
        }
        let mut places: Vec<Place> = Vec::new();
        for place in self.steps.iter().map(StepTime::place_of) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let peaks = places
            .iter()
            .map(|(device, precision, threads)| PeakBench::new(*device, *precision, *threads))
            .collect::<Result<Vec<_>>>()?;
        let timers = self.steps.iter().map(StepTime::timer).collect::<Result<Vec<_>>>()?;
        let samples = self.measure(&peaks, &timers)?;
        let (of_peaks, of_steps) = samples.split_at(2 * peaks.len());
        let roofs = places.iter().zip(peaks.iter().zip(of_peaks.chunks(2))).map(|(place, (bench, rates))| {
            let peaks = bench.peaks(rates[0].samples.clone(), rates[1].samples.clone())?;
            let roof = peaks.roof()?;
            let below = self.steps.iter().zip(of_steps).filter(|(step, _)| step.place_of() == *place);
            let steps: Vec<StepTimeRun> =
                below.map(|(step, seconds)| StepTimeRun { experiment: *step, seconds: seconds.clone() }).collect();
            let placed = steps.iter().map(|step| step.place(&roof)).collect::<Result<_>>()?;
            Ok(StepsBelowRoof { peaks, steps, placed })
        });
        Ok(StepRooflineRun { experiment: self.clone(), roofs: roofs.collect::<Result<_>>()? })
    }

    /// Two rates of each peak, then the seconds of each step.
    fn measure(&self, peaks: &[PeakBench], timers: &[StepTimer]) -> Result<Vec<Estimate>> {
        let mut variants: Vec<Box<dyn FnMut() -> Result<f64> + '_>> = Vec::new();
        for peak in peaks {
            variants.push(Box::new(|| peak.copy_rate()));
            variants.push(Box::new(|| peak.product_rate()));
        }
        for timer in timers {
            variants.push(Box::new(|| timer.sample()));
        }
        let mut borrowed: Vec<&mut dyn FnMut() -> Result<f64>> = Vec::new();
        for variant in &mut variants {
            borrowed.push(variant.as_mut());
        }
        interleaved(self.samples, WARMUPS, &mut borrowed)
    }
}

impl StepsBelowRoof {
    /// Such as `f32 on 2 threads`.
    pub fn name(&self) -> String {
        let Peaks { device, precision, threads, .. } = &self.peaks;
        match device {
            Device::Cpu => format!("{precision} on {threads} thread{}", if *threads == 1 { "" } else { "s" }),
            Device::Cuda { .. } => format!("{precision} on {device}"),
        }
    }

    /// The peaks, and each step's place.
    ///
    /// # Errors
    /// As for [`Peaks::roof`].
    pub fn table(&self) -> Result<Table> {
        let Peaks { bytes_per_second, flops_per_second, .. } = &self.peaks;
        let table = self.peaks.roof()?.table(&self.placed);
        Ok(table.note(format!(
            "{}: a copy reads and writes {} GB/s, a large matrix product reaches {} GFLOP/s.",
            self.name(),
            bytes_per_second.map(|rate| 1e-9 * rate),
            flops_per_second.map(|rate| 1e-9 * rate)
        )))
    }

    /// The roof with the steps below it.
    ///
    /// # Errors
    /// As for [`Peaks::roof`].
    pub fn figure(&self) -> Result<Figure> {
        self.peaks.roof()?.figure(&self.placed)
    }
}

impl StepRooflineRun {
    /// Shows each roof's table and figure below the cell.
    pub fn evcxr_display(&self) {
        for roof in &self.roofs {
            if let (Ok(table), Ok(figure)) = (roof.table(), roof.figure()) {
                table.evcxr_display();
                figure.evcxr_display();
            }
        }
    }
}
