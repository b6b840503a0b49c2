//! Rows and predictions as they travel: JSON, or a tensor in the safetensors format.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::answer::Answer;
use super::http::Problem;
use super::work::Scores;

/// The name of the tensor, and of the member of a JSON object, that holds the rows.
pub(super) const ROWS: &str = "rows";
const JSON: &str = "application/json";
pub(super) const SAFETENSORS: &str = "application/x-safetensors";

/// How a request is written; the answer is written likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Json,
    Safetensors,
}

/// Rows of a request, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    pub(crate) values: Vec<f32>,
    pub(crate) count: usize,
}

impl Format {
    /// # Errors
    /// 415 for another type than the two.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let given = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("something unreadable"));
        let kind = given.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case(JSON) {
            Ok(Self::Json)
        } else if kind.eq_ignore_ascii_case(SAFETENSORS) {
            Ok(Self::Safetensors)
        } else {
            let text = format!("a body of type '{given}' is not understood; send {JSON} or {SAFETENSORS}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => JSON,
            Self::Safetensors => SAFETENSORS,
        })
    }

    /// The rows in a body. Each has `columns` numbers; where these are not fixed, as many as the others.
    ///
    /// # Errors
    /// 400 with the place of what is wrong.
    pub(crate) fn read(self, body: &[u8], columns: Option<usize>) -> Result<Rows, Problem> {
        let rows = match self {
            Self::Json => read_json(body, columns)?,
            Self::Safetensors => read_tensor(body, columns)?,
        };
        if rows.count == 0 {
            return Err(Problem::bad_request("there are no rows; send at least one"));
        }
        // All are looked at, which takes a fraction of the time of a search for the first.
        let all_finite = rows.values.iter().fold(true, |all, value| all & value.is_finite());
        if !all_finite {
            let place = rows.values.iter().position(|value| !value.is_finite()).unwrap_or_default();
            let columns = rows.values.len() / rows.count;
            return Err(Problem::bad_request(format!(
                "number {} of row {} is {}; all must be finite",
                place % columns,
                place / columns,
                rows.values[place]
            )));
        }
        Ok(rows)
    }

    /// The predictions as a body.
    ///
    /// # Errors
    /// 500 when they can't be written.
    pub(crate) fn write(self, scores: &Scores) -> Result<Bytes, Problem> {
        let classes =
            || scores.probabilities.chunks_exact(scores.classes).map(|row| Answer::of_probabilities(row).class);
        let written = match self {
            Self::Json => serde_json::to_vec(&serde_json::json!({
                "classes": classes().collect::<Vec<_>>(),
                "probabilities": scores.probabilities.chunks_exact(scores.classes).collect::<Vec<_>>(),
                "version": scores.version,
            }))
            .map_err(|cause| cause.to_string()),
            Self::Safetensors => {
                let probabilities: Vec<u8> =
                    scores.probabilities.iter().flat_map(|value| value.to_le_bytes()).collect();
                let classes: Vec<u8> = classes().flat_map(u32::to_le_bytes).collect();
                let rows = scores.probabilities.len() / scores.classes;
                TensorView::new(Dtype::F32, vec![rows, scores.classes], &probabilities)
                    .and_then(|probabilities| {
                        let classes = TensorView::new(Dtype::U32, vec![rows], &classes)?;
                        safetensors::serialize([("classes", classes), ("probabilities", probabilities)], None)
                    })
                    .map_err(|cause| cause.to_string())
            }
        };
        written.map(Bytes::from).map_err(|cause| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, cause))
    }
}

fn read_tensor(body: &[u8], columns: Option<usize>) -> Result<Rows, Problem> {
    let tensors = SafeTensors::deserialize(body)
        .map_err(|cause| Problem::bad_request(format!("the body is not in the safetensors format ({cause})")))?;
    let tensor = tensors.tensor(ROWS).map_err(|_| {
        let names = tensors.names().join(", ");
        Problem::bad_request(format!("the body has no tensor '{ROWS}'; its tensors are: {names}"))
    })?;
    let wanted = columns.map_or("any".to_string(), |columns| columns.to_string());
    match tensor.shape() {
        [count, own] if tensor.dtype() == Dtype::F32 && *own > 0 && columns.is_none_or(|columns| columns == *own) => {
            let bytes = tensor.data().as_chunks::<4>().0;
            Ok(Rows { values: bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(), count: *count })
        }
        shape => Err(Problem::bad_request(format!(
            "the tensor '{ROWS}' is {:?} of shape {shape:?}; send F32 of shape [rows, {wanted}]",
            tensor.dtype()
        ))),
    }
}

fn read_json(body: &[u8], columns: Option<usize>) -> Result<Rows, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = deserializer.deserialize_map(Body { columns });
    read.and_then(|rows| deserializer.end().map(|()| rows)).map_err(|cause| {
        Problem::bad_request(format!("the body can't be read: {cause}; send {{\"rows\": [[numbers of a row], ...]}}"))
    })
}

/// An object whose member `rows` is a list of lists of numbers, which are read without a list for each row.
struct Body {
    columns: Option<usize>,
}

impl<'de> Visitor<'de> for Body {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with the member \"rows\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
        let mut rows = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name != ROWS {
                map.next_value::<IgnoredAny>()?;
            } else if rows.replace(map.next_value_seed(List { columns: self.columns })?).is_some() {
                return Err(A::Error::duplicate_field(ROWS));
            }
        }
        rows.ok_or_else(|| A::Error::missing_field(ROWS))
    }
}

struct List {
    columns: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = Rows;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Rows, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
        let mut rows = Rows { values: Vec::with_capacity(self.columns.unwrap_or(0)), count: 0 };
        let mut columns = self.columns;
        while let Some(length) = list.next_element_seed(Row { values: &mut rows.values })? {
            if length == 0 || columns.is_some_and(|columns| columns != length) {
                let wanted = columns.map_or("at least 1".to_string(), |columns| columns.to_string());
                return Err(A::Error::custom(format!("row {} has {length} numbers, not {wanted}", rows.count)));
            }
            columns = Some(length);
            rows.count += 1;
        }
        Ok(rows)
    }
}

/// Appends a row's numbers to the others, and says how many there were.
struct Row<'a> {
    values: &'a mut Vec<f32>,
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<usize, A::Error> {
        let before = self.values.len();
        while let Some(value) = row.next_element::<f32>()? {
            self.values.push(value);
        }
        Ok(self.values.len() - before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(rows: &str) -> Result<Rows, String> {
        Format::Json.read(rows.as_bytes(), Some(2)).map_err(|problem| problem.text)
    }

    fn tensor(dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> Vec<u8> {
        let view = TensorView::new(dtype, shape, bytes).expect("the bytes fill the shape");
        safetensors::serialize([(ROWS, view)], None).expect("it can be written")
    }

    #[test]
    fn rows_are_read_and_other_members_passed_over() {
        let rows = json(r#"{"model": {"a": [1]}, "rows": [[1, 2.5], [-3e0, 4]]}"#).expect("it is right");
        assert_eq!(rows, Rows { values: vec![1.0, 2.5, -3.0, 4.0], count: 2 });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (body, words) in [
            ("", "EOF"),
            ("{}", "missing field `rows`"),
            (r#"{"rows": []}"#, "no rows"),
            (r#"{"rows": [[1, 2], [3]]}"#, "row 1 has 1 numbers, not 2"),
            (r#"{"rows": [[]]}"#, "row 0 has 0 numbers, not 2"),
            (r#"{"rows": [[1, NaN]]}"#, "expected value at line 1 column"),
            (r#"{"rows": [[1, 1e39]]}"#, "number 1 of row 0 is inf"),
            (r#"{"rows": [[1, "2"]]}"#, "invalid type: string"),
            (r#"{"rows": [1, 2]}"#, "expected a list of numbers"),
            (r#"{"rows": [[1, 2]], "rows": [[1, 2]]}"#, "duplicate field"),
            (r#"{"rows": [[1, 2]]} x"#, "trailing characters"),
            (r#"[[1, 2]]"#, "expected an object"),
        ] {
            let text = json(body).expect_err(body);
            assert!(text.contains(words), "{body}: {text}");
        }
    }

    #[test]
    fn a_tensor_must_be_of_the_right_kind() {
        let refused = |body: &[u8]| Format::Safetensors.read(body, Some(2)).expect_err("it is wrong").text;
        assert!(refused(b"nonsense").contains("not in the safetensors format"));
        assert!(
            refused(&tensor(Dtype::F32, vec![1, 3], &[0; 12])).contains("shape [1, 3]; send F32 of shape [rows, 2]")
        );
        assert!(refused(&tensor(Dtype::F64, vec![1, 2], &[0; 16])).contains("F64"));
        assert!(refused(&tensor(Dtype::F32, vec![0, 2], &[])).contains("no rows"));
        let nan: Vec<u8> = [1.0, f32::NAN].into_iter().flat_map(f32::to_le_bytes).collect();
        assert!(refused(&tensor(Dtype::F32, vec![1, 2], &nan)).contains("number 1 of row 0 is NaN"));
    }

    #[test]
    fn answers_can_be_read_again() {
        let scores = Scores { probabilities: vec![0.25, 0.75, 0.5, 0.5], classes: 2, version: 3 };
        let json: serde_json::Value =
            serde_json::from_slice(&Format::Json.write(&scores).expect("it can be written")).expect("it is JSON");
        assert_eq!(json["classes"], serde_json::json!([1, 0]));
        assert_eq!((&json["probabilities"][0][1], &json["version"]), (&0.75.into(), &3.into()));
        let bytes = Format::Safetensors.write(&scores).expect("it can be written");
        let tensors = SafeTensors::deserialize(&bytes).expect("it is right");
        assert_eq!(tensors.tensor("probabilities").expect("it is there").shape(), [2, 2]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for format in [Format::Json, Format::Safetensors] {
                if let Ok(rows) = format.read(&bytes, None) {
                    prop_assert!(rows.count > 0 && rows.values.len() % rows.count == 0);
                }
            }
        }

        #[test]
        fn damaged_bodies_are_read_or_refused(place in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200) {
            let mut bodies = [
                br#"{"rows": [[1.5, -2.25e3], [0, 4]], "other": {"a": [true, null, "x\u00e9"]}}"#.to_vec(),
                tensor(Dtype::F32, vec![2, 2], &[0; 16]),
            ];
            for (format, body) in [Format::Json, Format::Safetensors].into_iter().zip(&mut bodies) {
                let end = body.len() - cut.min(body.len());
                body.truncate(end.max(1));
                let last = body.len() - 1;
                body[place.min(last)] = byte;
                if let Ok(rows) = format.read(body, Some(2)) {
                    prop_assert_eq!(rows.values.len(), 2 * rows.count);
                    prop_assert!(rows.values.iter().all(|value| value.is_finite()));
                }
            }
        }

        #[test]
        fn what_was_written_is_read(values in prop::collection::vec(-1e30_f32..1e30, 2..40)) {
            let values = &values[..values.len() / 2 * 2];
            let rows: Vec<&[f32]> = values.chunks(2).collect();
            let json = serde_json::json!({ "rows": rows }).to_string();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let binary = tensor(Dtype::F32, vec![rows.len(), 2], &bytes);
            for (format, body) in [(Format::Json, json.as_bytes()), (Format::Safetensors, &binary[..])] {
                let read = format.read(body, Some(2)).map_err(|problem| TestCaseError::fail(problem.text))?;
                prop_assert_eq!(&read.values[..], values);
            }
        }
    }
}
