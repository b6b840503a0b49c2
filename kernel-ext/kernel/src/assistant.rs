//! Completion and inspection, also while a cell runs.
//!
//! rust-analyzer, inside evcxr's context, can do one thing at a time. While no cell runs, the context of the cells
//! itself answers. While one runs, a second kernel process does, the assistant: it never runs a cell, and gets what it
//! has to know as text, the items of earlier cells and their variables as declarations. It is started when it is needed
//! for the first time, since it takes seconds and some 500 MB.

use crate::environment;
use crate::evaluator::Evaluator;
use crate::jupyter::Outbox;
use crate::state_folder::StateFolder;
use anyhow::{Context, Result};
use evcxr::CommandContext;
use jupyter_protocol::{
    CompleteReply, InspectReply, JupyterMessage, JupyterMessageContent, Media, MediaType, ReplyStatus,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

/// More than a person looks through.
const MOST_MATCHES: usize = 500;

/// A question about a place in a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    kind: Kind,
    /// The text.
    code: String,
    /// The place, in bytes.
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// What could stand there?
    Complete,
    /// What is it that stands there?
    Inspect,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What could stand between two places, in bytes, each with its kind.
    Matches {
        /// Text and kind.
        matches: Vec<(String, String)>,
        /// The first byte that is replaced.
        start: usize,
        /// The byte after the last one.
        end: usize,
    },
    /// Type and documentation, as text and as HTML.
    Documentation {
        /// For a terminal.
        text: String,
        /// For a page.
        html: String,
    },
    /// Nothing is known about it.
    Nothing,
}

impl Question {
    /// The question that a request asks; none when it asks something else.
    pub fn of(request: &JupyterMessage) -> Option<Self> {
        let (kind, code, cursor) = match &request.content {
            JupyterMessageContent::CompleteRequest(asked) => (Kind::Complete, &asked.code, asked.cursor_pos),
            JupyterMessageContent::InspectRequest(asked) => (Kind::Inspect, &asked.code, asked.cursor_pos),
            _ => return None,
        };
        Some(Self { kind, code: code.clone(), at: byte_of(code, cursor) })
    }

    /// The same question with text in front of it.
    fn after(&self, before: &str) -> Self {
        Self { kind: self.kind, code: format!("{before}{}", self.code), at: before.len() + self.at }
    }

    /// Asks rust-analyzer in this context.
    pub fn ask(&self, context: &mut CommandContext) -> Answer {
        let (code, at) = (&self.code, self.at);
        match self.kind {
            Kind::Complete => {
                let Ok(found) = context.completions(code, at) else { return Answer::Nothing };
                let typed = code.get(found.start_offset..at).unwrap_or_default();
                let mut seen = HashSet::new();
                let mut matches: Vec<(String, String)> = found
                    .completions
                    .into_iter()
                    // A function comes with the names of its parameters, which are not its name.
                    .map(|found| (found.code.split('(').next().unwrap_or_default().to_owned(), found.kind.to_owned()))
                    .filter(|(text, _)| text.starts_with(typed) && seen.insert(text.clone()))
                    .collect();
                matches.truncate(MOST_MATCHES);
                Answer::Matches { matches, start: found.start_offset, end: found.end_offset }
            }
            Kind::Inspect => {
                let before = &code[..inspected(code, at)];
                // What is unfinished around an expression may hide it; alone it is found if it names nothing local.
                let found = [before, expression(before)]
                    .into_iter()
                    .find_map(|text| context.hover_at(text, text.len()).ok().filter(|(text, _)| text != NOTHING_FOUND));
                found.map_or(Answer::Nothing, |(text, html)| Answer::Documentation { text, html })
            }
        }
    }
}

/// evcxr's words for that.
const NOTHING_FOUND: &str = "No documentation found";

/// Up to where evcxr is to look at the code: the end of the name at `at`, or of the name of the function between whose
/// parentheses `at` is. It finds methods only with their opening parenthesis.
fn inspected(code: &str, at: usize) -> usize {
    let name = |c: char| c.is_alphanumeric() || c == '_';
    let ahead = code[at..].find(|c| !name(c)).map_or(code.len(), |length| at + length);
    let word = &code[code[..ahead].trim_end_matches(name).len()..ahead];
    if word.starts_with(|c: char| !c.is_ascii_digit()) {
        return ahead + usize::from(code[ahead..].starts_with('('));
    }
    let mut depth = 0;
    for (place, c) in code[..at].char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' if depth == 0 => return place + 1,
            '(' => depth -= 1,
            _ => {}
        }
    }
    at
}

/// The path or chain of calls at the end of `code`, such as `run.fit(`.
fn expression(code: &str) -> &str {
    let mut depth = 0;
    let inside = |c: char| c.is_alphanumeric() || "_.:?&".contains(c);
    let chain = code.strip_suffix('(').unwrap_or(code);
    let start = chain.char_indices().rev().take_while(|(_, c)| {
        match c {
            ')' | ']' | '>' => depth += 1,
            '(' | '[' | '<' => depth -= 1,
            c => return depth > 0 || inside(*c),
        }
        depth >= 0
    });
    &code[start.last().map_or(chain.len(), |(at, _)| at)..]
}

impl Answer {
    /// The reply to the request that asked.
    pub fn reply(self, request: &JupyterMessage) -> JupyterMessage {
        let status = ReplyStatus::Ok;
        if let JupyterMessageContent::CompleteRequest(asked) = &request.content {
            let (matches, start, end) = match self {
                Self::Matches { matches, start, end } => {
                    (matches, char_of(&asked.code, start), char_of(&asked.code, end))
                }
                _ => (Vec::new(), asked.cursor_pos, asked.cursor_pos),
            };
            let kinds: Vec<_> = matches
                .iter()
                .map(|(text, kind)| json!({"text": text, "type": kind, "start": start, "end": end}))
                .collect();
            let mut metadata = serde_json::Map::new();
            metadata.insert("_jupyter_types_experimental".into(), kinds.into());
            let matches = matches.into_iter().map(|(text, _)| text).collect();
            return CompleteReply { matches, cursor_start: start, cursor_end: end, metadata, status, error: None }
                .as_child_of(request);
        }
        let (found, data) = match self {
            Self::Documentation { text, html } => {
                (true, Media::new(vec![MediaType::Plain(text), MediaType::Html(html)]))
            }
            _ => (false, Media::default()),
        };
        InspectReply { found, data, metadata: Default::default(), status, error: None }.as_child_of(request)
    }

    /// With places counted from `before` on, which stood in front of the question's text.
    fn without(self, before: usize) -> Self {
        match self {
            Self::Matches { matches, start, end } => {
                Self::Matches { matches, start: start.saturating_sub(before), end: end.saturating_sub(before) }
            }
            other => other,
        }
    }
}

/// Jupyter counts characters, evcxr bytes.
fn byte_of(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(byte, _)| byte)
}

fn char_of(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < byte).count()
}

/// A second kernel process that only answers questions.
#[derive(Debug, Clone)]
pub struct Assistant {
    helpers: std::path::PathBuf,
    state: std::path::PathBuf,
    process: Arc<Mutex<Option<Process>>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Assistant {
    /// One that is not started yet.
    pub fn new(state: &StateFolder) -> Self {
        Self { helpers: state.helpers.clone(), state: state.path.clone(), process: Arc::default() }
    }

    /// Asks, with text in front of the question that says what earlier cells defined. Waits for earlier questions.
    pub fn ask(&self, before: &str, question: &Question) -> Answer {
        let mut process = self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let answer = self.try_ask(&mut process, &question.after(before));
        match answer {
            Ok(answer) => answer.without(before.len()),
            Err(error) => {
                eprintln!("onramp-kernel: the assistant for completions gave no answer: {error:#}");
                // The next question starts another one.
                if let Some(mut gone) = process.take() {
                    let _ = gone.child.kill();
                    let _ = gone.child.wait();
                }
                Answer::Nothing
            }
        }
    }

    fn try_ask(&self, process: &mut Option<Process>, question: &Question) -> Result<Answer> {
        let process = match process {
            Some(process) => process,
            None => process.insert(self.start()?),
        };
        writeln!(process.questions, "{}", serde_json::to_string(question)?)?;
        process.questions.flush()?;
        let mut line = String::new();
        anyhow::ensure!(process.answers.read_line(&mut line)? > 0, "it has ended");
        Ok(serde_json::from_str(&line)?)
    }

    fn start(&self) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        environment::restore(&mut command);
        command.arg("assist").arg("--helpers").arg(&self.helpers).arg("--state").arg(&self.state);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the assistant")?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(questions), Some(answers)) = (questions, answers) else { anyhow::bail!("it cannot be spoken to") };
        Ok(Process { child, questions, answers: BufReader::new(answers) })
    }
}

/// Answers questions, a line each, until there are no more.
pub fn serve(helpers: &Path, state: &Path) -> Result<()> {
    let evaluator = Evaluator::install(StateFolder::new(state, helpers)?, Outbox::nowhere())?;
    let mut context = evaluator.warm_up()?;
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str::<Question>(&line?) {
            Ok(question) => question.ask(&mut context),
            Err(_) => Answer::Nothing,
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", serde_json::to_string(&answer)?)?;
        stdout.flush()?;
    }
    evaluator.interrupter().end();
    std::process::exit(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_and_bytes_are_told_apart() {
        assert_eq!(byte_of("né.le", 3), 4);
        assert_eq!(byte_of("né", 9), 3);
        assert_eq!(char_of("né.le", 4), 3);
    }

    #[test]
    fn inside_a_call_the_function_is_looked_at() {
        assert_eq!(inspected("run.fit(x)", 5), 8);
        assert_eq!(inspected("run.fit(", 8), 8);
        assert_eq!(inspected("f(g(1), ", 8), 2);
        assert_eq!(inspected("run", 1), 3);
        assert_eq!(inspected("run(2.0", 7), 4);
        assert_eq!(inspected("a + ", 4), 4);
    }

    #[test]
    fn an_expression_is_cut_out_of_what_stands_before_it() {
        assert_eq!(expression("let load = haul("), "haul(");
        assert_eq!(expression("for x in a { run.workers([1, 2]).fit("), "run.workers([1, 2]).fit(");
        assert_eq!(expression("1 + Vec::<u8>::with_capacity("), "Vec::<u8>::with_capacity(");
        assert_eq!(expression("f(x"), "x");
    }

    #[test]
    fn text_in_front_moves_the_places() {
        let question = Question { kind: Kind::Complete, code: "x.le".into(), at: 4 }.after("let x = 1;\n");
        assert!(question.at == 15 && question.code.ends_with("x.le") && question.kind == Kind::Complete);
        let answer = Answer::Matches { matches: Vec::new(), start: 13, end: 15 }.without(11);
        assert!(matches!(answer, Answer::Matches { start: 2, end: 4, .. }));
    }
}
