//! Tables in an object store and on the web: a small server on loopback that speaks as much of S3 as a reader asks for.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use onramp::Error;
use onramp::data::Teacher;
use onramp::storage::{Batches, Layout, Reading, Scan, ShardBy, Store};

use super::{PARTS, close, folder, rows_of, sorted};
use crate::engine::support::complaint;

/// Buckets are folders of this one.
struct S3 {
    endpoint: String,
    bytes_sent: Arc<AtomicUsize>,
}

/// What a server does with those who ask.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Answers,
    /// Does not ask who it is.
    IsOpen,
    /// The same, and sends whole files only.
    IsSimple,
    /// Takes the connection, and says nothing.
    IsSilent,
    /// Says that it is overloaded.
    IsBusy,
}

impl S3 {
    fn start(folder: &Path, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (folder, bytes_sent) = (folder.to_path_buf(), Arc::new(AtomicUsize::new(0)));
        let sent = Arc::clone(&bytes_sent);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for connection in listener.incoming().map_while(Result::ok) {
                let (folder, sent) = (folder.clone(), Arc::clone(&sent));
                match manner {
                    Manner::IsSilent => silent.push(connection),
                    _ => drop(std::thread::spawn(move || answer(connection, &folder, manner, &sent))),
                }
            }
        });
        Self { endpoint, bytes_sent }
    }

    fn options(&self) -> [(&'static str, String); 3] {
        [
            ("aws_endpoint_url", self.endpoint.clone()),
            ("aws_access_key_id", "learner".to_string()),
            ("aws_secret_access_key", "hidden".to_string()),
        ]
    }

    fn scan(&self, url: &str) -> Scan {
        self.options().iter().fold(Scan::new(url), |scan, (name, value)| scan.store_option(name, value))
    }

    fn open(&self, url: &str) -> Result<Store, Error> {
        Store::open_with(url, self.options())
    }
}

/// Answers the requests of one connection.
fn answer(connection: TcpStream, folder: &Path, manner: Manner, sent: &AtomicUsize) -> Option<()> {
    let mut input = BufReader::new(connection.try_clone().ok()?);
    let mut output = connection;
    loop {
        let (mut request, mut range, mut is_known) = (String::new(), None, false);
        input.read_line(&mut request).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            input.read_line(&mut line).ok()?;
            let line = line.trim_end().to_lowercase();
            if line.is_empty() {
                break;
            }
            is_known |= line.starts_with("authorization:") && line.contains("credential=learner/");
            range = line.strip_prefix("range: bytes=").map(|range| range.to_string()).or(range);
        }
        let mut words = request.split(' ');
        let (method, target) = (words.next()?, words.next()?.replace("%2F", "/").replace("%3D", "="));
        let (status, headers, body) = if manner == Manner::IsBusy {
            ("503", String::new(), Vec::new())
        } else if !is_known && manner == Manner::Answers {
            ("403 Forbidden", String::new(), b"<Error><Code>InvalidAccessKeyId</Code></Error>".to_vec())
        } else if let Some((bucket, query)) = target.split_once('?') {
            listed(&folder.join(bucket.trim_matches('/')), query)
        } else {
            let range = range.as_deref().filter(|_| manner != Manner::IsSimple);
            object(&folder.join(target.trim_matches('/')), range)
        };
        let length = body.len();
        write!(output, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n").ok()?;
        if method != "HEAD" {
            output.write_all(&body).ok()?;
            sent.fetch_add(length, Ordering::Relaxed);
        }
    }
}

type Answer = (&'static str, String, Vec<u8>);

fn listed(bucket: &Path, query: &str) -> Answer {
    if !bucket.is_dir() {
        return ("404 Not Found", String::new(), b"<Error><Code>NoSuchBucket</Code></Error>".to_vec());
    }
    let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or_default();
    let mut files = Vec::new();
    below(bucket, &mut files);
    let keys = files.iter().map(|file| (file.strip_prefix(bucket).unwrap().display().to_string(), file));
    let contents: String = keys
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, file)| {
            let size = fs::metadata(file).unwrap().len();
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
                 <Size>{size}</Size></Contents>"
            )
        })
        .collect();
    let list = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
    ("200 OK", "Content-Type: application/xml\r\n".to_string(), list.into_bytes())
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below(&path, files) } else { files.push(path) }
    }
}

fn object(file: &Path, range: Option<&str>) -> Answer {
    let Ok(bytes) = fs::read(file) else {
        return ("404 Not Found", String::new(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec());
    };
    let dated = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"1\"\r\n";
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return ("200 OK", dated.to_string(), bytes);
    };
    let (from, to) = (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap().min(bytes.len() - 1));
    let headers = format!("{dated}Content-Range: bytes {from}-{to}/{}\r\n", bytes.len());
    ("206 Partial Content", headers, bytes[from..=to].to_vec())
}

#[test]
fn a_table_in_a_store_is_the_one_that_was_put_there() {
    let folder = folder();
    let here = folder.path().join("course/tables/rows");
    let teacher = Teacher::new(20_000).columns(6).seed(2);
    Store::write(&here, teacher, PARTS).unwrap();
    let server = S3::start(folder.path(), Manner::Answers);
    let expected = Scan::new(&here).by("label").mean_of(["x0", "x5"]).run().unwrap();
    for url in ["s3://course/tables/rows", "s3://course/tables/rows/", "s3://course/tables/rows/part=*/rows.parquet"] {
        for reading in [Reading::Streaming, Reading::Eager] {
            let run = server.scan(url).by("label").mean_of(["x0", "x5"]).reading(reading).run().unwrap();
            close(&run, &expected);
            // A result may be shown to others.
            let text = serde_json::to_string(&run).unwrap() + &format!("{run:?}");
            assert!(
                text.contains("aws_endpoint_url") && !text.contains("hidden") && !text.contains("learner"),
                "{text}"
            );
        }
    }
    let shown = format!("{:?}", server.scan("s3://course/x.parquet"));
    assert!(shown.contains("aws_secret_access_key") && !shown.contains("hidden"), "{shown}");
    let store = server.open("s3://course/tables/rows").unwrap();
    assert_eq!((store.files().len(), store.table()), (5, Store::open(&here).unwrap().table()));
    assert_eq!(store.bytes().unwrap(), Store::open(&here).unwrap().bytes().unwrap());
    store.check().unwrap();
    let last = server.scan("s3://course/tables/rows/part=4/rows.parquet").run().unwrap();
    assert_eq!(last.rows(), 20_000 - 4 * 4096);
    let shares: Vec<u64> = (0..3)
        .map(|rank| {
            server.scan("s3://course/tables/rows").shard(rank, 3).shard_by(ShardBy::RowGroups).run().unwrap().rows()
        })
        .collect();
    assert_eq!(shares.iter().sum::<u64>(), 20_000, "{shares:?}");
    // The same rows in batches.
    let batches = |store: &Store| rows_of(&mut Batches::of(store, "label").rows(500).window(2).start().unwrap(), 12);
    assert!(batches(&store) == batches(&Store::open(&here).unwrap()));
    let all = sorted(rows_of(&mut Batches::of(&store, "label").rows(5_000).window(5).start().unwrap(), 4));
    let data = teacher.generate().unwrap();
    assert!(all == sorted((0..data.rows()).map(|row| data.row(row).to_vec()).collect()));
}

#[test]
fn only_what_is_asked_for_is_fetched() {
    let folder = folder();
    Store::write(folder.path().join("course/t.parquet"), Teacher::new(600_000).columns(8), Layout::Parquet).unwrap();
    let server = S3::start(folder.path(), Manner::Answers);
    let fetched = |scan: Scan| {
        let before = server.bytes_sent.load(Ordering::Relaxed);
        scan.run().unwrap();
        server.bytes_sent.load(Ordering::Relaxed) - before
    };
    let url = "s3://course/t.parquet";
    let all = fetched(server.scan(url).mean_of((0..8).map(|index| format!("x{index}"))));
    let one = fetched(server.scan(url).mean_of(["x7"]));
    // No row has such a value, as the footer says of each row group.
    let none = fetched(server.scan(url).mean_of(["x7"]).filter("label", 50.0, 60.0));
    assert!(all > 19_000_000 && one < all / 4 && none < one / 4, "{all}, {one} and {none} bytes");
}

#[test]
fn a_store_that_refuses_says_what_to_do() {
    let folder = folder();
    let here = folder.path().join("course/rows");
    Store::write(&here, Teacher::new(10_000).columns(2), PARTS).unwrap();
    let server = S3::start(folder.path(), Manner::Answers);
    let says = |scan: Scan, words: &[&str]| {
        let Err(error) = scan.run() else { panic!("this should have been refused with {words:?}") };
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(server.scan("s3://course/none.parquet"), &["s3://course/none.parquet is missing at http://127.0.0.1:"]);
    says(server.scan("s3://course/none/"), &["s3://course/none/ holds no .parquet files"]);
    says(server.scan("s3://nothing/rows/"), &["s3://nothing/rows/ lies in a bucket that does not exist at http://127"]);
    says(
        server.scan("s3://course/rows").store_option("aws_access_key_id", "stranger"),
        &["may not be read with these credentials", "AWS_SECRET_ACCESS_KEY"],
    );
    says(server.scan("s3://course/rows").store_option("aws_endpoint_url", "1"), &["has no kind; write http://"]);
    says(server.scan("s3://course/rows").store_option("colour", "red"), &["'colour' is no option of an S3 store"]);
    says(server.scan("s3:///rows"), &["s3:///rows names no bucket"]);
    for url in ["gs://bucket/t.parquet", "file:///t.parquet", "ftp://127.0.0.1/t.parquet"] {
        says(server.scan(url), &[url, "s3://, http:// and https:// are the kinds of URL"]);
    }
    let text = complaint(Store::write("s3://course/new", Teacher::new(10), PARTS));
    assert!(text.contains("s3://course/new can't be written") && !Path::new("s3:").exists(), "{text}");
    // A part that is missing, of other columns, or damaged.
    let parts: Vec<PathBuf> = (0..3).map(|part| here.join(format!("part={part}/rows.parquet"))).collect();
    let whole = fs::read(&parts[1]).unwrap();
    fs::remove_file(&parts[1]).unwrap();
    says(server.scan("s3://course/rows"), &["s3://course/rows/part=1/rows.parquet is missing (1 of 3 files"]);
    let other = folder.path().join("other.parquet");
    Store::write(&other, Teacher::new(100).columns(3), Layout::Parquet).unwrap();
    fs::copy(other, &parts[1]).unwrap();
    says(
        server.scan("s3://course/rows").mean_of(["x1"]),
        &["part=1/rows.parquet has a column 'x2', which s3://course/rows/part=0"],
    );
    let text = complaint(Batches::of(&server.open("s3://course/rows").unwrap(), "label").start().map(|_| ()));
    assert!(text.contains("part=1/rows.parquet has a column 'x2'"), "{text}");
    let mut damaged = whole;
    damaged[4..400].fill(0xff);
    fs::write(&parts[1], damaged).unwrap();
    says(server.scan("s3://course/rows").mean_of(["x0"]), &["part=1/rows.parquet", "row group 0 (rows 0 to 4095)"]);
}

#[test]
fn a_file_on_the_web_is_the_one_that_was_put_there() {
    let folder = folder();
    let here = |name: &str| folder.path().join(name);
    // Two row groups.
    Store::write(here("t.parquet"), Teacher::new(300_000).columns(3), Layout::Parquet).unwrap();
    Store::write(here("t.csv"), Teacher::new(5_000).columns(3), Layout::Csv).unwrap();
    let server = S3::start(folder.path(), Manner::IsOpen);
    let there = |name: &str| format!("{}/{name}", server.endpoint);
    for name in ["t.parquet", "t.csv"] {
        let of = |scan: Scan| scan.by("label").mean_of(["x0", "x2"]).filter("x1", -0.5, 2.0).run().unwrap();
        close(&of(Scan::new(there(name))), &of(Scan::new(here(name))));
    }
    let shares = (0..2).map(|rank| Scan::new(there("t.parquet")).shard(rank, 2).run().unwrap().rows());
    assert_eq!(shares.collect::<Vec<_>>(), [262_144, 37_856]);
    let store = Store::open(there("t.parquet")).unwrap();
    assert_eq!(store.bytes().unwrap(), fs::metadata(here("t.parquet")).unwrap().len());
    let first = |store: &Store| rows_of(&mut Batches::of(store, "label").rows(500).window(1).start().unwrap(), 2);
    assert!(first(&store) == first(&Store::open(here("t.parquet")).unwrap()));

    let says = |scan: Scan, words: &str| {
        let text = complaint(scan.run());
        assert!(text.contains("http://127.0.0.1:") && text.contains(words), "{text}");
    };
    says(Scan::new(there("none.parquet")), "none.parquet is missing; look at the address");
    for name in ["", "tables/", "*.parquet"] {
        says(Scan::new(there(name)), "names no file, and the web has no folders");
    }
    says(Scan::new(there("t.csv")).store_option("aws_region", "x"), "'aws_region' is an option of an S3 store; http");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    says(Scan::new(format!("http://{closed}/t.parquet")), "t.parquet can't be reached: nothing answers there");
    let simple = S3::start(folder.path(), Manner::IsSimple);
    says(Scan::new(format!("{}/t.parquet", simple.endpoint)), "lies on a server that sends whole files only");
}

#[test]
fn a_store_that_does_not_answer_is_given_up() {
    let folder = folder();
    fs::create_dir(folder.path().join("course")).unwrap();
    let start = Instant::now();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refusing = S3 { endpoint: format!("http://{closed}"), bytes_sent: Arc::default() };
    let silent = S3::start(folder.path(), Manner::IsSilent);
    let busy = S3::start(folder.path(), Manner::IsBusy);
    for (server, words) in [(refusing, "nothing answers at http://127"), (silent, "or not in time"), (busy, "503")] {
        let text = complaint(server.scan("s3://course/rows").store_option("timeout", "200ms").run());
        assert!(text.contains("s3://course/rows can't be re") && text.contains(words), "{text}");
    }
    // A bound on hanging, not a speed.
    assert!(start.elapsed() < Duration::from_secs(60));
}
