//! Committing to a guess before the run.
//!
//! Whoever guesses first remembers the answer better, and can't believe afterwards to have known it all
//! along. So every experiment takes a [`Prediction`], and shows it beside the result.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::display::{Bundle, chosen, escape, significant};
use crate::measure::Estimate;

/// What is guessed: a number with a unit, or one of several answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// A number, zero or more.
    Number {
        /// The number, in `unit`.
        value: f64,
        /// Its unit, as [`Prediction::unit`] returns it.
        unit: String,
    },
    /// One of a few answers.
    Choice {
        /// The answer picked.
        answer: String,
        /// All answers to pick from.
        options: Vec<String>,
    },
}

/// How many times as much or as fast: `times(4.0)`.
pub fn times(value: f64) -> Quantity {
    number(value, "times")
}

/// A number of rows of data: `rows(500.0)`.
pub fn rows(value: f64) -> Quantity {
    number(value, "rows")
}

/// A share of a whole, 0 to 100: `percent(50.0)`.
pub fn percent(value: f64) -> Quantity {
    number(value, "%")
}

/// A time: `seconds(1.5)`.
pub fn seconds(value: f64) -> Quantity {
    number(value, "s")
}

/// One of several answers: `choice("slower", ["faster", "slower"])`.
pub fn choice<const N: usize>(answer: &str, options: [&str; N]) -> Quantity {
    Quantity::Choice { answer: answer.into(), options: options.map(String::from).to_vec() }
}

fn number(value: f64, unit: &str) -> Quantity {
    Quantity::Number { value, unit: unit.into() }
}

/// A question and the learner's guess. An experiment asks for one before it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    question: String,
    quantity: Quantity,
}

/// Stores a guess: `let guess = predict("How many times as fast are two workers?", times(2.0))?;`
///
/// # Errors
/// [`Error::InvalidInput`] for an empty question, a number that is negative, infinite or not a number, more than 100 %,
/// or an answer that is not among the options.
pub fn predict(question: &str, quantity: Quantity) -> Result<Prediction, Error> {
    let refuse = |reason: String| Err(Error::InvalidInput(reason));
    if question.trim().is_empty() {
        return refuse("the prediction has an empty question; write down what you are guessing, for example \"speed-up of 2 workers\"".into());
    }
    match &quantity {
        Quantity::Number { value, unit } if !value.is_finite() || *value < 0.0 => {
            refuse(format!("the prediction {value} {unit} is not a number from 0 up; guess one, for example 4.0"))
        }
        Quantity::Number { value, unit } if unit == "%" && *value > 100.0 => {
            refuse(format!("the prediction {value} % is more than the whole; guess between 0 and 100"))
        }
        Quantity::Choice { answer, options } if !options.contains(answer) => refuse(format!(
            "the answer \"{answer}\" is not among the options; choose one of: {}",
            if options.is_empty() { "(there are none, add some)".into() } else { options.join(", ") }
        )),
        _ => Ok(Prediction { question: question.into(), quantity }),
    }
}

impl Prediction {
    /// What was asked.
    pub fn question(&self) -> &str {
        &self.question
    }

    /// The guess with its unit.
    pub fn quantity(&self) -> &Quantity {
        &self.quantity
    }

    /// The guessed number, in [`Prediction::unit`]; for a choice, the place of the answer among the options, from 0.
    pub fn value(&self) -> f64 {
        match &self.quantity {
            Quantity::Number { value, .. } => *value,
            Quantity::Choice { answer, options } => {
                options.iter().position(|option| option == answer).map_or(f64::NAN, |place| place as f64)
            }
        }
    }

    /// The unit: `times`, `rows`, `%`, `s`, or `choice`.
    pub fn unit(&self) -> &str {
        match &self.quantity {
            Quantity::Number { unit, .. } => unit,
            Quantity::Choice { .. } => "choice",
        }
    }

    /// Puts the measured result, in the same unit, beside the guess.
    pub fn reveal(&self, measured: &Estimate) -> Reveal {
        let said = self.value();
        let right = measured.contains(said);
        let ratio = said / measured.median;
        let factor = (ratio.is_finite() && ratio > 0.0).then(|| ratio.max(1.0 / ratio));
        let judgement = match factor {
            _ if right => "right, within the interval".to_owned(),
            Some(factor) => format!("off by a factor {}", significant(factor)),
            None => "no factor, because one of the two is zero".to_owned(),
        };
        let interval = if measured.low < measured.high {
            format!(" ({} to {})", significant(measured.low), significant(measured.high))
        } else {
            String::new()
        };
        Reveal {
            question: self.question.clone(),
            text: format!(
                "you said {self}, measured {}{interval}: {judgement}",
                self.show(&significant(measured.median))
            ),
            right,
            factor,
        }
    }

    /// Puts the right answer beside the chosen one.
    pub fn reveal_choice(&self, answer: &str) -> Reveal {
        let said = self.to_string();
        let right = said == answer;
        let judgement = if right { "right" } else { "not this time" };
        Reveal {
            question: self.question.clone(),
            text: format!("you said \"{said}\", the run said \"{answer}\": {judgement}"),
            right,
            factor: None,
        }
    }

    fn show(&self, number: &str) -> String {
        match self.unit() {
            "times" => format!("{number}x"),
            unit => format!("{number} {unit}"),
        }
    }

    /// Shows the stored guess in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        Bundle::new()
            .text(format!("Your prediction: {}\n{self}", self.question))
            .html(format!("<p>Your prediction: {}<br><b>{}</b></p>", escape(&self.question), escape(&self.to_string())))
            .emit();
    }
}

/// The guess alone, such as `4x`.
impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.quantity {
            Quantity::Number { value, .. } => f.write_str(&self.show(&chosen(*value))),
            Quantity::Choice { answer, .. } => f.write_str(answer),
        }
    }
}

/// A prediction beside the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reveal {
    /// What was asked.
    pub question: String,
    /// One sentence, such as `you said 4x, measured 2.3x: off by a factor 1.74`.
    pub text: String,
    /// True when the guess lies within the interval of the result, or is the right answer.
    pub right: bool,
    /// How far the guess is off: 2 means twice as much or half as much. None where no factor can be told.
    pub factor: Option<f64>,
}

impl fmt::Display for Reveal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Reveal {
    /// Shows the sentence in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        Bundle::new()
            .text(format!("{}\n{}", self.question, self.text))
            .html(format!("<p>{}<br><b>{}</b></p>", escape(&self.question), escape(&self.text)))
            .emit();
    }
}
