//! How long a cell took to compile and to run, and how much memory: for programs always, for people who ask.

use crate::events::Spent;
use jupyter_protocol::{Media, MediaType};
use serde_json::{Value, json};

/// The times of a cell for programs, in its reply's metadata.
pub fn times(whole: f64, spent: Option<Spent>) -> Value {
    let run = spent.map_or(0.0, |spent| spent.seconds);
    json!({
        "compile_seconds": (whole - run).max(0.0),
        "run_seconds": run,
        "peak_memory_bytes": spent.and_then(|spent| spent.peak_bytes),
    })
}

/// The same for people.
pub fn report(whole: f64, spent: Option<Spent>) -> Media {
    let run = spent.map_or(0.0, |spent| spent.seconds);
    let mut text = format!("compiled in {:.2} s, ran in {}", (whole - run).max(0.0), duration(run));
    if let Some(bytes) = spent.and_then(|spent| spent.peak_bytes) {
        text.push_str(&format!(", peak memory {:.0} MiB", bytes as f64 / f64::from(1 << 20)));
    }
    Media::new(vec![MediaType::Plain(text)])
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", 1e6 * s),
        s if s < 1.0 => format!("{:.1} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compile_and_run_time_stand_apart() {
        let spent = Some(Spent { seconds: 0.25, peak_bytes: Some(3 << 20) });
        let [MediaType::Plain(text)] = &report(0.75, spent).content[..] else { panic!("one text") };
        assert_eq!(text, "compiled in 0.50 s, ran in 250.0 ms, peak memory 3 MiB");
        assert_eq!(times(0.75, spent)["compile_seconds"], 0.5);
    }
}
