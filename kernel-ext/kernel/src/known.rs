//! What earlier cells left behind, as far as questions about it have to be answered: their text, the items and the
//! variables that there are, and where variables went that there are no more.

use crate::source::Definitions;
use jupyter_protocol::{HistoryEntry, HistoryRequest};
use std::collections::{BTreeMap, HashMap};

/// The number of the running session in history entries; there are no earlier ones.
const SESSION: usize = 1;

/// See the module.
#[derive(Debug, Default)]
pub struct Known {
    /// What was typed.
    pub history: History,
    definitions: Definitions,
    /// Types by name.
    variables: BTreeMap<String, String>,
    /// The cell in which a variable went away, and how.
    gone: HashMap<String, (usize, Loss)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    /// A cell used the value up.
    Moved,
    /// The process ended that held it.
    Ended,
}

impl Known {
    /// A cell has run without an error; `variables` are all that there are now, with their types.
    pub fn ran(&mut self, count: usize, code: &str, variables: impl IntoIterator<Item = (String, String)>) {
        self.definitions.add(code);
        let now: BTreeMap<String, String> = variables.into_iter().collect();
        for name in self.variables.keys().filter(|name| !now.contains_key(*name)) {
            self.gone.insert(name.clone(), (count, Loss::Moved));
        }
        self.gone.retain(|name, _| !now.contains_key(name));
        self.variables = now;
    }

    /// In this cell the process has ended that held the variables; gives their names, in alphabetical order.
    pub fn lost_all(&mut self, count: usize) -> Vec<String> {
        let lost: Vec<String> = std::mem::take(&mut self.variables).into_keys().collect();
        self.gone.extend(lost.iter().map(|name| (name.clone(), (count, Loss::Ended))));
        lost
    }

    /// Why there is no variable of this name any more, and what to do; none when there never was one.
    pub fn why_gone(&self, name: &str) -> Option<String> {
        let (cell, loss) = self.gone.get(name)?;
        Some(match loss {
            Loss::Moved => format!(
                "cell {cell} took the value of `{name}` away. Run the cell again that defines `{name}`; to keep it next \
                 time, let cell {cell} use `&{name}` or `{name}.clone()`."
            ),
            Loss::Ended => {
                format!("`{name}` was lost when cell {cell} ended the process. Run the cell again that defines it.")
            }
        })
    }

    /// All of it as the text of a cell, for those who cannot look into the process.
    pub fn text(&self) -> String {
        self.definitions.with_variables(self.variables.iter().map(|(name, kind)| (name.as_str(), kind.as_str())))
    }
}

/// The inputs of this session, oldest first.
#[derive(Debug, Default)]
pub struct History {
    inputs: Vec<(usize, String)>,
}

impl History {
    /// Adds the input with this execution count.
    pub fn add(&mut self, count: usize, input: &str) {
        self.inputs.push((count, input.to_owned()));
    }

    /// The entries that a request asks for. Outputs are not kept, so they are empty where they are asked for.
    pub fn answer(&self, asked: &HistoryRequest) -> Vec<HistoryEntry> {
        let last = |n: i32, mut found: Vec<&(usize, String)>| -> Vec<(usize, String)> {
            found.drain(..found.len().saturating_sub(usize::try_from(n).unwrap_or(0)));
            found.into_iter().cloned().collect()
        };
        let (found, output) = match asked {
            HistoryRequest::Range { session, start, stop, output, .. } => {
                let here = session.is_none_or(|session| session == 0 || usize::try_from(session) == Ok(SESSION));
                let within = |count: usize| count as i64 >= i64::from(*start) && (count as i64) < i64::from(*stop);
                let found = self.inputs.iter().filter(|(count, _)| here && within(*count));
                (found.cloned().collect(), *output)
            }
            HistoryRequest::Tail { n, output, .. } => (last(*n, self.inputs.iter().collect()), *output),
            HistoryRequest::Search { pattern, unique, output, n, .. } => {
                let mut found: Vec<_> = self.inputs.iter().filter(|(_, input)| matches(pattern, input)).collect();
                if *unique {
                    let newest: HashMap<&str, usize> =
                        found.iter().map(|(count, input)| (input.as_str(), *count)).collect();
                    found.retain(|(count, input)| newest[input.as_str()] == *count);
                }
                (last(*n, found), *output)
            }
        };
        let entry = |(count, input): (usize, String)| match output {
            true => HistoryEntry::InputOutput(SESSION, count, (input, String::new())),
            false => HistoryEntry::Input(SESSION, count, input),
        };
        found.into_iter().map(entry).collect()
    }
}

/// Whether `text` fits a pattern in which `*` stands for anything and `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // After a `*`, where to go on when what follows does not fit.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: Vec<HistoryEntry>) -> Vec<usize> {
        let count = |entry: HistoryEntry| match entry {
            HistoryEntry::Input(_, count, _) | HistoryEntry::InputOutput(_, count, _) => count,
        };
        entries.into_iter().map(count).collect()
    }

    #[test]
    fn history_is_found_by_range_from_the_end_and_by_pattern() {
        let mut history = History::default();
        for (count, input) in ["let a = 1;", "a + 1", "let b = 2;", "a + 1"].iter().enumerate() {
            history.add(count + 1, input);
        }
        let range = |start, stop| HistoryRequest::Range { session: Some(0), start, stop, output: false, raw: true };
        assert_eq!(counts(history.answer(&range(2, 4))), [2, 3]);
        assert_eq!(counts(history.answer(&HistoryRequest::Tail { n: 2, output: true, raw: true })), [3, 4]);
        let search = |pattern: &str, unique| HistoryRequest::Search {
            pattern: pattern.into(),
            unique,
            output: false,
            raw: true,
            n: 10,
        };
        assert_eq!(counts(history.answer(&search("let*", false))), [1, 3]);
        assert_eq!(counts(history.answer(&search("a ? 1", true))), [4]);
    }

    #[test]
    fn a_variable_that_is_gone_names_the_cell_that_took_it() {
        let mut known = Known::default();
        known.ran(1, "let v = vec![1];", [("v".to_owned(), "Vec<i32>".to_owned())]);
        known.ran(2, "drop(v);", []);
        assert!(known.why_gone("v").is_some_and(|why| why.starts_with("cell 2 took")));
        known.ran(3, "let v = 1;", [("v".to_owned(), "i32".to_owned())]);
        assert_eq!(known.why_gone("v"), None);
        assert_eq!(known.lost_all(4), ["v"]);
        assert!(known.why_gone("v").is_some_and(|why| why.contains("cell 4 ended")));
    }

    #[test]
    fn patterns_know_star_and_question_mark() {
        assert!(matches("*b?c*", "aabxcc"));
        assert!(matches("", "") && matches("*", ""));
        assert!(!matches("a", "ab") && !matches("?", ""));
    }
}
