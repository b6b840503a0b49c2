//! Whether requests still look like those that the model learned from, window by window. By how much they do not is
//! the population stability index, in `psi`.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::psi::{BINS, FeaturePsi, Watched, bins, value};
use crate::display::{Table, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;

/// A monitor that runs for ever remembers so many windows, the latest.
const KEPT_WINDOWS: usize = 1_000;

/// Watches a few features of requests, window by window, against a reference.
///
/// A request costs one search among nine numbers for each feature, whatever the window and the reference.
///
/// ```
/// use onramp::data::{Arrivals, RequestLog};
/// use onramp::serving::DriftMonitor;
///
/// let arrivals = Arrivals::Poisson { per_second: 50.0 };
/// let reference = RequestLog::new(3_000, arrivals).seed(1).generate()?;
/// let mut monitor = DriftMonitor::new(reference.iter().map(|request| &request.features), [0, 1])?;
/// for request in RequestLog::new(2_000, arrivals).drift(1_000, 1.0).generate()? {
///     monitor.observe(&request.features)?;
/// }
/// let alarms: Vec<bool> = monitor.windows().iter().map(|window| window.alarm).collect();
/// assert_eq!(alarms, [false, false, true, true]);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftMonitor {
    watched: Vec<Watched>,
    reference_rows: usize,
    window: usize,
    threshold: f64,
    requests: usize,
    in_window: usize,
    windows: Vec<DriftWindow>,
}

/// What a full window showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftWindow {
    /// The number of its first request, from 0.
    pub first_request: usize,
    /// The PSI of each watched feature, in the order in which they were named.
    pub psi: Vec<FeaturePsi>,
    /// True when one of them is above the threshold.
    pub alarm: bool,
}

impl DriftWindow {
    /// The feature that moved furthest.
    pub fn worst(&self) -> FeaturePsi {
        let none = FeaturePsi { feature: 0, psi: 0.0 };
        self.psi.iter().copied().max_by(|one, other| one.psi.total_cmp(&other.psi)).unwrap_or(none)
    }
}

impl DriftMonitor {
    /// Watches these features (places in a row, from 0) in windows of 500 requests with a threshold of 0.2. `reference` is
    /// what the model learned from, at least 3,000 rows.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a smaller reference, no features, a feature that the rows don't have, is named twice or
    /// never changes, and numbers that are not finite.
    pub fn new(
        reference: impl IntoIterator<Item = impl AsRef<[f32]>>,
        features: impl IntoIterator<Item = usize>,
    ) -> Result<Self> {
        let features: Vec<usize> = features.into_iter().collect();
        if features.is_empty() {
            return Err(Error::invalid(
                "a monitor of 0 features watches nothing; name a few, such as [0, 1, 2], those that the model depends on \
                 most",
            ));
        }
        if let Some(place) = (1..features.len()).find(|&place| features[..place].contains(&features[place])) {
            return Err(Error::invalid(format!("feature {} is named twice; name each once", features[place])));
        }
        let (watched, reference_rows) = bins(reference, &features)?;
        Ok(Self {
            watched,
            reference_rows,
            window: 500,
            threshold: 0.2,
            requests: 0,
            in_window: 0,
            windows: Vec::new(),
        })
    }

    /// Requests in a window.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the noise of so few requests is above the threshold.
    pub fn window(mut self, requests: usize) -> Result<Self> {
        self.window = requests;
        self.validated()
    }

    /// The PSI above which a feature raises an alarm.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a number that is not above 0, or below the noise of a window.
    pub fn threshold(mut self, psi: f64) -> Result<Self> {
        self.threshold = psi;
        self.validated()
    }

    fn validated(self) -> Result<Self> {
        if self.window == 0 || !(self.threshold.is_finite() && self.threshold > 0.0) {
            return Err(Error::invalid(format!(
                "windows of {} requests with a threshold of {} can't be judged; use at least 1 request, such as 500, and \
                 a threshold above 0, such as 0.2",
                self.window, self.threshold
            )));
        }
        if self.noise() >= self.threshold {
            return Err(Error::invalid(format!(
                "in windows of {} requests chance alone gives a PSI of {} on average, no less than the threshold of {}; \
                 use longer windows, such as 500 requests",
                self.window,
                significant(self.noise()),
                self.threshold
            )));
        }
        Ok(self)
    }

    /// Takes in one request. The last one of a window gives what the window showed.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a row without a watched feature, or with a number that is not finite there; it is
    /// not counted.
    pub fn observe(&mut self, row: &[f32]) -> Result<Option<&DriftWindow>> {
        let looked_at = self.watched.iter().map(|watched| Ok(watched.bin(value(row, watched.feature, self.requests)?)));
        // All are looked at before one is counted.
        let places = looked_at.collect::<Result<Vec<usize>>>()?;
        for (watched, place) in self.watched.iter_mut().zip(places) {
            watched.window[place] += 1;
        }
        self.requests += 1;
        self.in_window += 1;
        if self.in_window < self.window {
            return Ok(None);
        }
        let (reference, window) = (self.reference_rows, std::mem::take(&mut self.in_window));
        let psi: Vec<FeaturePsi> = self.watched.iter_mut().map(|watched| watched.close(reference, window)).collect();
        let alarm = psi.iter().any(|one| one.psi > self.threshold);
        if self.windows.len() == KEPT_WINDOWS {
            self.windows.remove(0);
        }
        self.windows.push(DriftWindow { first_request: self.requests - window, psi, alarm });
        Ok(self.windows.last())
    }

    /// Compares with other rows from now on: those that the model was trained on again. A window that has begun begins anew.
    ///
    /// # Errors
    /// As for [`DriftMonitor::new`]; then the old reference stays.
    pub fn renew(&mut self, reference: impl IntoIterator<Item = impl AsRef<[f32]>>) -> Result<()> {
        let features: Vec<usize> = self.features().collect();
        let (watched, reference_rows) = bins(reference, &features)?;
        (self.watched, self.reference_rows, self.in_window) = (watched, reference_rows, 0);
        Ok(())
    }

    /// The windows so far, at most the latest 1,000.
    pub fn windows(&self) -> &[DriftWindow] {
        &self.windows
    }

    /// The features that are watched.
    pub fn features(&self) -> impl Iterator<Item = usize> + '_ {
        self.watched.iter().map(|watched| watched.feature)
    }

    /// The PSI that chance alone gives on average: (bins - 1) (1/n + 1/m).
    pub fn noise(&self) -> f64 {
        let bins = self.watched.iter().map(|watched| watched.reference.len()).max().unwrap_or(BINS);
        (bins - 1) as f64 * self.chance_scale()
    }

    /// The probability that a window without any drift raises an alarm, over all watched features, as if they were
    /// independent.
    pub fn false_alarm_probability(&self) -> f64 {
        // Through logarithms, because 1 minus so small a number would lose it.
        let quiet = |watched: &Watched| {
            let freedom = (watched.reference.len() - 1) as f64;
            let alarm = ChiSquared::new(freedom).map_or(1.0, |noise| noise.sf(self.threshold / self.chance_scale()));
            (-alarm).ln_1p()
        };
        -self.watched.iter().map(quiet).sum::<f64>().exp_m1()
    }

    /// 1/n + 1/m.
    fn chance_scale(&self) -> f64 {
        1.0 / self.reference_rows as f64 + 1.0 / self.window as f64
    }

    /// The windows, with the feature that moved furthest in each.
    pub fn table(&self) -> Table {
        let columns = ["requests", "highest PSI", "feature", "alarm"];
        let mut table = Table::new("Do the inputs still look like the reference?", columns);
        for window in &self.windows {
            let worst = window.worst();
            table = table.row([
                format!("{} to {}", window.first_request, window.first_request + self.window - 1),
                significant(worst.psi),
                worst.feature.to_string(),
                if window.alarm { "ALARM" } else { "" }.to_string(),
            ]);
        }
        let features: Vec<String> = self.features().map(|feature| feature.to_string()).collect();
        table
            .note(format!(
                "Features {}; {} bins from a reference of {} rows, windows of {} requests, threshold {}.",
                features.join(", "),
                BINS,
                self.reference_rows,
                self.window,
                self.threshold
            ))
            .note(format!(
                "Chance alone gives a PSI of {} on average, and a false alarm in a window with a probability of {}.",
                significant(self.noise()),
                significant(self.false_alarm_probability())
            ))
    }

    /// The PSI of each feature over the requests, with the threshold and what chance alone gives.
    ///
    /// # Errors
    /// None in practice: PSI is finite.
    pub fn figure(&self) -> Result<Figure> {
        let ends: Vec<f64> = self.windows.iter().map(|window| (window.first_request + self.window) as f64).collect();
        let mut figure = Figure::new("Do the inputs still look like the reference?")
            .x_label("requests")
            .y_label("population stability index (PSI)");
        for (place, feature) in self.features().enumerate() {
            let psi: Vec<f64> = self.windows.iter().map(|window| window.psi[place].psi).collect();
            figure = figure.line(format!("feature {feature}"), &ends, &psi)?;
        }
        figure.line("threshold", &ends, &vec![self.threshold; ends.len()])?.line(
            "chance alone",
            &ends,
            &vec![self.noise(); ends.len()],
        )
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
