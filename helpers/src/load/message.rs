//! What is sent: the bytes of bodies and headers, made before the first request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::schedule::Due;
use crate::error::{Error, Result};

/// Stands in a path for the request's key.
const KEY: &str = "{key}";
/// The most memory for bodies that are made before the start.
const MOST_BODY_BYTES: usize = 1 << 30;

/// What the bodies of requests hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    None,
    Given {
        bytes: Vec<u8>,
        content_type: String,
    },
    /// `{"rows": [[…], …]}` of normal numbers.
    Json {
        rows: usize,
        columns: usize,
    },
    /// A safetensors file with a tensor `rows` of normal numbers.
    Tensor {
        rows: usize,
        columns: usize,
    },
}

/// A description of the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) body: Body,
    pub(super) different_bodies: usize,
    pub(super) headers: Vec<(String, String)>,
    pub(super) token: Option<String>,
    pub(super) key_header: Option<String>,
}

/// Makes requests quickly.
pub(super) struct Messages {
    method: Method,
    headers: HeaderMap,
    bodies: Vec<Bytes>,
    path: PathOf,
    key_header: Option<HeaderName>,
    /// Requests for the same key have the same body.
    by_key: bool,
}

enum PathOf {
    All(Uri),
    /// What stands before and after the key.
    Key(String, String),
}

impl Message {
    pub(super) fn new() -> Self {
        Self {
            method: None,
            path: None,
            body: Body::None,
            different_bodies: 64,
            headers: Vec::new(),
            token: None,
            key_header: None,
        }
    }

    /// GET, or POST with a body, unless it was chosen.
    pub(super) fn method(&self) -> Result<Method> {
        match &self.method {
            None if self.body == Body::None => Ok(Method::GET),
            None => Ok(Method::POST),
            Some(name) => Method::from_bytes(name.to_uppercase().as_bytes())
                .map_err(|_| Error::invalid(format!("'{name}' is no method of HTTP; use one such as GET or POST"))),
        }
    }

    /// All that requests are made of.
    pub(super) fn prepare(&self, host: &str, url_path: Option<&str>, by_key: bool, seed: u64) -> Result<Messages> {
        let path = self.path.as_deref().or(url_path).unwrap_or("/");
        let uri = |path: &str| {
            path.parse::<Uri>().ok().filter(|_| path.starts_with('/')).ok_or_else(|| {
                Error::invalid(format!("'{path}' is no path of a URL; let it begin with / and leave out spaces"))
            })
        };
        let keyed = path.split_once(KEY);
        if !by_key && (keyed.is_some() || self.key_header.is_some()) {
            return Err(Error::invalid(
                "the requests are to name their keys, but have none; add .keys(10_000, 1.0) or .log(…)",
            ));
        }
        let path = match keyed {
            None => PathOf::All(uri(path)?),
            Some((before, after)) => {
                uri(&format!("{before}0{after}"))?;
                PathOf::Key(before.to_string(), after.to_string())
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, header_value("host", host)?);
        let content_type = match &self.body {
            Body::None => None,
            Body::Given { content_type, .. } => Some(content_type.as_str()),
            Body::Json { .. } => Some("application/json"),
            Body::Tensor { .. } => Some("application/x-safetensors"),
        };
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, header_value("content-type", content_type)?);
        }
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, header_value("authorization", &format!("Bearer {token}"))?);
        }
        for (name, value) in &self.headers {
            headers.append(header_name(name)?, header_value(name, value)?);
        }
        let key_header = self.key_header.as_deref().map(header_name).transpose()?;
        Ok(Messages { method: self.method()?, headers, bodies: self.bodies(seed)?, path, key_header, by_key })
    }

    /// The different bodies; a single empty one where requests have none.
    fn bodies(&self, seed: u64) -> Result<Vec<Bytes>> {
        let (rows, columns) = match &self.body {
            Body::None => return Ok(vec![Bytes::new()]),
            Body::Given { bytes, .. } => return Ok(vec![Bytes::from(bytes.clone())]),
            Body::Json { rows, columns } | Body::Tensor { rows, columns } => (*rows, *columns),
        };
        let numbers = rows.saturating_mul(columns);
        // A number in JSON takes some 11 characters.
        let together = self.different_bodies.saturating_mul(numbers).saturating_mul(11);
        if numbers == 0 || self.different_bodies == 0 || together > MOST_BODY_BYTES {
            return Err(Error::invalid(format!(
                "{} different bodies of {rows} rows with {columns} numbers can't be made; use at least 1 of each, and fewer \
                 than {} numbers in all",
                self.different_bodies,
                MOST_BODY_BYTES / 11
            )));
        }
        (0..self.different_bodies as u64)
            .map(|body| {
                crate::interrupt::check_interrupt()?;
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(2 + body);
                let numbers: Vec<f32> = (0..numbers).map(|_| random.sample(StandardNormal)).collect();
                match self.body {
                    Body::Tensor { .. } => tensor(&numbers, rows, columns),
                    _ => json(&numbers, columns),
                }
            })
            .collect()
    }
}

fn json(numbers: &[f32], columns: usize) -> Result<Bytes> {
    #[derive(Serialize)]
    struct Rows<'a> {
        rows: Vec<&'a [f32]>,
    }
    let text = serde_json::to_vec(&Rows { rows: numbers.chunks(columns).collect() });
    Ok(Bytes::from(text.map_err(|cause| Error::invalid(format!("a body can't be written as JSON: {cause}")))?))
}

fn tensor(numbers: &[f32], rows: usize, columns: usize) -> Result<Bytes> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let file = TensorView::new(Dtype::F32, vec![rows, columns], &bytes)
        .and_then(|view| safetensors::serialize([("rows", view)], None));
    Ok(Bytes::from(file.map_err(|cause| Error::invalid(format!("a body can't be written as a tensor: {cause}")))?))
}

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Error::invalid(format!("'{name}' is no name of a header; use letters, digits and hyphens, such as x-session"))
    })
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| {
        Error::invalid(format!("the header {name} can't have the value {value:?}; use visible characters"))
    })
}

impl Messages {
    /// The request that is due, which is the `index`-th of the load.
    pub(super) fn request(&self, due: Due, index: u64) -> Request<Full<Bytes>> {
        let place = if self.by_key { u64::from(due.key) } else { index };
        let body = self.bodies[(place % self.bodies.len() as u64) as usize].clone();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        *request.uri_mut() = match &self.path {
            PathOf::All(uri) => uri.clone(),
            // It was tried with another number before the start.
            PathOf::Key(before, after) => format!("{before}{}{after}", due.key).parse().unwrap_or_default(),
        };
        if let Some(name) = &self.key_header {
            request.headers_mut().insert(name.clone(), HeaderValue::from(due.key));
        }
        request
    }
}
