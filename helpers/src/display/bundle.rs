//! One result in several forms, and the protocol that carries it to the notebook.
//!
//! A notebook front end picks the richest form that it can show: a plot, else HTML, else text. The
//! lines printed are the convention of evcxr, which every Rust kernel for Jupyter understands:
//!
//! ```text
//! EVCXR_BEGIN_CONTENT text/html
//! <b>hello</b>
//! EVCXR_END_CONTENT
//! ```
//!
//! evcxr's own kernel keeps only one form of one result a cell, so the forms are printed one after the other and
//! the HTML last. Onramp's kernel sets `ONRAMP_DISPLAY=1`; it then receives all forms in one block
//! and shows each result at once, while the cell still runs.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// MIME type of plain text.
const TEXT: &str = "text/plain";
/// MIME type of HTML.
const HTML: &str = "text/html";
/// MIME type of a plotly figure as JSON.
const PLOTLY: &str = "application/vnd.plotly.v1+json";
/// MIME type of the block that holds all forms, understood by Onramp's kernel.
const BUNDLE: &str = "application/vnd.onramp.bundle+json";
/// MIME type of the request to remove what the cell has shown.
const CLEAR: &str = "application/vnd.onramp.clear+json";
/// Set to `1` by Onramp's kernel in the process that runs the cells.
const RICH_DISPLAY_VARIABLE: &str = "ONRAMP_DISPLAY";

/// One result in one or more forms, keyed by MIME type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    data: Map<String, Value>,
    metadata: Map<String, Value>,
}

impl Bundle {
    /// A bundle without any form yet.
    pub fn new() -> Bundle {
        Bundle::default()
    }

    /// Adds the plain text form. Every bundle should have one: it is what a terminal and a screen reader show.
    pub fn text(self, text: impl Into<String>) -> Bundle {
        self.with(TEXT, Value::String(text.into()))
    }

    /// Adds the HTML form; the caller escapes what came from outside.
    pub fn html(self, html: impl Into<String>) -> Bundle {
        self.with(HTML, Value::String(html.into()))
    }

    /// Adds a plotly figure: an object with `data` and `layout`.
    pub fn plotly(self, figure: Value) -> Bundle {
        self.with(PLOTLY, figure)
    }

    /// The form with this MIME type.
    pub fn get(&self, mime: &str) -> Option<&Value> {
        self.data.get(mime)
    }

    /// Prints the bundle for the kernel that runs this process.
    pub fn emit(&self) {
        print(&self.protocol(is_live()));
    }

    /// Prints the bundle for Onramp's kernel, with an id; with `update` it takes the place of the one that has the id.
    pub(super) fn emit_at(&self, id: &str, update: bool) {
        let content = json!({ "data": self.data, "metadata": self.metadata, "id": id, "update": update });
        print(&block(BUNDLE, &content.to_string()));
    }

    /// Asks Onramp's kernel to remove what the cell has shown.
    pub(super) fn emit_clear(wait: bool) {
        print(&block(CLEAR, &json!({ "wait": wait }).to_string()));
    }

    /// The lines that carry this bundle: one block with all forms when `rich`, otherwise one block per form, HTML last.
    pub fn protocol(&self, rich: bool) -> String {
        if rich {
            return block(BUNDLE, &json!({ "data": self.data, "metadata": self.metadata }).to_string());
        }
        let (html, others): (Vec<_>, Vec<_>) = self.data.iter().partition(|(mime, _)| *mime == HTML);
        others.into_iter().chain(html).map(|(mime, content)| block(mime, &as_text(content))).collect()
    }

    fn with(mut self, mime: &str, content: Value) -> Bundle {
        self.data.insert(mime.into(), content);
        self
    }
}

/// True in a process that runs the cells of Onramp's kernel, which shows results while they change.
pub(crate) fn is_live() -> bool {
    std::env::var_os(RICH_DISPLAY_VARIABLE).is_some_and(|value| value == "1")
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    // A closed stdout means that nobody is left to show the result to.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// One block of evcxr's convention.
fn block(mime: &str, content: &str) -> String {
    format!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n")
}

/// Text as it is, any other JSON value on one line.
fn as_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
