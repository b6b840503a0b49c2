//! Sessions in a state server of ours, over HTTP.

use std::fmt::Write;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH};
use axum::http::uri::Authority;
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use sha2::{Digest, Sha256};

use super::session_store::Expected;
use crate::error::{Error, Result};
use crate::serving::client::Client;

/// A client of a [`StateServer`](super::StateServer).
pub(super) struct RemoteStore {
    client: Client,
    address: String,
    /// The header's value.
    authorization: Option<String>,
}

/// Names a value in the headers of a conditional request.
pub(super) fn tag(value: &[u8]) -> String {
    format!("\"{:x}\"", Sha256::digest(value))
}

impl RemoteStore {
    /// # Errors
    /// [`Error::InvalidInput`] when it is no address.
    pub(super) fn new(address: &str, token: Option<&str>) -> Result<Self> {
        if address.parse::<Authority>().is_ok_and(|parsed| parsed.port_u16().is_some_and(|port| port > 0)) {
            let authorization = token.map(|token| format!("Bearer {token}"));
            return Ok(Self { client: Client::new(), address: address.to_string(), authorization });
        }
        Err(Error::invalid(format!(
            "'{address}' is no address of a store of sessions; use that of a started StateServer, such as 127.0.0.1:4000"
        )))
    }

    pub(super) async fn get(&self, key: &str, timeout: Duration) -> Result<Option<Vec<u8>>> {
        let request = Request::builder().method(Method::GET);
        let answer = self.ask(request, &format!("/state/{}", escaped(key)), Bytes::new(), timeout).await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.into_body().into())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(&answer)),
        }
    }

    pub(super) async fn put(&self, key: &str, expected: &Expected, value: &[u8], timeout: Duration) -> Result<bool> {
        let request = Request::builder().method(Method::PUT);
        let request = match expected {
            Expected::Anything => request,
            Expected::Nothing => request.header(IF_NONE_MATCH, "*"),
            Expected::Value(value) => request.header(IF_MATCH, tag(value)),
            Expected::Tagged(tag) => request.header(IF_MATCH, tag),
        };
        let value = Bytes::copy_from_slice(value);
        let answer = self.ask(request, &format!("/state/{}", escaped(key)), value, timeout).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            _ => Err(self.refused(&answer)),
        }
    }

    pub(super) async fn ping(&self, timeout: Duration) -> Result<()> {
        let answer = self.ask(Request::builder(), "/ready", Bytes::new(), timeout).await?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(self.refused(&answer)) }
    }

    async fn ask(
        &self,
        mut request: axum::http::request::Builder,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Bytes>> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.uri(format!("http://{}{path}", self.address)).body(Full::new(body));
        let request = request.map_err(|cause| Error::invalid(format!("the store can't be asked so: {cause}")))?;
        self.client.send(request, timeout).await
    }

    fn refused(&self, answer: &Response<Bytes>) -> Error {
        let said = serde_json::from_slice::<serde_json::Value>(answer.body()).ok();
        let said = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("it gave no reason");
        match answer.status() {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Error::invalid(said),
            status => Error::Service(format!("the store at {} answered {}: {said}", self.address, status.as_u16())),
        }
    }
}

/// A name as a part of an address: all bytes but plain letters, digits and a few marks as two hexadecimal digits.
fn escaped(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => text.push(char::from(byte)),
            // Writing to a text can't fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}
