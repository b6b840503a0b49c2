//! Judges of the exercises.
//!
//! Each check takes the learner's function, tries it on several cases, and either returns [`Passed`] or
//! an error that says what is wrong and where to look, never the solution.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::display::{Bundle, escape};

/// A solved exercise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// What the exercise asked for.
    pub exercise: String,
    /// Each thing that was tried, in words.
    pub tried: Vec<String>,
}

impl Passed {
    /// Shows the result in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        let tried: String = self.tried.iter().map(|case| format!("<li>{}</li>", escape(case))).collect();
        let html = format!(
            "<div class=\"onramp-passed\" style=\"border-left:6px solid #009E73;padding:2px 16px\"><p><b>Passed</b>: {}</p><ul>{tried}</ul></div>",
            escape(&self.exercise)
        );
        Bundle::new().text(self.to_string()).html(html).emit();
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Passed: {}", self.exercise)?;
        self.tried.iter().try_for_each(|case| writeln!(f, "  - {case}"))
    }
}

/// One trial of the all-reduce: how many workers, how many numbers each, and why this one is tried.
struct Trial {
    workers: usize,
    length: usize,
    why: &'static str,
}

/// From simple to odd, so that the first error explains the most.
const TRIALS: [Trial; 6] = [
    Trial { workers: 2, length: 4, why: "two workers" },
    Trial { workers: 4, length: 8, why: "four workers" },
    Trial { workers: 1, length: 5, why: "a single worker, whose mean is its own gradient" },
    Trial { workers: 4, length: 10, why: "a length that the workers don't divide evenly" },
    Trial { workers: 5, length: 3, why: "more workers than numbers" },
    Trial { workers: 8, length: 1000, why: "eight workers with long gradients" },
];

/// Largest relative difference that rounding in f32 may make.
const ROUNDING: f32 = 1e-4;

/// Checks an all-reduce: `gradients[rank]` is the gradient of one worker, and after the call each of them must hold the
/// mean over all workers, element by element.
///
/// # Errors
/// [`Error::InvalidInput`] with what went wrong in the first trial that failed: nothing changed, a sum in place of
/// the mean, one worker left out, a changed length, a panic, …
pub fn all_reduce_mean(f: fn(&mut [Vec<f32>])) -> Result<Passed, Error> {
    let mut tried = Vec::new();
    for trial in &TRIALS {
        let before = gradients(trial);
        let mut after = before.clone();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| f(&mut after))) {
            return Err(trial.wrong(format!(
                "your function panicked: {}. Look at the index or the division it names",
                panic_text(panic.as_ref())
            )));
        }
        let expected = mean(&before);
        if let Some(problem) = diagnose(&before, &after, &expected) {
            return Err(trial.wrong(problem));
        }
        tried.push(format!("{} workers, {} numbers each: {}", trial.workers, trial.length, trial.why));
    }
    Ok(Passed { exercise: "after the all-reduce, every worker holds the mean of all gradients".into(), tried })
}

impl Trial {
    fn wrong(&self, problem: String) -> Error {
        Error::InvalidInput(format!(
            "not yet: with p = {} workers and {} numbers each ({}), {problem}.",
            self.workers, self.length, self.why
        ))
    }
}

/// Gradients in which no two numbers are alike and no mean equals a worker's own number.
fn gradients(trial: &Trial) -> Vec<Vec<f32>> {
    (0..trial.workers)
        .map(|rank| (0..trial.length).map(|place| 1.0 + place as f32 * 0.25 + (rank * rank) as f32 * 3.0).collect())
        .collect()
}

fn mean(gradients: &[Vec<f32>]) -> Vec<f32> {
    sum(gradients).into_iter().map(|total| total / gradients.len() as f32).collect()
}

fn sum(gradients: &[Vec<f32>]) -> Vec<f32> {
    (0..gradients[0].len()).map(|place| gradients.iter().map(|gradient| gradient[place]).sum()).collect()
}

fn alike(one: &[f32], other: &[f32]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| (a - b).abs() <= ROUNDING * b.abs().max(1.0))
}

/// What is wrong, in words, with a hint; None when every worker holds the mean.
fn diagnose(before: &[Vec<f32>], after: &[Vec<f32>], expected: &[f32]) -> Option<String> {
    if let Some((rank, changed)) = after.iter().enumerate().find(|(rank, own)| own.len() != before[*rank].len()) {
        return Some(format!(
            "worker {rank} ends with {} numbers instead of {}. Change the numbers in place and leave the length alone",
            changed.len(),
            expected.len()
        ));
    }
    if after.iter().all(|own| alike(own, expected)) {
        return None;
    }
    let workers = before.len() as f32;
    let everywhere = |wanted: &[f32]| after.iter().all(|own| alike(own, wanted));
    let scaled = |factor: f32| expected.iter().map(|value| value * factor).collect::<Vec<_>>();
    if after == before {
        return Some(
            "nothing changed: every worker still has its own gradient. Compute the mean over the workers, then write it back".into(),
        );
    }
    if everywhere(&scaled(workers)) {
        return Some(
            "every worker holds the sum, not the mean: the step would be p times too long. Divide by the number of workers".into(),
        );
    }
    if everywhere(&scaled(1.0 / workers)) {
        return Some("every worker holds the mean divided by p once more. Divide only once".into());
    }
    let right: Vec<usize> = (0..after.len()).filter(|&rank| alike(&after[rank], expected)).collect();
    if !right.is_empty() {
        return Some(only_some(&right, before, after));
    }
    let (rank, place) = first_difference(after, expected);
    let (found, wanted) = (after[rank][place], expected[place]);
    if place > 0 {
        return Some(format!(
            "the mean is right only up to place {place} of {}: there worker {rank} has {found} where {wanted} belongs. Does your loop \
             stop early, or leave out the remainder of length / workers?",
            expected.len()
        ));
    }
    if everywhere(&after[0]) {
        return Some(format!(
            "all workers agree, but on {found} at place 0 where the mean is {wanted}. Add the numbers of all workers, then divide by \
             their number"
        ));
    }
    Some(format!(
        "the workers end with different numbers: worker {rank} has {found} at place {place}, the mean is {wanted}. Finish reading \
         all gradients before you overwrite one"
    ))
}

fn only_some(right: &[usize], before: &[Vec<f32>], after: &[Vec<f32>]) -> String {
    if right == [0] && after[1..] == before[1..] {
        return "only worker 0 holds the mean; the others would drift away from it step by step. Copy the mean to every worker".into();
    }
    if right == [0] {
        return "only worker 0 holds the mean; the others were computed from gradients that had already been overwritten. Finish \
                reading a place of all gradients before you write to it"
            .into();
    }
    let shown: Vec<String> = right.iter().map(usize::to_string).collect();
    format!(
        "{} of {} workers hold the mean (worker {}). Write it to all of them",
        right.len(),
        after.len(),
        shown.join(", ")
    )
}

/// The first place, and the first worker at that place, that does not hold the mean.
fn first_difference(after: &[Vec<f32>], expected: &[f32]) -> (usize, usize) {
    (0..expected.len())
        .flat_map(|place| (0..after.len()).map(move |rank| (rank, place)))
        .find(|&(rank, place)| !alike(&after[rank][place..=place], &expected[place..=place]))
        .unwrap_or((0, 0))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}
