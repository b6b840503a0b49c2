//! What a server counts, as Prometheus reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::batcher::Batch;
use super::response_cache::Counts;

/// What [`Metrics::text`] is, for the header of the answer.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Clones count into the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    answered: Family<Answered, Counter>,
    seconds: Histogram,
    batch_rows: Histogram,
    inference_seconds: Histogram,
    queue: Gauge,
    version: Gauge<i64>,
    hits: Counter<u64, AtomicU64>,
    misses: Counter<u64, AtomicU64>,
    coalesced: Counter<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    path: &'static str,
    status: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // From 0.1 ms to 1.6 s.
        let seconds = || Histogram::new(exponential_buckets(1e-4, 2.0, 15));
        let mut metrics = Self {
            registry: Arc::default(),
            answered: Family::default(),
            seconds: seconds(),
            batch_rows: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            inference_seconds: seconds(),
            queue: Gauge::default(),
            version: Gauge::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            coalesced: Counter::default(),
        };
        let mut registry = Registry::with_prefix("onramp");
        registry.register("requests", "Requests that were answered", metrics.answered.clone());
        let about = "From a prediction's arrival to its answer";
        registry.register_with_unit("request", about, Unit::Seconds, metrics.seconds.clone());
        registry.register("batch_rows", "Rows in a batch", metrics.batch_rows.clone());
        let about = "That the model took for a batch";
        registry.register_with_unit("inference", about, Unit::Seconds, metrics.inference_seconds.clone());
        registry.register("queue_requests", "Requests that wait for the model", metrics.queue.clone());
        registry.register("parameters_version", "How often parameters were put in place", metrics.version.clone());
        registry.register("cache_hits", "Predictions that the cache had", metrics.hits.clone());
        registry.register("cache_misses", "Predictions that the cache had not", metrics.misses.clone());
        let about = "Predictions that waited for one of the same rows";
        registry.register("cache_coalesced", about, metrics.coalesced.clone());
        metrics.registry = Arc::new(registry);
        metrics
    }

    pub(crate) fn answered(&self, path: &'static str, status: u16, seconds: f64) {
        self.answered.get_or_create(&Answered { path, status }).inc();
        self.seconds.observe(seconds);
    }

    pub(crate) fn batch(&self, batch: Batch) {
        self.batch_rows.observe(batch.rows as f64);
        self.inference_seconds.observe(batch.seconds);
    }

    /// Takes over what the cache counted.
    pub(crate) fn cache(&self, counts: Counts) {
        self.hits.inner().store(counts.hits, Ordering::Relaxed);
        self.misses.inner().store(counts.misses, Ordering::Relaxed);
        self.coalesced.inner().store(counts.coalesced, Ordering::Relaxed);
    }

    /// All numbers in the OpenMetrics text format.
    pub(crate) fn text(&self, queue_length: usize, version: u64) -> String {
        self.queue.set(i64::try_from(queue_length).unwrap_or(i64::MAX));
        self.version.set(i64::try_from(version).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
