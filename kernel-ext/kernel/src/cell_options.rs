//! What a cell asks of the kernel in its first lines: `:time`, and `:opt 3` for this cell alone.

const TIME: &str = ":time";
const OPT: &str = ":opt";
const LEVELS: [&str; 6] = ["0", "1", "2", "3", "s", "z"];

/// The requests in the first lines of a cell.
#[derive(Debug, Default, PartialEq)]
pub struct CellOptions {
    /// Whether the cell says how long it took.
    pub timed: bool,
    /// How much the compiler is to optimise this cell.
    pub opt_level: Option<String>,
}

impl CellOptions {
    /// The requests, and the cell without them, its lines where they were.
    ///
    /// A level without code below it is evcxr's own command, for all cells from then on; so is one that does not exist,
    /// for evcxr to say so.
    pub fn take(code: &str) -> (Self, String) {
        let mut options = Self::default();
        let mut taken = 0;
        for line in code.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(TIME), None, None) => options.timed = true,
                (Some(OPT), Some(level), None) if LEVELS.contains(&level) => options.opt_level = Some(level.into()),
                (None, ..) => {}
                _ => break,
            }
            taken += 1;
        }
        let rest: Vec<&str> = code.lines().skip(taken).collect();
        if rest.is_empty() && options.opt_level.is_some() {
            return (Self { opt_level: None, ..options }, code.lines().filter(|line| line.trim() != TIME).collect());
        }
        (options, format!("{}{}", "\n".repeat(taken), rest.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(timed: bool, level: Option<&str>) -> CellOptions {
        CellOptions { timed, opt_level: level.map(Into::into) }
    }

    #[test]
    fn requests_are_taken_out_and_lines_stay_where_they_were() {
        let all = [
            (":time\nlet x = 1;", true, None, "\nlet x = 1;"),
            (":opt 3\n:time\nlet x = 1;\n:opt 2", true, Some("3"), "\n\nlet x = 1;\n:opt 2"),
            ("let x = 1;\n:time", false, None, "let x = 1;\n:time"),
            (":dep a\nlet x = 1;", false, None, ":dep a\nlet x = 1;"),
        ];
        for (code, timed, level, rest) in all {
            assert_eq!(CellOptions::take(code), (options(timed, level), rest.to_owned()), "{code}");
        }
    }

    #[test]
    fn a_level_alone_or_an_unknown_one_is_left_to_evcxr() {
        for code in [":opt 3", ":opt", ":opt 7\nlet x = 1;"] {
            assert_eq!(CellOptions::take(code), (options(false, None), code.to_owned()));
        }
        assert_eq!(CellOptions::take(":time\n:opt 2"), (options(true, None), ":opt 2".to_owned()));
    }
}
