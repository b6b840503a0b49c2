//! Splits what a cell writes on standard output into text, rich outputs, failures, and what evcxr must see.

use super::markers;
use crate::events::{Display, Event, UserError};
use serde_json::{Map, Value};

/// A piece of a cell's standard output.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// For the kernel.
    Event(Event),
    /// A line of its protocol, for evcxr.
    Line(String),
}

/// Takes bytes as they come, gives pieces as soon as they are whole.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Vec<u8>,
    /// Contents of one object under several mime types arrive as blocks directly after each other.
    bundle: Map<String, Value>,
}

impl Parser {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.pending.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while self.take_one(&mut pieces) {}
        pieces
    }

    /// Gives out what is held back because it might have been the beginning of a marker or of a bundle.
    pub fn flush(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.end_bundle(&mut pieces);
        let text = std::mem::take(&mut self.pending);
        self.text(&text, &mut pieces);
        pieces
    }

    /// Whether anything is held back.
    pub fn holds_back(&self) -> bool {
        !self.pending.is_empty() || !self.bundle.is_empty()
    }

    /// Whether what is held back is surely the inside of a marker, so that flushing would cut it.
    pub fn inside_marker(&self) -> bool {
        self.pending.starts_with(markers::PREFIX)
    }

    fn take_one(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let at = find(&self.pending, markers::PREFIX).unwrap_or_else(|| safe_text(&self.pending));
        if at > 0 {
            let text: Vec<u8> = self.pending.drain(..at).collect();
            self.text(&text, pieces);
            return true;
        }
        let Some(end) = self.pending.iter().position(|b| *b == b'\n').filter(|_| self.inside_marker()) else {
            return false;
        };
        let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        let begins = [markers::BEGIN, markers::BEGIN_ERROR, markers::BEGIN_VALUE];
        let begin = begins.into_iter().find_map(|begin| Some((begin, line.strip_prefix(begin)?)));
        if let Some((begin, head)) = begin {
            let Some(length) = find(&self.pending[end..], markers::END) else { return false };
            let from = (end + 1).min(end + length);
            let body = String::from_utf8_lossy(&self.pending[from..end + length]).into_owned();
            self.pending.drain(..end + length + markers::END.len());
            if begin == markers::BEGIN {
                self.content(head, body, pieces);
                return true;
            }
            self.end_bundle(pieces);
            pieces.push(Piece::Event(match begin {
                markers::BEGIN_VALUE => Event::Value(body),
                _ => Event::EndedByError(UserError { message: body, line: head.trim().parse().ok() }),
            }));
            return true;
        }
        self.pending.drain(..=end);
        self.end_bundle(pieces);
        self.marker(line, pieces);
        true
    }

    fn marker(&mut self, line: String, pieces: &mut Vec<Piece>) {
        if let Some(json) = line.strip_prefix(markers::PANICKED) {
            match serde_json::from_str(json) {
                Ok(panic) => pieces.push(Piece::Event(Event::Panicked(panic))),
                Err(_) => self.text(format!("{line}\n").as_bytes(), pieces),
            }
            return;
        }
        if line == markers::ENDED_BY_PANIC {
            pieces.push(Piece::Event(Event::EndedByPanic));
        }
        let for_evcxr = [markers::COMPLETE, markers::ENDED_BY_PANIC, markers::ENDED_BY_ERROR];
        let known = for_evcxr.contains(&line.as_str())
            || line.starts_with(markers::CHANGED_TYPE)
            || line.starts_with(markers::INPUT);
        if known {
            pieces.push(Piece::Line(line));
        } else {
            self.text(format!("{line}\n").as_bytes(), pieces);
        }
    }

    fn content(&mut self, mime_type: &str, body: String, pieces: &mut Vec<Piece>) {
        let event = match mime_type {
            markers::BUNDLE => serde_json::from_str(&body).ok().map(Event::Display),
            markers::CLEAR => {
                serde_json::from_str::<Value>(&body).ok().map(|asked| Event::Clear { wait: asked["wait"] == true })
            }
            _ => None,
        };
        if let Some(event) = event {
            self.end_bundle(pieces);
            pieces.push(Piece::Event(event));
            return;
        }
        if self.bundle.contains_key(mime_type) {
            self.end_bundle(pieces);
        }
        let value = match mime_type.ends_with("json") {
            true => serde_json::from_str(&body).unwrap_or(Value::String(body)),
            false => Value::String(body),
        };
        self.bundle.insert(mime_type.to_owned(), value);
    }

    fn end_bundle(&mut self, pieces: &mut Vec<Piece>) {
        if !self.bundle.is_empty() {
            let data = std::mem::take(&mut self.bundle);
            pieces.push(Piece::Event(Event::Display(Display { data, ..Display::default() })));
        }
    }

    fn text(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) {
        if !bytes.is_empty() {
            self.end_bundle(pieces);
            pieces.push(Piece::Event(Event::Stdout(String::from_utf8_lossy(bytes).into_owned())));
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// How much of `bytes` can be given out as text: all but a possible beginning of a marker, or of a character.
fn safe_text(bytes: &[u8]) -> usize {
    let prefix = markers::PREFIX;
    let marker = (1..prefix.len()).rev().find(|n| bytes.ends_with(&prefix[..*n])).unwrap_or(0);
    let end = bytes.len() - marker;
    match std::str::from_utf8(&bytes[..end]) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(text: &str) -> Piece {
        Piece::Event(Event::Stdout(text.into()))
    }

    fn display(data: Value) -> Piece {
        let Value::Object(data) = data else { panic!("an object") };
        Piece::Event(Event::Display(Display { data, ..Display::default() }))
    }

    #[test]
    fn a_marker_glued_to_text_is_split_off() {
        let pieces = Parser::default().push(b"no line endEVCXR_EXECUTION_COMPLETE\n");
        assert_eq!(pieces, [text("no line end"), Piece::Line("EVCXR_EXECUTION_COMPLETE".into())]);
    }

    #[test]
    fn every_cut_of_the_stream_gives_the_same_pieces() {
        let stream = "a\rb\nEVCXR_BEGIN_CONTENT text/html\n<b>x\ny</b>\nEVCXR_END_CONTENT\nEVCXR_OTHER é\nEVCXR_EXECUTION_COMPLETE\n";
        let join = |pieces: Vec<Piece>| {
            let mut joined: Vec<Piece> = Vec::new();
            for piece in pieces {
                if let (Piece::Event(Event::Stdout(new)), Some(Piece::Event(Event::Stdout(old)))) =
                    (&piece, joined.last_mut())
                {
                    old.push_str(new);
                } else {
                    joined.push(piece);
                }
            }
            joined
        };
        let whole = join(Parser::default().push(stream.as_bytes()));
        assert_eq!(whole.len(), 4, "{whole:?}");
        for cut in 1..stream.len() {
            let mut parser = Parser::default();
            let mut pieces = parser.push(&stream.as_bytes()[..cut]);
            pieces.extend(parser.push(&stream.as_bytes()[cut..]));
            assert_eq!(join(pieces), whole, "cut at {cut}");
        }
    }

    #[test]
    fn blocks_of_one_object_become_one_display_and_a_repeated_type_begins_the_next() {
        let block = |mime: &str, body: &str| format!("EVCXR_BEGIN_CONTENT {mime}\n{body}\nEVCXR_END_CONTENT\n");
        let mut parser = Parser::default();
        let stream = [block("text/plain", "1"), block("text/html", "<1>"), block("text/plain", "2")].concat();
        let mut pieces = parser.push(stream.as_bytes());
        pieces.extend(parser.flush());
        assert_eq!(
            pieces,
            [display(json!({"text/plain": "1", "text/html": "<1>"})), display(json!({"text/plain": "2"}))]
        );
    }

    #[test]
    fn an_empty_block_ends() {
        let mut parser = Parser::default();
        parser.push(b"EVCXR_BEGIN_CONTENT text/plain\n\nEVCXR_END_CONTENT\n");
        assert_eq!(parser.flush(), [display(json!({"text/plain": ""}))]);
    }

    #[test]
    fn a_bundle_is_one_display() {
        let line = format!(
            "EVCXR_BEGIN_CONTENT {}\n{}\nEVCXR_END_CONTENT\n",
            markers::BUNDLE,
            json!({"data": {"text/plain": "x"}})
        );
        assert_eq!(Parser::default().push(line.as_bytes()), [display(json!({"text/plain": "x"}))]);
    }

    #[test]
    fn a_bundle_may_name_itself_and_replace_another() {
        let body = json!({"data": {"text/plain": "2 of 3"}, "id": "bar", "update": true});
        let stream = format!("EVCXR_BEGIN_CONTENT {}\n{body}\nEVCXR_END_CONTENT\n", markers::BUNDLE);
        let pieces = Parser::default().push(stream.as_bytes());
        let [Piece::Event(Event::Display(shown))] = &pieces[..] else { panic!("{pieces:?}") };
        assert_eq!((shown.id.as_deref(), shown.update), (Some("bar"), true));
    }

    #[test]
    fn a_request_to_clear_is_an_event() {
        let block = |body: &str| format!("EVCXR_BEGIN_CONTENT {}\n{body}\nEVCXR_END_CONTENT\n", markers::CLEAR);
        let pieces = Parser::default().push([block("{\"wait\":true}"), block("{}")].concat().as_bytes());
        assert_eq!(pieces, [true, false].map(|wait| Piece::Event(Event::Clear { wait })));
    }

    #[test]
    fn an_error_carries_its_line() {
        let pieces =
            Parser::default().push(b"EVCXR_BEGIN_USER_ERROR 12\ntwo\nlines\nEVCXR_END_CONTENT\nEVCXR_ERROR_OCCURRED\n");
        let error = UserError { message: "two\nlines".into(), line: Some(12) };
        assert_eq!(pieces, [Piece::Event(Event::EndedByError(error)), Piece::Line("EVCXR_ERROR_OCCURRED".into())]);
    }

    #[test]
    fn half_a_character_waits_for_the_other_half() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&"é".as_bytes()[..1]), []);
        assert_eq!(parser.push(&"é".as_bytes()[1..]), [text("é")]);
    }
}
