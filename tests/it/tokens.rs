//! Tokens: made, listed, revoked and over, seen by coordinators, workers and pages that run.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use protocol::ToWorker;
use serde_json::Value;
use tests::process::{self, Finished, Invitation, Running, TIMEOUT, herd};
use tests::raw;
use tests::stranger::{Stranger, hello};

/// A pause between two looks at something that is to come.
const PAUSE: Duration = Duration::from_millis(20);

const UNKNOWN: &str = "the token does not admit to this run";
const REVOKED: &str = "the token was revoked; ask for a new one";
const EXPIRED: &str = "the token has expired; ask for a new one";

/// What a coordinator says at its start.
struct Head {
    invitation: Invitation,
    page: String,
    viewer: String,
    admin: String,
}

impl Head {
    #[track_caller]
    fn of(herd: &mut Running) -> Self {
        let invitation = herd.invitation();
        let page = herd.wait_for("page    ");
        let mut token = |name| {
            let line = herd.wait_for(&format!("{name}   http"));
            line.split_once("/#").expect("a link with a fragment").1.to_owned()
        };
        let (viewer, admin) = (token("watch"), token("admin"));
        Self { invitation, page, viewer, admin }
    }

    fn bearers(&self) -> [(&'static str, &str); 3] {
        [("worker", &self.invitation.token), ("viewer", &self.viewer), ("admin", &self.admin)]
    }

    /// The status and the whole answer to a request with this token.
    #[track_caller]
    fn ask(&self, what: &str, token: Option<&str>) -> (u16, String) {
        ask(&self.invitation, what, token)
    }

    /// Waits until a request with this token is answered so.
    #[track_caller]
    fn wait_for(&self, what: &str, token: &str, expected: u16) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let (status, answer) = self.ask(what, Some(token));
            if status == expected {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what} is not answered {expected}: {answer}");
            thread::sleep(PAUSE);
        }
    }

    /// A native worker with another token than that of the start.
    fn worker(&self, token: &str, name: &str) -> process::Call {
        Invitation { token: token.to_owned(), ..self.invitation.clone() }.worker(name)
    }

    /// Opens a session with this token: none, or why it was refused.
    fn try_session(&self, token: &str, number: u64) -> Result<Stranger, String> {
        let mut stranger = Stranger::connect(&self.invitation);
        stranger.say(&hello(token, number, 0), &[]);
        match stranger.hear() {
            ToWorker::Welcome { .. } => Ok(stranger),
            ToWorker::Refused { reason, retry: false } => Err(reason),
            other => panic!("{other:?} is no answer to Hello"),
        }
    }
}

#[track_caller]
fn ask(invitation: &Invitation, what: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = raw::tcp(invitation);
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let bearer = bearer.unwrap_or_default();
    let host = invitation.host();
    let rest = "connection: close\r\ncontent-length: 0\r\n";
    let request = format!("{what} HTTP/1.1\r\nhost: {host}\r\n{rest}{bearer}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let answer = raw::answer(&mut stream).unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    (status.and_then(|status| status.parse().ok()).expect("a status"), answer)
}

fn command(folder: &Path, arguments: &[&str]) -> Finished {
    herd(&[&["token"], arguments].concat()).folder(folder).run()
}

/// Makes a token, and gives its number and itself.
#[track_caller]
fn make(folder: &Path, arguments: &[&str]) -> (u32, String) {
    let made = command(folder, &[&["make", "--json"], arguments].concat());
    assert_eq!(made.code, Some(0), "{made}");
    let made: Value = serde_json::from_str(&made.output).unwrap();
    let id = u32::try_from(made["id"].as_u64().unwrap()).unwrap();
    (id, made["token"].as_str().unwrap().to_owned())
}

/// The tokens of the newest run.
#[track_caller]
fn list(folder: &Path) -> Vec<Value> {
    let listed = command(folder, &["list", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed}");
    listed.json()["tokens"].as_array().unwrap().clone()
}

/// Numbers, roles and states of all tokens.
fn states(folder: &Path) -> Vec<String> {
    let text = |token: &Value| {
        let [role, state] = [&token["role"], &token["state"]].map(|it| it.as_str().unwrap());
        format!("{} {role} {state}", token["id"])
    };
    list(folder).iter().map(text).collect()
}

fn coordinator(folder: &Path, arguments: &[&str]) -> (Running, Head) {
    let flags = ["train", "--epochs", "1000000", "--device", "cpu"];
    let mut herd = herd(&[&flags, arguments].concat()).folder(folder).start();
    let head = Head::of(&mut herd);
    (herd, head)
}

/// All that wants a token, who may ask for it, and what they are answered.
const REQUESTS: [(&str, &[&str], u16); 13] = [
    ("GET /v1/status", &["worker", "viewer", "admin"], 200),
    ("GET /metrics", &["worker", "viewer", "admin"], 200),
    ("GET /v1/shards/00", &["worker"], 404),
    ("GET /v1/join", &["admin"], 200),
    ("GET /v1/runs", &["admin"], 200),
    ("GET /v1/metrics.csv", &["viewer", "admin"], 200),
    ("GET /v1/metrics.json", &["viewer", "admin"], 200),
    // There is no model yet.
    ("GET /v1/model", &["viewer", "admin"], 404),
    ("GET /v1/predictor", &["worker", "viewer", "admin"], 404),
    ("GET /v1/predictor/parameters", &["worker", "viewer", "admin"], 404),
    ("POST /v1/admin/pause", &["admin"], 200),
    ("POST /v1/admin/resume", &["admin"], 200),
    // It is not paused any more.
    ("POST /v1/admin/resume", &["admin"], 409),
];

#[test]
fn each_role_may_do_its_own_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, head) = coordinator(folder.path(), &["--workers", "0"]);
    for (what, allowed, status) in REQUESTS {
        for (role, token) in head.bearers() {
            let (found, answer) = head.ask(what, Some(token));
            if allowed.contains(&role) {
                assert_eq!(found, status, "{what} for a {role}: {answer}");
            } else {
                let named = answer.contains(&format!("{role}'s token does not allow this"));
                assert!(found == 403 && named, "{what} for a {role}: {answer}");
            }
        }
        // Nothing is wrong with a page that has no token: it may ask as often as it likes.
        for _ in 0..3 {
            let (found, answer) = head.ask(what, None);
            assert!(found == 401 && answer.contains(UNKNOWN), "{what}: {answer}");
        }
        let (found, answer) = head.ask(what, Some("guess"));
        // Who guesses often is told to wait.
        assert!(found == 401 && answer.contains(UNKNOWN) || found == 429, "{what}: {answer}");
    }
    for token in [&head.viewer, &head.admin] {
        let refused = head.try_session(token, 1).unwrap_err();
        assert!(refused.contains("does not let workers in"), "{refused}");
    }
    assert!(head.try_session(&head.invitation.token, 1).is_ok());

    // The links that an admin is given are those of the terminal.
    let (_, answer) = head.ask("GET /v1/join", Some(&head.admin));
    let (answered, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(answered.contains("cache-control: no-store"), "{answered}");
    let body: Value = serde_json::from_str(body).unwrap();
    let links = body["links"].as_array().unwrap();
    let Invitation { address, token, .. } = &head.invitation;
    let host = head.invitation.host();
    assert_eq!((links.len(), &links[0]["label"]), (1, &"this machine".into()), "{body}");
    assert_eq!(links[0]["worker"], format!("herd-worker {address} --token {token}"));
    let page = format!("http://{host}/join#{token}");
    assert_eq!(links[0]["page"], page);
    assert!(head.page.ends_with(&page) || head.page.contains("not in this build"), "{}", head.page);
    let qr = &links[0]["qr"];
    assert!(qr["size"].as_u64() > Some(28) && qr["path"].as_str().unwrap().starts_with("M4 4h7v1"));
}

#[test]
fn wrong_tokens_are_counted_and_right_ones_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, head) = coordinator(folder.path(), &["--workers", "0"]);
    let (id, taken_back) = make(folder.path(), &["--role", "viewer"]);
    assert_eq!(head.ask("GET /v1/status", Some(&taken_back)).0, 200, "it admits at once");
    assert_eq!(command(folder.path(), &["revoke", "latest", &id.to_string()]).code, Some(0));
    head.wait_for("GET /v1/status", &taken_back, 401);
    for _ in 0..5 {
        let (status, answer) = head.ask("GET /v1/status", Some("guess"));
        assert!(status == 401 && answer.contains(UNKNOWN), "{answer}");
    }
    let (status, refused) = head.ask("GET /v1/status", Some("guess"));
    assert_eq!(status, 429, "{refused}");
    assert!(refused.contains("too many wrong tokens came from this address"), "{refused}");
    let wait = refused.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=60).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    for (_, token) in head.bearers() {
        assert_eq!(
            head.ask("GET /v1/status", Some(token)).0,
            200,
            "a right one from the same address"
        );
    }
    let _session = head.try_session(&head.invitation.token, 1).unwrap();
    let guess = head.try_session("guess", 2).unwrap_err();
    assert!(guess.contains(UNKNOWN) && guess.contains("too many wrong ones"), "{guess}");
    // What admitted once is no guess: a class may have an old link.
    let (status, answer) = head.ask("GET /v1/status", Some(&taken_back));
    assert!(status == 401 && answer.contains(REVOKED), "{answer}");
    assert_eq!(head.ask("GET /join", Some("guess")).0, 429, "wherever it is shown");
    assert_eq!(head.ask("GET /v1/status", None).0, 401);
}

#[test]
fn tokens_are_made_listed_and_revoked_while_a_run_goes_on_and_last() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut running, head) = coordinator(folder, &["--workers", "1"]);
    let note = ["--note", "class 9b", "--expires", "7d"];
    let (id, token) = make(folder, &[&["--role", "worker"], &note[..]].concat());
    let (_, viewer) = make(folder, &["--role", "viewer"]);
    assert_eq!(head.ask("GET /metrics", Some(&viewer)).0, 200);
    let worker = head.worker(&token, "pupil").start();
    running.wait_for("pupil joined");
    let mut session = Some(head.try_session(&token, 1).unwrap());

    let table = command(folder, &["list"]).output;
    let row = table.lines().find(|line| line.contains("class 9b")).unwrap();
    assert!(row.starts_with(&format!("{id:>2}  worker  admits ")), "{table}");
    assert!(row.contains("herd token") && table.contains("start 1"), "{table}");
    let all = ["1 worker admits", "2 viewer admits", "3 admin admits", "4 worker admits"];
    assert_eq!(states(folder)[..4], all);

    command(folder, &["revoke", "latest", "4", "77"]).assert_refused(3, &["no token 77"]);
    assert_eq!(states(folder)[..4], all, "one of them is not there: none is revoked");
    let revoked = command(folder, &["revoke", "latest", "4", "1"]).output;
    assert_eq!(revoked, "token 4, worker, is revoked\ntoken 1, worker, is revoked\n");
    let ended = worker.finish();
    assert_eq!((ended.code, ended.error.contains(REVOKED)), (Some(2), true), "{ended}");
    running.wait_for(&format!("pupil left: {REVOKED}"));
    let (code, reason) = session.take().unwrap().closed();
    assert_eq!((code, reason.as_str()), (1008, REVOKED));
    head.worker(&token, "again").run().assert_refused(2, &[REVOKED]);
    let links = head.wait_for("GET /v1/join", &head.admin, 409);
    assert!(links.contains("`herd token make --role worker`"), "{links}");
    // The local worker has a token of its own.
    for _ in 0..2 {
        running.wait_for("epoch ");
    }

    running.interrupt();
    assert_eq!(running.finish().code, Some(130));
    let again = ["token", "revoke", "latest", "4"];
    let again = herd(&again).folder(folder).succeed().output;
    assert_eq!(again, "token 4, worker, was revoked before\n");
    let said = command(folder, &["make", "--role", "admin"]);
    assert!(said.error.contains("the run is not going on"), "{said}");
    let flags = ["train", "--resume", "--workers", "0", "--min-workers", "1"];
    let mut resumed = herd(&flags).folder(folder).start();
    let after = Head::of(&mut resumed);
    let status = |token: &str| after.ask("GET /v1/status", Some(token)).0;
    assert_eq!([&viewer, &head.viewer, &head.admin].map(|token| status(token)), [200; 3]);
    assert_eq!([&token, &head.invitation.token].map(|token| status(token)), [401; 2]);
    assert_eq!(after.bearers().map(|(_, token)| status(token)), [200; 3], "and the new ones");
    assert_eq!(states(folder).len(), 3 + 2 + 1 + 3);
    let shown = herd(&["runs", "show", "latest", "--json"]).folder(folder).succeed().json();
    let acts: Vec<&str> =
        shown["acts"].as_array().unwrap().iter().filter_map(|act| act["act"].as_str()).collect();
    assert!(acts[0].starts_with("made token 4, worker until "), "{acts:?}");
    let rest = ["revoked token 4, worker", "revoked token 1, worker"];
    assert_eq!((acts.len(), &acts[2..4]), (5, &rest[..]), "{acts:?}");
}

#[test]
fn a_token_admits_for_its_time_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, head) = coordinator(folder.path(), &["--workers", "0"]);
    let (_, token) = make(folder.path(), &["--role", "worker", "--expires", "8s"]);
    let session = head.try_session(&token, 1).expect("less than eight seconds have passed");
    assert_eq!(session.closed(), (1008, EXPIRED.to_owned()));
    assert_eq!(head.try_session(&token, 1).unwrap_err(), EXPIRED);
    let (status, answer) = head.ask("GET /v1/status", Some(&token));
    assert!(status == 401 && answer.contains(EXPIRED), "{answer}");
    assert_eq!(states(folder.path()).last().unwrap(), "4 worker expired");
}

#[test]
fn links_of_an_encrypted_run_say_what_to_believe() {
    let folder = tempfile::tempdir().unwrap();
    let encrypted = ["--workers", "0", "--tls", "self-signed"];
    let (mut running, _) = coordinator(folder.path(), &encrypted);
    let made = command(folder.path(), &["make", "--role", "worker"]).output;
    assert!(made.contains("page    https://"), "{made}");
    let line = made.lines().find_map(|line| line.strip_prefix("join    herd-worker ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[0].starts_with("wss://") && words[3] == "--fingerprint", "{made}");
    let flags = ["--once", "--device", "cpu", "--name", "guest"];
    let _worker = process::worker(&[&words[..], &flags].concat()).start();
    running.wait_for("guest joined");
}

#[test]
fn mistakes_are_answered_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    command(folder, &["list"]).assert_refused(3, &["latest", "there is no such run"]);
    let long = "x".repeat(61);
    for (arguments, words) in [
        (&["make"][..], &["--role", "`herd token make --help`"][..]),
        (&["make", "--role", "king"], &["king", "worker, viewer, admin"]),
        (&["make", "--role", "worker", "--expires", "soon"], &["soon", "90s, 10m, 1h30m or 7d"]),
        (&["make", "--role", "worker", "--note", &long], &["--note", "at most 60 characters"]),
        (&["make", "--role", "worker", "--note", "a\nb"], &["--note", "on one line"]),
        (&["revoke", "latest"], &["<ID>", "`herd token revoke --help`"]),
        (&["revoke", "latest", "one"], &["one", "`herd token revoke --help`"]),
    ] {
        command(folder, arguments).assert_refused(2, words);
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Whether any of these forms of a token stands in there.
fn holds(content: &[u8], forms: &[Vec<u8>]) -> bool {
    forms.iter().any(|form| content.windows(form.len()).any(|window| window == form))
}

#[test]
fn no_token_is_written_down_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let flags =
        ["train", "--epochs", "1000000", "--device", "cpu", "--workers", "1", "--tensorboard"];
    let checkpoints = ["--set", "training.checkpoint_interval=1", "--run-dir", "run"];
    let call = herd(&[&flags[..], &checkpoints].concat()).folder(folder).env("HERD_LOG", "trace");
    let mut running = call.start();
    let head = Head::of(&mut running);
    running.wait_for("local-1 joined");
    let local = process::children(running.id()).into_iter().find_map(|child| {
        let variables = fs::read(format!("/proc/{child}/environ")).unwrap();
        let all = String::from_utf8_lossy(&variables).into_owned();
        all.split('\0').find_map(|one| one.strip_prefix("HERD_TOKEN=").map(str::to_owned))
    });
    let local = local.expect("a local worker has a token");
    assert_eq!(head.ask("GET /v1/status", Some(&local)).0, 200);
    let (id, made) = make(folder, &["run", "--role", "worker"]);
    let worker = head.worker(&made, "guest").env("HERD_LOG", "trace").start();
    running.wait_for("guest joined");
    for (_, token) in head.bearers() {
        assert_eq!(head.ask("GET /v1/status", Some(token)).0, 200);
    }
    assert_eq!(head.ask("GET /v1/status", Some("a-wrong-token-that-is-shown")).0, 401);
    running.wait_for("epoch ");
    let listed = command(folder, &["list", "run", "--json"]).output
        + &command(folder, &["list", "run"]).output;
    let _ = herd(&["token", "revoke", "run", &id.to_string()]).folder(folder).succeed();
    let worker = worker.finish();
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
    let shown = herd(&["runs", "show", "run", "--json"]).folder(folder).succeed().output;

    let tokens = head.bearers().map(|(_, token)| token).into_iter().chain([&*local, &made]);
    let forms: Vec<Vec<u8>> = tokens
        .flat_map(|token| {
            let bits = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
            let hex = data_encoding::HEXLOWER.encode(&bits).into_bytes();
            [token.as_bytes().to_owned(), bits, hex]
        })
        .collect();
    assert!(holds(finished.error.as_bytes(), &forms), "what is looked for can be found");
    // The lines that give a token out, and they alone.
    let given = ["join ", "page ", "watch ", "admin "];
    let rest: String = finished
        .error
        .lines()
        .filter(|line| !given.iter().any(|name| line.starts_with(name)))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(rest.contains("DEBUG"), "the log is there: {rest}");
    let guest = format!("{}{}", worker.error, worker.output);
    for (name, text) in [
        ("standard error", &rest),
        ("standard output", &finished.output),
        ("a worker", &guest),
        ("herd token list", &listed),
        ("herd runs show", &shown),
    ] {
        assert!(!holds(text.as_bytes(), &forms), "{name}: {text}");
        assert!(!text.contains("a-wrong-token-that-is-shown"), "{name}: {text}");
    }
    let files = files(&folder.join("run"));
    let names = ["run.db", "report.html", "audit.jsonl", "metrics.jsonl", "config.toml"];
    for name in names {
        assert!(files.iter().any(|file| file.ends_with(name)), "{name}: {files:?}");
    }
    assert!(files.iter().any(|file| file.to_string_lossy().contains("tfevents")), "{files:?}");
    for file in &files {
        assert!(!holds(&fs::read(file).unwrap(), &forms), "{}", file.display());
    }
    let mode = fs::metadata(folder.join("run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else looks into a run");
}
