//! Numbers as a reader wants them.

/// A number with three significant digits, thousands separated: `0.0123`, `1.25`, `786`, `12,300`, `4.20e-7`.
///
/// More digits than three would claim more than a timing on a shared machine can know.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "unknown"
        } else if value > 0.0 {
            "infinite"
        } else {
            "-infinite"
        }
        .into();
    }
    if value == 0.0 {
        return "0".into();
    }
    // Rounding first decides the magnitude: 999.7 is shown as 1,000.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let magnitude = rounded.abs().log10().floor() as i32;
    match magnitude {
        9.. | ..=-5 => format!("{value:.2e}"),
        3.. => thousands(rounded.round() as i64),
        _ => {
            let digits = format!("{rounded:.*}", (2 - magnitude).max(0) as usize);
            // A whole number of rows or workers looks odd as 8.00.
            if rounded.fract() == 0.0 { format!("{rounded:.0}") } else { digits }
        }
    }
}

/// A number that somebody chose, so that it is exact: whole numbers in full (`2,048`), others without trailing zeros (`0.2`).
pub fn chosen(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e12 {
        return thousands(value as i64);
    }
    let shown = significant(value);
    let trims = shown.contains('.') && !shown.contains('e');
    if trims { shown.trim_end_matches('0').trim_end_matches('.').into() } else { shown }
}

/// A whole number with a comma between groups of three digits.
fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if value < 0 { format!("-{shown}") } else { shown }
}
