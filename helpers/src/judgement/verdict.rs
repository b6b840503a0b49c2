//! The answer to a common belief.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::display::{Bundle, chosen, escape, significant};
use crate::judgement::Reveal;
use crate::measure::{Estimate, Provenance};

/// The three answers to a belief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// In at least one setting, the whole interval lies on the wrong side of what the belief claims.
    Myth,
    /// In every setting tried, the whole interval lies on the side that the belief claims.
    HoldsHere,
    /// No setting contradicts the belief, but an interval reaches over both sides.
    Inconclusive,
}

impl Answer {
    /// The word shown to the reader.
    pub fn label(self) -> &'static str {
        match self {
            Answer::Myth => "MYTH",
            Answer::HoldsHere => "HOLDS HERE",
            Answer::Inconclusive => "INCONCLUSIVE",
        }
    }

    /// A colour of the Okabe-Ito palette that goes with the word and never replaces it.
    fn colour(self) -> &'static str {
        match self {
            Answer::Myth => "#D55E00",
            Answer::HoldsHere => "#009E73",
            Answer::Inconclusive => "#0072B2",
        }
    }
}

/// The values that a belief allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
    /// From the first to the second.
    Between(f64, f64),
}

/// A belief as a statement about one number, so that it can be wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The number, in words: `throughput of 8 workers over that of one`.
    pub quantity: String,
    /// Its unit, written after a number: `x`, ` s`.
    pub unit: String,
    /// The values that the belief allows.
    pub bound: Bound,
}

impl Claim {
    /// The belief says that `quantity` is `value` or more.
    pub fn at_least(quantity: &str, value: f64, unit: &str) -> Claim {
        Claim { quantity: quantity.into(), unit: unit.into(), bound: Bound::AtLeast(value) }
    }

    /// The belief says that `quantity` is `value` or less.
    pub fn at_most(quantity: &str, value: f64, unit: &str) -> Claim {
        Claim { quantity: quantity.into(), unit: unit.into(), bound: Bound::AtMost(value) }
    }

    /// The belief says that `quantity` lies between `low` and `high`.
    pub fn between(quantity: &str, low: f64, high: f64, unit: &str) -> Claim {
        Claim { quantity: quantity.into(), unit: unit.into(), bound: Bound::Between(low, high) }
    }

    /// Compares the claim with a result's whole interval, never with its median alone.
    pub fn answer(&self, result: &Estimate) -> Answer {
        let (low, high) = self.limits();
        if low <= result.low && result.high <= high {
            Answer::HoldsHere
        } else if result.high < low || high < result.low {
            Answer::Myth
        } else {
            Answer::Inconclusive
        }
    }

    fn limits(&self) -> (f64, f64) {
        match self.bound {
            Bound::AtLeast(low) => (low, f64::INFINITY),
            Bound::AtMost(high) => (f64::NEG_INFINITY, high),
            Bound::Between(low, high) => (low, high),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quantity, unit) = (&self.quantity, &self.unit);
        match self.bound {
            Bound::AtLeast(low) => write!(f, "{quantity} is at least {}{unit}", chosen(low)),
            Bound::AtMost(high) => write!(f, "{quantity} is at most {}{unit}", chosen(high)),
            Bound::Between(low, high) => {
                write!(f, "{quantity} is between {}{unit} and {}{unit}", chosen(low), chosen(high))
            }
        }
    }
}

/// One setting in which the claim was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The setting, in words: `64 rows per worker`.
    pub setting: String,
    /// What came out, in the claim's unit.
    pub result: Estimate,
    /// Where the result came from.
    pub provenance: Provenance,
    /// The answer in this setting alone.
    pub answer: Answer,
}

/// The answer to a belief, with the settings it was tried in and the conditions it stands under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The belief, as people say it.
    pub belief: String,
    /// The belief as a statement about one number.
    pub claim: Claim,
    /// Every setting that was tried.
    pub cases: Vec<Case>,
    /// The answer over all settings: one clear failure makes a general belief a myth.
    pub answer: Answer,
    /// What all settings have in common: the machine, the link, the model.
    pub conditions: Vec<String>,
    /// The learner's prediction beside the result.
    pub reveal: Option<Reveal>,
}

impl Verdict {
    /// Compares `claim` with the result in each setting `(setting, result, provenance)`.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without a setting, [`Error::InvalidInput`] when the claim or a result is not a number.
    pub fn judge(
        belief: &str,
        claim: Claim,
        settings: impl IntoIterator<Item = (String, Estimate, Provenance)>,
    ) -> Result<Verdict, Error> {
        let (low, high) = claim.limits();
        if low.is_nan() || high.is_nan() || low > high {
            return Err(Error::InvalidInput(format!(
                "the claim \"{claim}\" allows no value; give it numbers, the smaller first"
            )));
        }
        let cases: Vec<Case> = settings
            .into_iter()
            .map(|(setting, result, provenance)| Case { answer: claim.answer(&result), setting, result, provenance })
            .collect();
        if cases.is_empty() {
            return Err(Error::TooFewPoints(format!(
                "the belief \"{belief}\" was tried in 0 settings; run at least one"
            )));
        }
        if let Some(bad) = cases.iter().find(|case| !(case.result.low <= case.result.high)) {
            return Err(Error::InvalidInput(format!(
                "the result at {} is {}, which is not a number; look at its measurement",
                bad.setting, bad.result.median
            )));
        }
        let among = |answer: Answer| cases.iter().any(|case| case.answer == answer);
        let answer = [Answer::Myth, Answer::Inconclusive].into_iter().find(|&answer| among(answer));
        Ok(Verdict {
            belief: belief.into(),
            claim,
            answer: answer.unwrap_or(Answer::HoldsHere),
            cases,
            conditions: Vec::new(),
            reveal: None,
        })
    }

    /// Adds a condition under which the answer was found: `link: 1 Gb/s, 100 us`.
    pub fn condition(mut self, condition: impl Into<String>) -> Verdict {
        self.conditions.push(condition.into());
        self
    }

    /// Puts the learner's prediction beside the answer.
    pub fn with_reveal(mut self, reveal: Reveal) -> Verdict {
        self.reveal = Some(reveal);
        self
    }

    /// The answer in one sentence, with the settings that decided it.
    pub fn summary(&self) -> String {
        let at = |answer: Answer| {
            let settings: Vec<&str> =
                self.cases.iter().filter(|case| case.answer == answer).map(|case| case.setting.as_str()).collect();
            settings.join("; ")
        };
        match self.answer {
            Answer::Myth => {
                let holds = at(Answer::HoldsHere);
                let open = at(Answer::Inconclusive);
                let mut text = format!("It fails at: {}.", at(Answer::Myth));
                text += &if holds.is_empty() {
                    " It held in no setting tried.".into()
                } else {
                    format!(" It holds at: {holds}.")
                };
                if !open.is_empty() {
                    text += &format!(" Too close to call at: {open}.");
                }
                text
            }
            Answer::HoldsHere => "The whole interval agrees in every setting tried. Elsewhere it may fail.".into(),
            Answer::Inconclusive => format!(
                "The interval reaches over both sides at: {}. Repeat more often, or make the difference larger.",
                at(Answer::Inconclusive)
            ),
        }
    }

    /// The HTML form, in the page's own colours.
    pub fn html(&self) -> String {
        let cases: String =
            self.cases.iter().map(|case| format!("<li>{}</li>", escape(&self.case_text(case)))).collect();
        let conditions = if self.conditions.is_empty() {
            String::new()
        } else {
            format!("<p>Under these conditions: {}.</p>", escape(&self.conditions.join("; ")))
        };
        let reveal = self.reveal.as_ref().map_or(String::new(), |reveal| {
            format!("<p>Your prediction ({}): {}.</p>", escape(&reveal.question), escape(&reveal.text))
        });
        format!(
            "<div class=\"onramp-verdict\" style=\"border-left:6px solid {};padding:2px 16px\">\
             <p style=\"font-size:1.2em\"><b>{}</b>: “{}”</p><p>Tested: {}.</p><ul>{cases}</ul><p>{}</p>{reveal}{conditions}</div>",
            self.answer.colour(),
            self.answer.label(),
            escape(&self.belief),
            escape(&self.claim.to_string()),
            escape(&self.summary()),
        )
    }

    /// Shows the verdict in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        Bundle::new().text(self.to_string()).html(self.html()).emit();
    }

    fn case_text(&self, case: &Case) -> String {
        let word = match case.answer {
            Answer::Myth => "fails",
            Answer::HoldsHere => "holds",
            Answer::Inconclusive => "too close to call",
        };
        let unit = &self.claim.unit;
        let (low, high) = (significant(case.result.low), significant(case.result.high));
        let median = significant(case.result.median);
        format!("{}: {median}{unit} ({low}{unit} to {high}{unit}), {}: {word}", case.setting, case.provenance)
    }
}

/// The verdict as text, several lines.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: \"{}\"", self.answer.label(), self.belief)?;
        writeln!(f, "Tested: {}.", self.claim)?;
        for case in &self.cases {
            writeln!(f, "  - {}", self.case_text(case))?;
        }
        writeln!(f, "{}", self.summary())?;
        if let Some(reveal) = &self.reveal {
            writeln!(f, "Your prediction ({}): {}.", reveal.question, reveal.text)?;
        }
        if !self.conditions.is_empty() {
            writeln!(f, "Under these conditions: {}.", self.conditions.join("; "))?;
        }
        Ok(())
    }
}
