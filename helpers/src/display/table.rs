//! Rows and columns for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::display::{Bundle, Shown};

/// A table with a title, shown as HTML in a notebook and as aligned text elsewhere.
///
/// Columns that hold only numbers are aligned to the right. Cells are escaped, so a name such as `a<b` is shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: impl IntoIterator<Item = impl Into<String>>) -> Table {
        Table {
            title: title.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a row. Missing cells stay empty; cells beyond the last column get a column without a name, so nothing is lost.
    pub fn row(mut self, cells: impl IntoIterator<Item = impl Into<String>>) -> Table {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        while self.columns.len() < cells.len() {
            self.columns.push(String::new());
        }
        self.rows.push(cells);
        self
    }

    /// Adds a line below the table, such as how the numbers were measured.
    pub fn note(mut self, note: impl Into<String>) -> Table {
        self.notes.push(note.into());
        self
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The HTML form. It uses the page's own colours, so it is readable on light and dark backgrounds.
    pub fn html(&self) -> String {
        let align: Vec<&str> =
            (0..self.columns.len()).map(|column| if self.is_numeric(column) { "right" } else { "left" }).collect();
        let line = |tag: &str, cells: &dyn Fn(usize) -> String| -> String {
            let cells: String = align
                .iter()
                .enumerate()
                .map(|(column, align)| {
                    format!("<{tag} style=\"text-align:{align};padding:2px 12px\">{}</{tag}>", escape(&cells(column)))
                })
                .collect();
            format!("<tr>{cells}</tr>")
        };
        let head = line("th", &|column| self.columns[column].clone());
        let body: String =
            (0..self.rows.len()).map(|row| line("td", &|column| self.cell(row, column).to_owned())).collect();
        let notes: String =
            self.notes.iter().map(|note| format!("<p style=\"margin:2px 12px\">{}</p>", escape(note))).collect();
        format!(
            "<div class=\"onramp-table\" style=\"overflow-x:auto\"><table style=\"border-collapse:collapse\">\
             <caption style=\"text-align:left;font-weight:bold;padding:4px 12px;white-space:nowrap\">{}</caption>\
             <thead>{head}</thead><tbody>{body}</tbody></table>{notes}</div>",
            escape(&self.title)
        )
    }

    /// Shows the table in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        self.bundle().emit();
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows[row].get(column).map_or("", String::as_str)
    }

    /// True when every cell that is not empty starts like a number.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells =
            (0..self.rows.len()).map(|row| self.cell(row, column)).filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some()
            && cells.all(|cell| cell.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit()))
    }
}

/// Aligned text: the title, the columns, a rule, the rows, the notes.
impl Shown for Table {
    fn bundle(&self) -> Bundle {
        Bundle::new().text(self.to_string()).html(self.html())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = (0..self.rows.len()).map(|row| self.cell(row, column));
                cells.chain([self.columns[column].as_str()]).map(|text| text.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let line = |cell: &dyn Fn(usize) -> String| -> String {
            let cells: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(column, &width)| {
                    let text = cell(column);
                    if self.is_numeric(column) { format!("{text:>width$}") } else { format!("{text:<width$}") }
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        writeln!(f, "{}", self.title)?;
        writeln!(f, "{}", line(&|column| self.columns[column].clone()))?;
        writeln!(f, "{}", line(&|column| "-".repeat(widths[column])))?;
        for row in 0..self.rows.len() {
            writeln!(f, "{}", line(&|column| self.cell(row, column).to_owned()))?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

/// Text made safe to stand in HTML, between tags or inside a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
