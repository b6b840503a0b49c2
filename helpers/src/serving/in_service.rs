//! A model that answers, in this process or behind an address.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::answer::Answer;
use super::client::Client;
use super::runtime::block_on;
use super::wire::{ROWS, SAFETENSORS};
use crate::error::{Error, Result};
use crate::model::{Architecture, Model, Network};
use crate::training::scores;
use crate::training::trainer::named;

/// An answer that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(10);

/// A model in service.
pub(super) enum InService {
    /// In this process.
    Here(Network),
    /// A prediction server.
    There(Box<Remote>),
}

/// A prediction server that serves this model.
pub(super) struct Remote {
    client: Client,
    url: String,
    model: Model,
}

impl InService {
    /// The network here, or its parameters put in place at the server with this address.
    pub(super) fn put(network: Network, address: Option<&str>) -> Result<Self> {
        let Some(address) = address else { return Ok(Self::Here(network)) };
        let url = if address.contains("://") { address.to_string() } else { format!("http://{address}") };
        let there = Self::There(Box::new(Remote { client: Client::new(), url, model: network.model() }));
        there.replace(&network.parameters()?)?;
        Ok(there)
    }

    /// An answer for each row, so many rows at once.
    pub(super) fn answers(&self, rows: &[f32], at_once: usize) -> Result<Vec<Answer>> {
        match self {
            Self::Here(network) => {
                let (columns, classes) = (network.model().columns(), network.model().classes());
                let mut answers = Vec::with_capacity(rows.len() / columns);
                for rows in rows.chunks(at_once * columns) {
                    answers.extend(scores(network, rows)?.chunks_exact(classes).map(Answer::of_scores));
                }
                Ok(answers)
            }
            Self::There(remote) => block_on(async {
                let mut answers = Vec::new();
                for rows in rows.chunks(at_once * remote.model.columns()) {
                    answers.extend(remote.answers(rows).await?);
                }
                Ok(answers)
            }),
        }
    }

    /// Puts other parameters in place.
    pub(super) fn replace(&self, parameters: &[f32]) -> Result<()> {
        match self {
            Self::Here(network) => network.set_parameters(parameters),
            Self::There(remote) => block_on(remote.replace(parameters)),
        }
    }
}

impl Remote {
    async fn answers(&self, rows: &[f32]) -> Result<Vec<Answer>> {
        let columns = self.model.columns();
        let numbers = bytes(rows);
        let rows = view(vec![rows.len() / columns, columns], &numbers)?;
        let body = safetensors::serialize([(ROWS, rows)], None).map_err(unwritable)?;
        let answer = self.send(Method::POST, "/predict", body).await?;
        let unreadable = || Error::Service(format!("{} answered without the probabilities of the rows", self.url));
        let tensors = SafeTensors::deserialize(&answer).map_err(|_| unreadable())?;
        let probabilities = tensors.tensor("probabilities").map_err(|_| unreadable())?;
        let numbers: Vec<f32> =
            probabilities.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(numbers.chunks_exact(self.model.classes()).map(Answer::of_probabilities).collect())
    }

    async fn replace(&self, parameters: &[f32]) -> Result<()> {
        let shapes: BTreeMap<String, Vec<usize>> = self.model.shapes().into_iter().collect();
        let values: Vec<(String, Vec<u8>)> =
            named(&self.model, parameters).into_iter().map(|(name, values)| (name, bytes(&values))).collect();
        let views = values.iter().map(|(name, values)| Ok((name.clone(), view(shapes[name].clone(), values)?)));
        let body = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(unwritable)?;
        self.send(Method::PUT, "/parameters", body).await.map(|_| ())
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes> {
        let request =
            Request::builder().method(method).uri(format!("{}{path}", self.url)).header(CONTENT_TYPE, SAFETENSORS);
        let request = request.body(Full::new(Bytes::from(body))).map_err(|cause| {
            Error::invalid(format!("{} is no address ({cause}); use one such as 127.0.0.1:8000", self.url))
        })?;
        let response = self.client.send(request, PATIENCE).await?;
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        let text = String::from_utf8_lossy(response.body());
        Err(Error::Service(format!("{}{path} answered {}: {text}", self.url, response.status())))
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn view(shape: Vec<usize>, bytes: &[u8]) -> Result<TensorView<'_>> {
    TensorView::new(Dtype::F32, shape, bytes).map_err(unwritable)
}

fn unwritable(cause: safetensors::SafeTensorError) -> Error {
    Error::invalid(format!("these numbers can't be written as tensors: {cause}"))
}
