//! Numbers in JSON, which has no words for infinities and for what is not a number: those are written as text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    /// As Rust writes it: `inf`, `-inf`, `NaN`.
    Text(String),
}

impl Written {
    fn of(number: f64) -> Self {
        if number.is_finite() { Self::Number(number) } else { Self::Text(number.to_string()) }
    }

    fn number<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text.parse().map_err(|_| E::custom(format!("'{text}' is no number"))),
        }
    }
}

pub(super) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Written::of(*number).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Written::deserialize(deserializer)?.number()
}

/// Several of them.
pub(super) mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Written;

    pub(in crate::storage) fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        numbers.iter().copied().map(Written::of).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in crate::storage) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Written>::deserialize(deserializer)?.into_iter().map(Written::number).collect()
    }
}
