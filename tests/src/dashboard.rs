//! The dashboard's end of a coordinator: requests with a token, and the stream of a run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::process::{Invitation, Running, TIMEOUT};

/// Who asks: where, and with which token.
#[derive(Debug, Clone)]
pub struct Client {
    host: String,
    token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, in lower case.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Client {
    /// Whoever controls the run of a coordinator that has just started, after its invitation.
    ///
    /// # Panics
    /// When the coordinator says no link.
    #[track_caller]
    pub fn admin(herd: &mut Running) -> Self {
        let line = herd.wait_for("admin   http://");
        let link = line.split_once("http://").and_then(|(_, link)| link.split_once("/#"));
        let (host, token) = link.expect("a link with a token");
        Self { host: host.to_owned(), token: token.trim().to_owned() }
    }

    /// Somebody with a worker's token.
    #[must_use]
    pub fn worker(invitation: &Invitation) -> Self {
        Self { host: invitation.host().to_owned(), token: invitation.token.clone() }
    }

    /// The same place with another token.
    #[must_use]
    pub fn with(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Asks for something.
    ///
    /// # Panics
    /// When no answer comes.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    /// Asks for something with further lines of the head.
    ///
    /// # Panics
    /// When no answer comes.
    #[must_use]
    #[track_caller]
    pub fn get_with(&self, path: &str, lines: &str) -> Answer {
        self.ask("GET", path, lines, "")
    }

    /// The JSON at a path.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        self.get(path).json()
    }

    /// Does something.
    ///
    /// # Panics
    /// When no answer comes.
    #[must_use]
    #[track_caller]
    pub fn act(&self, act: &str, body: &str) -> Answer {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        self.ask("POST", &format!("/v1/admin/{act}"), kind, body)
    }

    /// Does something, and must be told that it is done; gives the sentence.
    ///
    /// # Panics
    /// When it is not done.
    #[track_caller]
    pub fn done(&self, act: &str, body: &str) -> String {
        let answer = self.act(act, body);
        assert_eq!(answer.status, 200, "{act} {body}: {}", answer.text());
        answer.json()["done"].as_str().expect("a sentence").to_owned()
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, lines: &str, body: &str) -> Answer {
        let mut reader = self.send(method, path, &format!("connection: close\r\n{lines}"), body);
        let (status, head) = read_head(&mut reader);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).expect("the body is complete");
        Answer { status, head, body }
    }

    fn send(&self, method: &str, path: &str, lines: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.host).expect("the coordinator accepts");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a socket has timeouts");
        stream.set_write_timeout(Some(TIMEOUT)).expect("a socket has timeouts");
        let (host, token, length) = (&self.host, &self.token, body.len());
        let length =
            if method == "GET" { String::new() } else { format!("content-length: {length}\r\n") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             {length}{lines}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the coordinator reads");
        BufReader::new(stream)
    }

    /// Watches the run, and reads nothing yet.
    ///
    /// # Panics
    /// When the coordinator does not accept.
    #[must_use]
    pub fn open(&self) -> BufReader<TcpStream> {
        self.send("GET", "/v1/live", "", "")
    }

    /// Watches the run.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    #[track_caller]
    pub fn watch(&self) -> Watching {
        let mut reader = self.open();
        let (status, head) = read_head(&mut reader);
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        Watching { reader, text: String::new(), seen: Seen::default() }
    }
}

impl Answer {
    /// Its body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON, of a success.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// What a page knows of a run.
#[derive(Debug, Default)]
pub struct Seen {
    /// As it stands.
    pub view: Value,
    /// Epochs by number.
    pub records: BTreeMap<u64, Value>,
    /// Training loss.
    pub curve: Vec<Value>,
    /// Speed and workers.
    pub history: Vec<Value>,
    /// Events by number.
    pub events: BTreeMap<u64, Value>,
    /// How often all of it came.
    pub wholes: usize,
    /// How often what was new came.
    pub ticks: usize,
}

/// The stream of a run.
#[derive(Debug)]
pub struct Watching {
    reader: BufReader<TcpStream>,
    text: String,
    /// All that came.
    pub seen: Seen,
}

impl Watching {
    /// Reads the next event; none at the end of the stream. Comments are passed over.
    ///
    /// # Panics
    /// When nothing comes in time, or what comes is no event.
    #[track_caller]
    pub fn read(&mut self) -> Option<()> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                if !event.starts_with(':') {
                    self.seen.take(&event);
                    return Some(());
                }
            }
            let chunk = read_chunk(&mut self.reader)?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("whole events are text"));
        }
    }

    /// Reads on until the view is as wanted.
    ///
    /// # Panics
    /// When it does not become so in time.
    #[track_caller]
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        while self.seen.view.is_null() || !wanted(&self.seen.view) {
            assert!(Instant::now() < deadline, "never {what}: {}", self.seen.view);
            assert!(self.read().is_some(), "the stream ends, and never {what}: {}", self.seen.view);
        }
        self.seen.view.clone()
    }
}

impl Seen {
    #[track_caller]
    fn take(&mut self, event: &str) {
        let lines = event.trim_end().split_once('\n').expect("two lines");
        let (name, data) = (lines.0.strip_prefix("event: "), lines.1.strip_prefix("data: "));
        let data = data.expect("a line of data");
        let mut data: Value = serde_json::from_str(data).expect("a line of JSON");
        match name.expect("a name") {
            "whole" => {
                *self = Self { wholes: self.wholes + 1, ticks: self.ticks, ..Self::default() }
            }
            "tick" => self.ticks += 1,
            other => panic!("{other:?} is no event of a run"),
        }
        let list = |value: Value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        };
        let numbered = |value: Value, key: &str| {
            let all = list(value).expect("a list").into_iter();
            all.map(|item| (item[key].as_u64().expect("a number"), item)).collect::<Vec<_>>()
        };
        self.records.extend(numbered(data["records"].take(), "epoch"));
        self.events.extend(numbered(data["events"].take(), "number"));
        self.curve = list(data["curve"].take()).unwrap_or(std::mem::take(&mut self.curve));
        self.history = list(data["history"].take()).unwrap_or(std::mem::take(&mut self.history));
        self.view = data["view"].take();
    }

    /// Whether something happened whose sentence contains these words.
    #[must_use]
    pub fn has_event(&self, kind: &str, words: &str) -> bool {
        let says = |event: &Value| event["text"].as_str().is_some_and(|text| text.contains(words));
        self.events.values().any(|event| event["kind"] == kind && says(event))
    }
}

#[track_caller]
fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("an answer") > 0, "no answer: {head:?}");
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), head.to_lowercase())
}

/// The next piece of a body of unknown length; none at its end, or when the connection is cut.
fn read_chunk(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = String::new();
    reader.read_line(&mut length).expect("a piece, or the end");
    let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
    if length == 0 {
        return None;
    }
    let mut piece = vec![0; length + 2];
    reader.read_exact(&mut piece).ok()?;
    piece.truncate(length);
    Some(piece)
}
