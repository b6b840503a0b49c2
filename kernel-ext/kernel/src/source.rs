//! What a cell's text says without being compiled: whether it is whole, and which items it defines.

use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxNode, T};

const EDITION: Edition = Edition::Edition2024;
/// What a cell's statements stand in, so that they parse as a file.
const OPENING: &str = "fn cell() {\n";
const INDENT: usize = 4;
/// The lexer's words for a string or a comment that does not end.
const UNTERMINATED: [&str; 2] = ["Missing trailing", "Invalid raw string"];

/// Whether a cell could run as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// It could.
    Complete,
    /// More must follow, indented by this many spaces.
    Incomplete(usize),
    /// No continuation makes it a cell.
    Invalid,
}

/// Judges the text of a cell.
pub fn completeness(code: &str) -> Completeness {
    let code = without_commands(code);
    let tokens = SourceFile::parse(&code, EDITION);
    let endless = |message: &str| UNTERMINATED.iter().any(|words| message.contains(words));
    if tokens.errors().iter().any(|error| endless(&error.to_string())) {
        return Completeness::Incomplete(0);
    }
    let open = match brackets(&tokens.syntax_node()) {
        Brackets::Open(open) => open,
        Brackets::Wrong(_) => return Completeness::Invalid,
    };
    if !open.is_empty() {
        return Completeness::Incomplete(INDENT * open.len());
    }
    let parsed = SourceFile::parse(&format!("{OPENING}{code}\n}}"), EDITION);
    let end = OPENING.len() + code.trim_end().len();
    match parsed.errors().first() {
        None => Completeness::Complete,
        // It stopped where something was still expected.
        Some(error) if usize::from(error.range().start()) >= end => Completeness::Incomplete(0),
        Some(_) => Completeness::Invalid,
    }
}

/// The brackets of a text that are not in pairs.
enum Brackets {
    /// Opened and never closed, each as its byte; none when all are in pairs.
    Open(Vec<usize>),
    /// The byte of the first one that closes nothing, or something of another kind.
    Wrong(usize),
}

fn brackets(tokens: &SyntaxNode) -> Brackets {
    let mut open = Vec::new();
    for token in tokens.descendants_with_tokens() {
        let NodeOrToken::Token(token) = token else { continue };
        let at = usize::from(token.text_range().start());
        match token.kind() {
            T!['('] => open.push((T![')'], at)),
            T!['['] => open.push((T![']'], at)),
            T!['{'] => open.push((T!['}'], at)),
            closing @ (T![')'] | T![']'] | T!['}']) if open.pop().map(|(kind, _)| kind) != Some(closing) => {
                return Brackets::Wrong(at);
            }
            _ => {}
        }
    }
    Brackets::Open(open.into_iter().map(|(_, at)| at).collect())
}

/// The first bracket without its partner: its byte, and what is wrong with it.
pub fn lone_bracket(code: &str) -> Option<(usize, String)> {
    let code = without_commands(code);
    let (at, what) = match brackets(&SourceFile::parse(&code, EDITION).syntax_node()) {
        Brackets::Open(open) => (*open.last()?, "is never closed"),
        Brackets::Wrong(at) => (at, "closes nothing that was opened before it"),
    };
    Some((at, format!("this `{}` {what}", code[at..].chars().next()?)))
}

/// evcxr's commands (`:dep …`) and lines for the shell (`!…`) as blanks, so that every byte keeps its place.
fn without_commands(code: &str) -> String {
    let line = |line: &str| match line.trim_start() {
        command if command.starts_with(':') || command.starts_with('!') => " ".repeat(line.len()),
        _ => line.to_owned(),
    };
    code.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The commands and items of earlier cells, the newest of each name, as the text of one cell.
#[derive(Debug, Default, Clone)]
pub struct Definitions {
    /// Name, if it has one, and text.
    items: Vec<(Option<String>, String)>,
}

impl Definitions {
    /// Adds those of a cell.
    pub fn add(&mut self, code: &str) {
        for line in code.lines().filter(|line| line.trim_start().starts_with(":dep")) {
            self.add_one(None, line.trim().to_owned());
        }
        let parsed = SourceFile::parse(&format!("{OPENING}{}\n}}", without_commands(code)), EDITION);
        let body = parsed.tree().syntax().descendants().find_map(ast::StmtList::cast);
        for item in body.into_iter().flat_map(|body| body.syntax().children()).filter_map(ast::Item::cast) {
            let name = ast::AnyHasName::cast(item.syntax().clone()).and_then(|item| item.name());
            self.add_one(name.map(|name| name.text().to_string()), item.syntax().text().to_string());
        }
    }

    fn add_one(&mut self, name: Option<String>, text: String) {
        self.items.retain(|(other, known)| *known != text && (name.is_none() || *other != name));
        self.items.push((name, text));
    }

    /// All of them, followed by variables of these names and types, which are declared and never computed.
    pub fn with_variables<'a>(&self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let mut text: String = self.items.iter().map(|(_, item)| format!("{item}\n")).collect();
        for (name, kind) in variables {
            text.push_str(&format!("#[allow(unused_mut)] let mut {name}: {kind} = unreachable!();\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_cells_are_complete() {
        let whole = [
            "",
            "1 + 1",
            "let x = 1;",
            "fn f() {}\nf()",
            ":dep serde = \"1\"\nuse serde::Serialize;",
            "println!(\"{}\", 1);",
            "let s = \"a \\\" b\";",
            "let r = r#\"a \" b\"#;",
            "/* a /* b */ */ 1",
            "'a'",
            "!ls",
            "let x = 'l: loop { break 'l 1; };",
        ];
        for code in whole {
            assert_eq!(completeness(code), Completeness::Complete, "{code}");
        }
    }

    #[test]
    fn what_must_go_on_is_incomplete_and_indented_by_its_depth() {
        let open = [
            ("fn f() {", 4),
            ("for i in 0..3 {\n    f(", 8),
            ("let s = \"a", 0),
            ("let s = \"a \\\"", 0),
            ("let r = r#\"a\"", 0),
            ("/* a", 0),
            ("let x = ", 0),
            ("1 +", 0),
        ];
        for (code, indent) in open {
            assert_eq!(completeness(code), Completeness::Incomplete(indent), "{code}");
        }
    }

    #[test]
    fn what_nothing_can_mend_is_invalid() {
        for code in ["fn f() )", "let = 2;", "(]", "struct { }"] {
            assert_eq!(completeness(code), Completeness::Invalid, "{code}");
        }
    }

    #[test]
    fn a_bracket_without_its_partner_is_found() {
        assert_eq!(lone_bracket("f(1)"), None);
        let found = lone_bracket;
        assert_eq!(found("for i in 0..3 { f(i)"), Some((14, "this `{` is never closed".into())));
        assert_eq!(found("!echo (\nf(1"), Some((9, "this `(` is never closed".into())));
        assert_eq!(found("f(\"(\"))"), Some((6, "this `)` closes nothing that was opened before it".into())));
    }

    #[test]
    fn the_newest_item_of_a_name_is_kept() {
        let mut known = Definitions::default();
        known.add(":dep onramp = { path = \"/h\" }\nuse std::fmt;\nfn f() -> u8 { 1 }\nlet x = f();");
        known.add("fn f() -> u16 { 2 }\nuse std::fmt;");
        let text = known.with_variables([("x", "u8")]);
        assert_eq!(text.matches("fn f()").count(), 1);
        assert_eq!(text.matches("use std::fmt;").count(), 1);
        assert!(text.contains("u16") && text.starts_with(":dep onramp"), "{text}");
        assert!(text.ends_with("let mut x: u8 = unreachable!();\n"), "{text}");
    }
}
