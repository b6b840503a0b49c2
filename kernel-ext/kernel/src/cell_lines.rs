//! From a line of the source that evcxr generates back to the learner's cell.
//!
//! evcxr puts a cell's lines into generated code as they are, the current cell's statements and every item that an
//! earlier cell defined, so the text of a line finds it again.

/// The cells that were run, and how to find a line in them.
#[derive(Debug, Default)]
pub struct CellLines {
    /// Execution count and source, oldest first.
    cells: Vec<(usize, String)>,
}

/// A line of a cell.
#[derive(Debug, PartialEq, Clone)]
pub struct CellLine {
    /// The cell's execution count.
    pub cell: usize,
    /// From 1.
    pub line: usize,
    /// Its text, without the white space around it.
    pub text: String,
}

impl CellLines {
    /// Remembers a cell that is about to run.
    pub fn push(&mut self, count: usize, source: &str) {
        self.cells.push((count, source.to_owned()));
    }

    /// Where line `number` (from 1) of `generated` comes from: the newest cell that has it.
    pub fn find(&self, generated: &str, number: usize) -> Option<CellLine> {
        let lines: Vec<&str> = generated.lines().map(str::trim).collect();
        let text = *lines.get(number.checked_sub(1)?)?;
        if text.is_empty() {
            return None;
        }
        self.cells.iter().rev().find_map(|(cell, source)| {
            let own: Vec<&str> = source.lines().map(str::trim).collect();
            let candidates = (0..own.len()).filter(|i| same_line(text, own[*i]));
            // A line that occurs twice is the one whose neighbours agree.
            let best = candidates.max_by_key(|i| agreement(&lines, number - 1, &own, *i))?;
            Some(CellLine { cell: *cell, line: best + 1, text: own[best].to_owned() })
        })
    }
}

/// evcxr wraps the last expression of a cell, on its own lines, and may put a statement's end behind others.
fn same_line(generated: &str, own: &str) -> bool {
    !own.is_empty() && (generated == own || generated == format!("({own}") || generated.ends_with(own) && own.len() > 8)
}

/// How many lines around both positions are the same.
fn agreement(generated: &[&str], at: usize, own: &[&str], i: usize) -> usize {
    let up = (1..=at.min(i)).take_while(|d| generated[at - d] == own[i - d]).count();
    let down =
        (1..).take_while(|d| at + d < generated.len() && i + d < own.len() && generated[at + d] == own[i + d]).count();
    up + down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_the_newest_cell_that_has_it() {
        let mut cells = CellLines::default();
        cells.push(1, "fn half(x: u32) -> u32 {\n    assert!(x > 1);\n    x / 2\n}");
        cells.push(2, "let a = 1;\nhalf(a)");
        let generated = "generated\nfn half(x: u32) -> u32 {\n    assert!(x > 1);\n    x / 2\n}\nlet a = 1;\n(\nhalf(a)\n).evcxr_display();";
        let line = |cell, line, text: &str| Some(CellLine { cell, line, text: text.into() });
        assert_eq!(cells.find(generated, 3), line(1, 2, "assert!(x > 1);"));
        assert_eq!(cells.find(generated, 8), line(2, 2, "half(a)"));
        assert_eq!(cells.find(generated, 1), None);
        assert_eq!(cells.find(generated, 99), None);
    }

    #[test]
    fn neighbours_decide_between_equal_lines() {
        let mut cells = CellLines::default();
        cells.push(4, "let a = 1;\nstep();\nlet b = 2;\nstep();\nlet c = 3;");
        let generated = "x\nlet a = 1;\nstep();\nlet b = 2;\nstep();\nlet c = 3;\ny";
        assert_eq!(cells.find(generated, 5).unwrap().line, 4);
        assert_eq!(cells.find(generated, 3).unwrap().line, 2);
    }
}
