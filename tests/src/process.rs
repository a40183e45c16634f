//! Real processes for end-to-end tests: `herd` and `herd-worker` as they were built beside the test.
//!
//! Nothing here sleeps and hopes: a test waits for a line, or for the end of a process, and when
//! neither comes in time the process is killed and what it said is shown.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Longest wait for anything: many times what a busy machine needs.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// How both programs are built, with the features that the tests are built with.
const BUILD: &str = "cargo build --release --workspace --all-targets";

/// `herd` with these arguments.
#[must_use]
pub fn herd(arguments: &[&str]) -> Call {
    Call::new("herd", arguments)
}

/// `herd-worker` with these arguments.
#[must_use]
pub fn worker(arguments: &[&str]) -> Call {
    Call::new("herd-worker", arguments)
}

/// Keeps the user's own settings for `herd` out of a command.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HERD_") {
            command.env_remove(name);
        }
    }
}

/// The folder of the whole project.
///
/// # Panics
/// When the test does not run under cargo.
#[must_use]
pub fn project() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("tests run under cargo");
    Path::new(&manifest).parent().expect("tests/ has a parent").to_owned()
}

/// A program that is about to be started.
#[derive(Debug)]
pub struct Call {
    command: Command,
    what: String,
    input: Option<Vec<u8>>,
}

impl Call {
    fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(built(program));
        // A group of its own, as a shell gives each of its commands.
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        without_settings(&mut command);
        // Mesa's layer for choosing a display's GPU complains where there is no display.
        command.env("NODEVICE_SELECT", "1");
        Self { command, what: format!("{program} {}", arguments.join(" ")), input: None }
    }

    /// Starts in this folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives this on standard input.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = Some(bytes.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(mut self) -> Running {
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let (lines, said) = channel();
        collect(child.stdout.take().expect("it is piped"), Stream::Output, lines.clone());
        collect(child.stderr.take().expect("it is piped"), Stream::Error, lines);
        if let (Some(bytes), Some(pipe)) = (self.input, child.stdin.take()) {
            feed(pipe, bytes);
        }
        let (output, error) = (String::new(), String::new());
        Running { child, what: self.what, said, output, error, searched: 0 }
    }

    /// Runs it to its end.
    #[must_use]
    #[track_caller]
    pub fn run(self) -> Finished {
        self.start().finish()
    }

    /// Runs it to its end, which must be a success.
    #[must_use]
    #[track_caller]
    pub fn succeed(self) -> Finished {
        let finished = self.run();
        assert_eq!(finished.code, Some(0), "{finished}");
        finished
    }

    /// The bare command, for tests that need other pipes.
    #[must_use]
    pub fn command(self) -> Command {
        self.command
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Output,
    Error,
}

fn collect(pipe: impl Read + Send + 'static, stream: Stream, lines: Sender<(Stream, String)>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            // The test may have ended already.
            if lines.send((stream, text)).is_err() {
                return;
            }
        }
    });
}

fn feed(mut pipe: ChildStdin, bytes: Vec<u8>) {
    thread::spawn(move || {
        // A process that ends early closes its end, which its test will notice otherwise.
        let _ = pipe.write_all(&bytes);
    });
}

/// A process that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    what: String,
    said: Receiver<(Stream, String)>,
    output: String,
    error: String,
    /// How much of `error` earlier waits have passed.
    searched: usize,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Output => "stdout",
            Self::Error => "stderr",
        })
    }
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line on standard error that contains `words`.
    ///
    /// # Panics
    /// When the process ends before, or time runs out.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            while let Some(length) = self.error[self.searched..].find('\n') {
                let line = self.error[self.searched..][..length].to_owned();
                self.searched += length + 1;
                if line.contains(words) {
                    return line;
                }
            }
            if !self.hear(deadline) {
                self.fail(&format!("no line with {words:?} came"));
            }
        }
    }

    /// Waits until a coordinator says how to join.
    #[track_caller]
    pub fn invitation(&mut self) -> Invitation {
        let line = self.wait_for("join    herd-worker ");
        match Invitation::in_line(&line) {
            Some(invitation) => invitation,
            None => self.fail(&format!("{line:?} is no invitation")),
        }
    }

    /// Interrupts it as Ctrl-C in a terminal does: together with the processes that it started.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn interrupt(&self) {
        send("INT", &format!("-{}", self.child.id()));
    }

    /// Kills it, with no chance to say goodbye.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running process can be killed");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When time runs out.
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + TIMEOUT;
        while self.hear(deadline) {}
        if Instant::now() >= deadline {
            self.fail("it does not end");
        }
        // Its pipes are closed: it is ending.
        let status = self.child.wait().expect("a child can be waited for");
        let (output, error) = (std::mem::take(&mut self.output), std::mem::take(&mut self.error));
        Finished { what: self.what.clone(), code: status.code(), output, error }
    }

    /// Takes in what it says next; false when it says nothing any more, or time has run out.
    fn hear(&mut self, deadline: Instant) -> bool {
        match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((Stream::Output, line)) => self.output.push_str(&line),
            Ok((Stream::Error, line)) => self.error.push_str(&line),
            Err(_) => return false,
        }
        true
    }

    #[track_caller]
    fn fail(&mut self, problem: &str) -> ! {
        // It may have ended by itself.
        let _ = self.child.kill();
        panic!("{}: {problem}\nstdout: {}\nstderr: {}", self.what, self.output, self.error);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Mostly it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How to join a coordinator's run.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// `ws://HOST:PORT` or `wss://HOST:PORT`.
    pub address: String,
    /// Admits to the run.
    pub token: String,
    /// Of the certificate that the run has made for itself.
    pub fingerprint: Option<String>,
}

impl Invitation {
    /// The invitation that a coordinator's line is, if it is one.
    pub(crate) fn in_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["join", "herd-worker", address, "--token", token, ref more @ ..] = words[..] else {
            return None;
        };
        let fingerprint = match more {
            [] => None,
            ["--fingerprint", digits] => Some((*digits).to_owned()),
            _ => return None,
        };
        Some(Self { address: address.to_owned(), token: token.to_owned(), fingerprint })
    }

    /// `HOST:PORT`.
    ///
    /// # Panics
    /// When the address has another form.
    #[must_use]
    pub fn host(&self) -> &str {
        let (_, host) = self.address.split_once("://").expect("herd prints such addresses");
        host
    }

    /// A worker on the processor's cores, with a name, that follows this invitation once.
    #[must_use]
    pub fn worker(&self, name: &str) -> Call {
        let mut arguments = vec![self.address.as_str(), "--token", &self.token];
        arguments.extend(["--once", "--device", "cpu", "--name", name]);
        if let Some(fingerprint) = &self.fingerprint {
            arguments.extend(["--fingerprint", fingerprint]);
        }
        worker(&arguments)
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    what: String,
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, code, output, error } = self;
        write!(f, "{what} ended with {code:?}\nstdout: {output}\nstderr: {error}")
    }
}

impl Finished {
    /// The one JSON object on standard output.
    ///
    /// # Panics
    /// When there is something else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.output.lines().count(), 1, "one line is expected; {self}");
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}; {self}"))
    }

    /// Panics unless this worker did its work, and said for what reason it ended and nothing else.
    #[track_caller]
    pub fn assert_worker_ended(&self, reason: &str) {
        let said = format!("herd-worker: {reason}\n");
        assert_eq!((self.code, self.error.as_str()), (Some(0), said.as_str()), "{self}");
    }

    /// Panics unless this worker did its work, and ended for that reason; before, it may have told of
    /// lost connections.
    #[track_caller]
    pub fn assert_worker_said_last(&self, reason: &str) {
        let said = format!("herd-worker: {reason}");
        assert_eq!(
            (self.code, self.error.lines().last()),
            (Some(0), Some(said.as_str())),
            "{self}"
        );
    }

    /// Checks that it ended with this code, and that it said one line on standard error, which
    /// starts with the program's name and contains all of `words`, and nothing on standard output.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn assert_refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self}");
        let program = self.what.split(' ').next().unwrap_or_default();
        assert!(self.error.starts_with(&format!("{program}: ")), "who says it? {self}");
        assert_eq!(self.error.lines().count(), 1, "one line is expected; {self}");
        for word in words {
            assert!(self.error.contains(word), "{word:?} is missing; {self}");
        }
        assert_eq!(self.output, "", "{self}");
    }
}

/// Sends a signal, such as `KILL`, to a process.
///
/// # Panics
/// When it cannot be sent.
pub fn signal(process: u32, name: &str) {
    send(name, &process.to_string());
}

fn send(signal: &str, target: &str) {
    // The shell has `kill` built in: no program need be installed.
    let sent = Command::new("sh").arg("-c").arg(format!("kill -s {signal} -- {target}")).status();
    assert!(sent.is_ok_and(|status| status.success()), "{signal} cannot be sent to {target}");
}

/// The processes that `parent` has started and that have not ended.
///
/// # Panics
/// When the system has no `/proc`.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("the tests of processes need /proc");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| status(*id).is_some_and(|(state, of)| of == parent && state != 'Z')).collect()
}

/// Whether a process runs; one that has ended and was not waited for does not.
#[must_use]
pub fn runs(process: u32) -> bool {
    status(process).is_some_and(|(state, _)| state != 'Z')
}

/// A process's state and parent.
fn status(process: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Where a program stands that was built with this test.
fn built(program: &str) -> PathBuf {
    static CHECKED: OnceLock<PathBuf> = OnceLock::new();
    let folder = CHECKED.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own path");
        let folder = test.parent().and_then(Path::parent).expect("tests lie in release/deps");
        for program in ["herd", "herd-worker"] {
            check(&folder.join(program));
        }
        folder.to_owned()
    });
    folder.join(format!("{program}{}", std::env::consts::EXE_SUFFIX))
}

/// A test of an old program would prove nothing: cargo lists beside it what it was built from.
fn check(program: &Path) {
    let executable = program.with_extension(std::env::consts::EXE_EXTENSION);
    let Some(made) = modified(&executable) else {
        panic!("{} is missing: build with `{BUILD}`", executable.display());
    };
    let list = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    for source in list.split_whitespace().skip(1).map(Path::new) {
        if modified(source).is_some_and(|changed| changed > made) {
            let (program, source) = (executable.display(), source.display());
            panic!("{program} is older than {source}: build with `{BUILD}`");
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
