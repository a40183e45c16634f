//! Runs behind proxies, with the very text of docs/OPERATING.md: a worker trains through each, and what
//! browsers fetch passes. Where a proxy is not installed its test says so and proves nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::process::{Invitation, TIMEOUT, herd, project, worker};
use tests::{https, raw};

/// What the documents call the coordinator, and where it listens there.
const NAME: &str = "herd.example.org";
const COORDINATOR: &str = "127.0.0.1:7700";

/// The recipe of docs/OPERATING.md in this language.
fn recipe(language: &str) -> String {
    let text = fs::read_to_string(project().join("docs/OPERATING.md")).unwrap();
    let start = format!("```{language}\n");
    let (_, rest) = text.split_once(&start).expect("the recipe stands there");
    let (recipe, _) = rest.split_once("```").expect("the recipe ends");
    recipe.to_owned()
}

/// Replaces what stands in a text once.
#[track_caller]
fn with(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} stands once in {text}");
    text.replace(old, new)
}

/// The path of a program, or a sentence that it is not there.
fn installed(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        #[allow(clippy::print_stderr, reason = "a test that proves nothing says so")]
        {
            eprintln!("skipped: {program} is not installed (`cargo xtask setup` does that)");
        }
    }
    found
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A proxy that runs. It is killed when this is dropped.
struct Proxy(Child);

impl Proxy {
    /// Starts it and waits until somebody listens at all of these ports.
    fn start(command: &mut Command, folder: &Path, ports: &[u16]) -> Self {
        let log = fs::File::create(folder.join("proxy.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut proxy = Self(command.spawn().unwrap());
        let deadline = Instant::now() + TIMEOUT;
        let ready = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
        while !ports.iter().all(ready) {
            let ended = proxy.0.try_wait().unwrap();
            let log = || fs::read_to_string(folder.join("proxy.log")).unwrap_or_default();
            assert!(ended.is_none(), "{command:?} ended: {}", log());
            assert!(Instant::now() < deadline, "{command:?} does not listen: {}", log());
            // Nothing tells when a port is open: it is asked again.
            sleep(Duration::from_millis(50));
        }
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A coordinator behind a proxy that `begin` starts; a worker that is given what `begin` gives, besides
/// where it connects to, trains through it.
fn drive(begin: impl FnOnce(&Path, &str) -> (Proxy, Vec<Front>)) {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--json", "--workers", "0", "--min-workers", "2", "--epochs", "2"];
    let names = ["--trusted-proxy", "127.0.0.1", "--allow-host", NAME];
    let mut herd = herd(&[&flags[..], &names].concat()).folder(folder.path()).start();
    let invitation = herd.invitation();
    let (_proxy, fronts) = begin(folder.path(), invitation.host());
    assert_eq!(fronts.len(), 2, "two workers train");
    for front in &fronts {
        front.check(&invitation);
    }
    let workers: Vec<_> = fronts
        .iter()
        .map(|front| {
            let mut arguments = vec![front.address.as_str(), "--token", &invitation.token];
            arguments.extend(["--once", "--device", "cpu"]);
            let call = worker(&arguments);
            let call = match &front.authority {
                Some(authority) => call.env("SSL_CERT_FILE", authority),
                None => call,
            };
            call.start()
        })
        .collect();
    for worker in workers {
        worker.finish().assert_worker_ended("the run is complete");
    }
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["samples"], 2 * 7200, "{summary}");
    assert_eq!(summary["workers"].as_array().unwrap().len(), 2, "{summary}");
}

/// One way in.
struct Front {
    /// For workers.
    address: String,
    /// Whose certificates are believed there.
    authority: Option<PathBuf>,
}

impl Front {
    fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let (_, host) = self.address.split_once("://").unwrap();
        let Some(authority) = &self.authority else { return plain(host, path, headers) };
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match https::get(host, path, headers, authority) {
                Ok(answer) => return answer,
                // Its certificate may not be made yet.
                Err(error) => assert!(Instant::now() < deadline, "{host}: {error}"),
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// What browsers fetch comes through as it is.
    fn check(&self, invitation: &Invitation) {
        let bearer = format!("authorization: Bearer {}\r\n", invitation.token);
        let (code, status) = self.get("/v1/status", &bearer);
        assert!(code == 200 && status.contains("\"state\":\"waiting\""), "{status}");
        assert_eq!(self.get("/v1/status", "").0, 401, "no token, no status");
        let foreign = self.get("/v1/status", "origin: https://evil.example\r\n");
        assert_eq!(foreign.0, 403, "{foreign:?}");

        let (_, page) = self.get("/join", "");
        let lower = page.to_lowercase();
        assert!(lower.contains("content-security-policy: default-src 'none'"), "{page}");
        if !coordinator::server::page_is_built() {
            assert!(page.contains("cargo xtask wasm"), "{page}");
            return;
        }
        let (_, rest) = page.split_once("src=\"").expect("the page has a script");
        let (script, _) = rest.split_once('"').unwrap();
        let (_, direct) = plain(invitation.host(), script, "");
        let (code, through) = self.get(script, "");
        assert!(code == 200 && through.contains("immutable"), "it may be kept: {through}");
        let body = |answer: &str| answer.split_once("\r\n\r\n").map(|(_, body)| body.len());
        assert_eq!(body(&through), body(&direct), "{script} came whole");
    }
}

fn plain(host: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = raw::tcp_to(host);
    let request = format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().unwrap(), answer)
}

#[test]
fn a_run_behind_caddy() {
    let Some(program) = installed("caddy") else { return };
    drive(|folder, coordinator| {
        let port = free_port();
        let site = format!("https://localhost:{port} {{\n\ttls internal");
        let site = with(&recipe("caddy"), &format!("{NAME} {{"), &site);
        let site = with(&site, COORDINATOR, coordinator);
        // Without its own plain ports, its list of trusted authorities, and its folder at home.
        let storage = folder.join("caddy");
        let options = format!(
            "{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tstorage \
             file_system {}\n}}\n",
            storage.display()
        );
        let file = folder.join("Caddyfile");
        fs::write(&file, options + &site).unwrap();
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&file).args(["--adapter", "caddyfile"]);
        command.env("HOME", folder);
        let proxy = Proxy::start(&mut command, folder, &[port]);
        let authority = storage.join("pki/authorities/local/root.crt");
        let front = || Front {
            address: format!("wss://localhost:{port}"),
            authority: Some(authority.clone()),
        };
        (proxy, vec![front(), front()])
    });
}

#[test]
fn a_run_behind_nginx() {
    let Some(program) = installed("nginx") else { return };
    drive(|folder, coordinator| {
        let (secure, open) = (free_port(), free_port());
        let certificate = certificate(folder);
        let key = certificate.with_file_name("tls-key.pem");
        let site = with(
            &recipe("nginx"),
            "listen 443 ssl;",
            &format!("listen 127.0.0.1:{secure} ssl; listen 127.0.0.1:{open};"),
        );
        let site = with(&site, &format!("server_name {NAME};"), "server_name localhost;");
        let letsencrypt = |name: &str| format!("/etc/letsencrypt/live/{NAME}/{name}.pem");
        let site = with(&site, &letsencrypt("fullchain"), &certificate.display().to_string());
        let site = with(&site, &letsencrypt("privkey"), &key.display().to_string());
        let site = with(&site, COORDINATOR, coordinator);
        let place = folder.display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .collect();
        let file = folder.join("nginx.conf");
        let text = format!(
            "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nerror_log stderr;\nevents \
             {{}}\nhttp {{\naccess_log off;\n{paths}{site}}}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-c").arg(&file).args(["-e", "stderr"]);
        let proxy = Proxy::start(&mut command, folder, &[secure, open]);
        let fronts = vec![
            Front { address: format!("wss://localhost:{secure}"), authority: Some(certificate) },
            Front { address: format!("ws://localhost:{open}"), authority: None },
        ];
        (proxy, fronts)
    });
}

/// A certificate for localhost, as a run makes it.
fn certificate(folder: &Path) -> PathBuf {
    let flags = ["train", "--workers", "0", "--run-dir", "made", "--tls", "self-signed"];
    let mut herd = herd(&flags).folder(folder).start();
    herd.invitation();
    folder.join("made/tls-cert.pem")
}
