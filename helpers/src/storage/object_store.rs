//! Tables in an object store, which has no folders and is asked over a network, or at a web address: what lies there, and what a
//! refusal means.
//!
//! Polars does the reading. Its requests are bounded here, so that a server that does not answer is an error after a while.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{collections::BTreeMap, path::Path};

use polars::io::cloud::concurrency_config::{ConcurrencyStrategy, FetchConfig};
use polars::io::cloud::{
    AmazonS3ConfigKey, CloudOptions, CloudRetryConfig, build_object_store, glob, object_path_from_str,
};
use polars::io::parquet::read::{FileMetadata, ParquetObjectStore};
use polars::prelude::{CloudScheme, PlRefPath, PolarsResult};
use serde::{Deserialize, Serialize};

use super::quiet::quietly;
use crate::error::{Error, Result};
use crate::interrupt::{LOOK, check_interrupt};

/// What a request may take unless an option says otherwise. With the retries a dead server costs a few times as much.
const TIMEOUTS: [(&str, &str); 2] = [("connect_timeout", "3 seconds"), ("timeout", "30 seconds")];
/// Retries of a failed request, and for how long after it began.
const RETRIES: (usize, Duration) = (2, Duration::from_secs(5));
/// A list, a size or a footer is small: a store that has not given it by then does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a store is reached: names and values as polars reads them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct StoreOptions(BTreeMap<String, String>);

impl StoreOptions {
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into().to_lowercase(), value.into());
    }

    /// Without what must stay secret: a result may be saved, and shown to others.
    pub(super) fn public(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| !is_secret(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// The options as polars wants them.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an option that polars would not look at, [`Error::Data`] for a URL that it can't read.
    pub(super) fn cloud(&self, url: &str) -> Result<CloudOptions> {
        let scheme = CloudScheme::from_path(url);
        match scheme {
            Some(CloudScheme::S3 | CloudScheme::S3a) => self.check_s3(url)?,
            Some(CloudScheme::Http | CloudScheme::Https) => self.check_web(url)?,
            _ => {
                return Err(Error::data(
                    Path::new(url),
                    "can't be reached: s3://, http:// and https:// are the kinds of URL that are read here; name a file or \
                     folder, or copy it to one",
                ));
            }
        }
        let given = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let options = CloudOptions::from_untyped_config(scheme, TIMEOUTS.into_iter().chain(given));
        let retries =
            CloudRetryConfig { max_retries: Some(RETRIES.0), retry_timeout: Some(RETRIES.1), ..Default::default() };
        options.map(|options| options.with_retry_config(retries)).map_err(|cause| Error::invalid(cause.to_string()))
    }

    fn check_web(&self, url: &str) -> Result<()> {
        if let Some(name) = self.0.keys().next() {
            return Err(Error::invalid(format!("'{name}' is an option of an S3 store; {url} is read without any")));
        }
        if url.ends_with('/') || url.contains('*') {
            return Err(Error::data(
                Path::new(url),
                "names no file, and the web has no folders; give the address of one .parquet or .csv file",
            ));
        }
        Ok(())
    }

    fn check_s3(&self, url: &str) -> Result<()> {
        if url.split("://").nth(1).is_none_or(|rest| rest.starts_with('/') || rest.is_empty()) {
            return Err(Error::invalid(format!("{url} names no bucket; write s3://bucket/name")));
        }
        if let Some(endpoint) = self.endpoint().filter(|endpoint| !endpoint.starts_with("http")) {
            return Err(Error::invalid(format!(
                "the store's address {endpoint} has no kind; write http://{endpoint} or https://{endpoint}"
            )));
        }
        if let Some(unknown) = self.0.keys().find(|name| name.parse::<AmazonS3ConfigKey>().is_err()) {
            return Err(Error::invalid(format!(
                "'{unknown}' is no option of an S3 store; use one such as aws_endpoint_url, aws_region, aws_access_key_id, \
                 aws_secret_access_key, aws_skip_signature, timeout or connect_timeout"
            )));
        }
        Ok(())
    }

    /// Where the store is, as the learner said it; none for Amazon's own.
    fn endpoint(&self) -> Option<String> {
        let names = ["aws_endpoint_url_s3", "aws_endpoint_url", "aws_endpoint", "endpoint_url", "endpoint"];
        let given = names.iter().find_map(|name| self.0.get(*name).cloned());
        let set = || names.iter().find_map(|name| std::env::var(name.to_uppercase()).ok());
        given.or_else(set)
    }
}

/// Whether a URL is a web address, which is that of one file.
pub(super) fn is_web(url: &str) -> bool {
    matches!(CloudScheme::from_path(url), Some(CloudScheme::Http | CloudScheme::Https))
}

fn is_secret(name: &str) -> bool {
    ["access_key", "token", "secret", "customer_key"].iter().any(|secret| name.contains(secret))
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, if is_secret(name) { "…" } else { value });
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        f.debug_map().entries(all.map(shown)).finish()
    }
}

/// What lies in a store.
pub(super) struct Listing {
    /// URLs of tables' files.
    pub(super) files: Vec<String>,
    /// What the file that was named besides holds, if it is there.
    pub(super) description: Option<Vec<u8>>,
}

/// All files that match a pattern, and the content of one.
///
/// # Errors
/// [`Error::Data`] when the store can't be reached or refuses.
pub(super) fn list(url: &str, pattern: &str, description: &str, options: &StoreOptions) -> Result<Listing> {
    let cloud = options.cloud(url)?;
    wait(url, options, async {
        let files = glob(pattern.into(), Some(&cloud)).await?;
        let description = if files.is_empty() { None } else { content(description, &cloud).await? };
        Ok(Listing { files, description })
    })
}

/// Bytes of an object.
///
/// # Errors
/// As for [`list`].
pub(super) fn size(url: &str, options: &StoreOptions) -> Result<u64> {
    let cloud = options.cloud(url)?;
    wait(url, options, async {
        let (location, store) = build_object_store(url.into(), Some(&cloud), false).await?;
        Ok(store.head(&object_path_from_str(&location.prefix)?, ConcurrencyStrategy::Legacy).await?.size)
    })
}

/// The footer of a Parquet file.
///
/// # Errors
/// As for [`list`].
pub(super) fn footer(url: &str, options: &StoreOptions) -> Result<Arc<FileMetadata>> {
    let cloud = options.cloud(url)?;
    wait(url, options, async {
        let mut file = ParquetObjectStore::from_uri(url.into(), Some(&cloud), None).await?;
        file.get_metadata().await.cloned()
    })
}

async fn content(url: &str, cloud: &CloudOptions) -> PolarsResult<Option<Vec<u8>>> {
    let (location, store) = build_object_store(PlRefPath::from(url), Some(cloud), false).await?;
    let path = object_path_from_str(&location.prefix)?;
    let bytes = match store.head(&path, ConcurrencyStrategy::Legacy).await {
        Ok(found) => store.get_range(&path, 0..found.size as usize, FetchConfig::legacy()).await?,
        Err(cause) if cause.to_string().contains("not found") => return Ok(None),
        Err(cause) => return Err(cause),
    };
    Ok(Some(bytes.to_vec()))
}

/// Waits for an answer, or for the learner's Stop.
fn wait<T>(url: &str, options: &StoreOptions, work: impl Future<Output = PolarsResult<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::io("preparing requests to an object store", cause))?;
    let answer = async {
        let mut work = pin!(work);
        let start = Instant::now();
        loop {
            check_interrupt()?;
            if start.elapsed() > PATIENCE && !options.0.contains_key("timeout") {
                return Err(explain(url, options, "timed out"));
            }
            if let Ok(answer) = tokio::time::timeout(LOOK, &mut work).await {
                return answer.map_err(|cause| explain(url, options, &cause.to_string()));
            }
        }
    };
    quietly(|| runtime.block_on(answer)).map_err(|cause| explain(url, options, &cause))?
}

/// What a store's refusal means, and what to do.
pub(super) fn explain(url: &str, options: &StoreOptions, cause: &str) -> Error {
    let has = |texts: &[&str]| texts.iter().any(|text| cause.contains(text));
    let endpoint = options.endpoint().unwrap_or_else(|| "Amazon S3 (no aws_endpoint_url is set)".to_string());
    let reason = if is_web(url) {
        web_reason(has).to_string()
    } else if has(&["169.254.169.254"]) {
        format!(
            "needs credentials, and there are none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the options \
             aws_access_key_id and aws_secret_access_key; for a public bucket at {endpoint} the option aws_skip_signature \
             to true"
        )
    } else if has(&["NoSuchBucket"]) {
        format!("lies in a bucket that does not exist at {endpoint}; look at its name, or create it")
    } else if has(&["403 Forbidden", "401 Unauthorized", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
    {
        format!(
            "may not be read with these credentials; {endpoint} refused them. Look at AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY or the options of these names, and at who may read the bucket"
        )
    } else if has(&["404 Not Found", "NoSuchKey"]) {
        format!("is missing at {endpoint}; look at the names of the bucket and the file, and end a folder's with /")
    } else if has(&["HTTP error", "timed out"]) {
        format!(
            "can't be reached: nothing answers at {endpoint}, or not in time. Is the server running, and is aws_endpoint_url its \
             address? A slow one needs the option timeout, such as 2 minutes"
        )
    } else {
        format!("can't be read from {endpoint}")
    };
    let cause = cause.lines().next().unwrap_or_default();
    Error::data(Path::new(url), format!("{reason} ({cause})"))
}

fn web_reason(has: impl Fn(&[&str]) -> bool) -> &'static str {
    if has(&["404 Not Found"]) {
        "is missing; look at the address"
    } else if has(&["403 Forbidden", "401 Unauthorized"]) {
        "may not be read without an account; download it, and name the file"
    } else if has(&["Range request not supported"]) {
        "lies on a server that sends whole files only, and a table is read in parts; download it, and name the file"
    } else if has(&["HTTP error", "timed out"]) {
        "can't be reached: nothing answers there, or not in time. Is the address right, and the server running?"
    } else {
        "can't be read"
    }
}
