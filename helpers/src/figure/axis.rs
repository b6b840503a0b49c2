//! The scale of an axis, for the drawing without plotly.js.

/// A range of values, linear or logarithmic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// An axis that shows all `values` with a little room; a linear one starts at zero or below.
    pub(super) fn around(values: impl Iterator<Item = f64>, log: bool) -> Axis {
        let shown = values.filter(|value| !log || *value > 0.0);
        let (low, high) =
            shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Axis { low: if log { 1.0 } else { 0.0 }, high: 10.0, log };
        }
        if log {
            return Axis { low: low / 1.2, high: high * 1.2, log };
        }
        let low = low.min(0.0);
        let high = if high > low { high } else { low + 1.0 };
        Axis { low, high: high + 0.05 * (high - low), log }
    }

    /// Where `value` lies: 0 at the beginning, 1 at the end; None outside.
    pub(super) fn share(&self, value: f64) -> Option<f64> {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (0.0..=1.0).contains(&share).then_some(share)
    }
}

/// Round values along the axis: 1, 2 or 5 times a power of ten.
pub(super) fn ticks(axis: &Axis) -> Vec<f64> {
    if axis.log {
        let decades = axis.low.log10().floor() as i32..=axis.high.log10().ceil() as i32;
        let steps: &[f64] = if (axis.high / axis.low).log10() > 4.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        return decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade))).collect();
    }
    let rough = (axis.high - axis.low) / 6.0;
    let unit = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * unit)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * unit);
    let first = (axis.low / step).ceil() as i64;
    let last = (axis.high / step).floor() as i64;
    (first..=last).map(|place| place as f64 * step).collect()
}
