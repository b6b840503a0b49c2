//! Backends, clients and a small load for the tests of balancers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onramp::serving::{Balancer, Program};

use super::support::JSON;

/// Nothing in these tests may take longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a backend does with a request that is not a health check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    /// Answers with its name after this time; to /echo with status 201, the header x-echo and the body.
    Name(Duration),
    /// Answers something that is not HTTP.
    Garbage,
    /// Closes the connection.
    Close,
}

/// A server in threads of the test. It closes all its connections when this value goes.
pub struct Backend {
    pub address: String,
    state: Arc<State>,
}

struct State {
    name: String,
    manner: Manner,
    ended: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    requests: AtomicUsize,
}

impl Backend {
    pub fn start(name: &str) -> Self {
        Self::with(name, Manner::Name(Duration::ZERO))
    }

    pub fn with(name: &str, manner: Manner) -> Self {
        Self::at("127.0.0.1:0", name, manner)
    }

    pub fn at(address: &str, name: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let state = State {
            name: name.to_string(),
            manner,
            ended: AtomicBool::new(false),
            connections: Mutex::default(),
            requests: AtomicUsize::new(0),
        };
        let backend = Self { address: listener.local_addr().unwrap().to_string(), state: Arc::new(state) };
        let state = backend.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut open = state.connections.lock().unwrap();
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                open.push(stream.try_clone().unwrap());
                let state = state.clone();
                std::thread::spawn(move || state.serve(stream));
            }
        });
        backend
    }

    /// Requests that came, without health checks.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // The thread that accepts looks up.
        let _ = TcpStream::connect(&self.address);
        for stream in self.state.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Ok(message) = Message::read(&mut reader, true) {
            let first = message.first.clone();
            let answer = if first.contains(" /ready ") {
                reply("200 OK", "", b"ready")
            } else {
                self.requests.fetch_add(1, Ordering::SeqCst);
                match self.manner {
                    Manner::Garbage => b"\x00\x01 this is no HTTP \r\n\r\n".to_vec(),
                    Manner::Close => Vec::new(),
                    Manner::Name(time) if first.contains(" /echo ") => {
                        std::thread::sleep(time);
                        let header = format!("x-echo: {}\r\n", message.header("x-echo").unwrap_or_default());
                        reply("201 Created", &header, &message.body)
                    }
                    Manner::Name(time) => {
                        std::thread::sleep(time);
                        reply("200 OK", "", self.name.as_bytes())
                    }
                }
            };
            let broken = stream.write_all(&answer).is_err();
            if broken || (self.manner == Manner::Close || self.manner == Manner::Garbage) && !first.contains(" /ready ")
            {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn reply(status: &str, header: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\n{header}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A request or an answer.
#[derive(Debug, Clone)]
pub struct Message {
    first: String,
    headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Message {
    fn read(reader: &mut impl BufRead, is_request: bool) -> std::io::Result<Self> {
        let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.ends_with("\r\n") { Ok(line.trim_end().to_string()) } else { Err(ended()) }
        };
        let first = line()?;
        let mut headers = BTreeMap::new();
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_string());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        assert!(is_request || headers.contains_key("content-length"), "{first} {headers:?}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Self { first, headers, body })
    }

    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of an error, which must come as JSON with the request's name.
    pub fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let json: serde_json::Value = serde_json::from_slice(&self.body).expect(&self.text());
        assert!(json["request_id"].as_str().is_some_and(|name| !name.is_empty()), "{json}");
        json["error"].as_str().unwrap().to_string()
    }
}

/// A connection that is kept.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub fn ask(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Message> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{line} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n", body.len());
        self.reader.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        Message::read(&mut self.reader, false)
    }
}

/// One request on a connection of its own.
pub fn ask(address: &str, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Message {
    Connection::new(address).ask(line, headers, body).unwrap()
}

/// The name of the backend that answers.
pub fn who(address: &str, headers: &[(&str, &str)]) -> String {
    let answer = ask(address, "POST /predict", headers, b"{}");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.text()
}

/// What came of a request of a load.
#[derive(Debug, Clone)]
pub struct Seen {
    pub started: Instant,
    pub answer: Result<Message, String>,
}

impl Seen {
    pub fn is_well(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.status() == 200)
    }
}

/// Sends requests over so many connections, one after the other on each, until `meanwhile` has returned and each has sent at
/// least a few; `meanwhile` gets the number of requests that were answered so far.
pub fn load<T>(
    address: &str,
    connections: usize,
    line: &str,
    body: &str,
    meanwhile: impl FnOnce(&AtomicUsize) -> T,
) -> (Vec<Seen>, T) {
    const MOST_REQUESTS: usize = 20_000;
    let (answered, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let client = || {
            let mut connection = Connection::new(address);
            let mut seen = Vec::new();
            while !done.load(Ordering::SeqCst) && answered.load(Ordering::SeqCst) < MOST_REQUESTS {
                let started = Instant::now();
                let answer = connection.ask(line, &[JSON], body.as_bytes()).map_err(|error| error.to_string());
                if answer.is_err() {
                    connection = Connection::new(address);
                }
                seen.push(Seen { started, answer });
                answered.fetch_add(1, Ordering::SeqCst);
            }
            seen
        };
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
        // A test that fails must not leave its load waiting.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&answered)));
        done.store(true, Ordering::SeqCst);
        let seen = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (seen, result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Waits until so many more requests of a load were answered.
pub fn wait_for_more(answered: &AtomicUsize, more: usize) {
    let goal = answered.load(Ordering::SeqCst) + more;
    wait_until("the load goes on", || answered.load(Ordering::SeqCst) >= goal);
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Does a test with each program that is there.
pub fn with_each_program(mut test: impl FnMut(Program)) {
    test(Program::Embedded);
    match Balancer::new(["127.0.0.1:9"]).with(Program::Haproxy).start() {
        Ok(_) => test(Program::Haproxy),
        Err(error) if error.to_string().contains("not installed") => println!("SKIPPED with HAProxy: {error}"),
        Err(error) => panic!("{error}"),
    }
}
