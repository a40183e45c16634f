//! Runs over TLS: certificates that they make and that are given, workers that believe them or do not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use tests::process::{Invitation, Running, TIMEOUT, herd, signal, worker};
use tests::{https, raw};

/// The file of a run's own certificate.
const CERTIFICATE: &str = "run/tls-cert.pem";

/// A run with a certificate of its own, and no local workers.
fn self_signed(folder: &Path, flags: &[&str]) -> (Running, Invitation) {
    let all = ["train", "--json", "--workers", "0", "--run-dir", "run", "--tls", "self-signed"];
    let mut herd = herd(&[&all[..], flags].concat()).folder(folder).start();
    let invitation = herd.invitation();
    (herd, invitation)
}

fn arguments<'a>(invitation: &'a Invitation, more: &[&'a str]) -> Vec<&'a str> {
    let all = [&invitation.address, "--token", &invitation.token, "--once", "--device", "cpu"];
    [&all[..], more].concat()
}

#[test]
fn a_worker_trains_over_tls_with_a_certificate_that_it_knows_by_its_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let (mut herd, invitation) = self_signed(folder.path(), &["--epochs", "2"]);
    let fingerprint = invitation.fingerprint.clone().expect("it is printed with the command");
    herd.wait_for(&format!("tls     self-signed, SHA-256 {fingerprint}"));
    assert!(invitation.address.starts_with("wss://127.0.0.1:"), "{invitation:?}");

    // Who does not know it, or another one, does not tell it the token.
    let mut call = worker(&arguments(&invitation, &[]));
    call.run().assert_refused(2, &["is not believed", "--fingerprint", "SSL_CERT_FILE"]);
    let other = fingerprint.chars().rev().collect::<String>();
    call = worker(&arguments(&invitation, &["--fingerprint", &other]));
    call.run().assert_refused(2, &["another fingerprint", "ask who runs it"]);
    let plain = Invitation {
        address: invitation.address.replace("wss://", "ws://"),
        fingerprint: None,
        ..invitation.clone()
    };
    call = worker(&arguments(&plain, &[]));
    call.run().assert_refused(2, &["speaks https and wss only", "wss:// instead of ws://"]);
    call = worker(&arguments(&plain, &["--fingerprint", &fingerprint]));
    call.run().assert_refused(2, &["--fingerprint belongs to wss://"]);
    let file = folder.path().join(CERTIFICATE);
    let known = worker(&arguments(&invitation, &[])).env("SSL_CERT_FILE", &file).start();
    let pinned = invitation.worker("pinned").start();

    pinned.finish().assert_worker_ended("the run is complete");
    known.finish().assert_worker_ended("the run is complete");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["samples"], 2 * 7200, "{summary}");
    assert_eq!(summary["workers"].as_array().unwrap().len(), 2, "{summary}");
}

#[test]
fn a_run_that_goes_on_keeps_its_certificate_and_local_workers_need_none() {
    let folder = tempfile::tempdir().unwrap();
    let (mut herd_process, invitation) = self_signed(folder.path(), &["--epochs", "1000000"]);
    let worker = invitation.worker("faithful").start();
    herd_process.wait_for("epoch   1/");
    signal(herd_process.id(), "TERM");
    assert_eq!(herd_process.finish().code, Some(143));
    let flags = ["train", "--resume", "run", "--workers", "1"];
    let mut again = herd(&flags).folder(folder.path()).start();
    let after = again.invitation();
    assert_eq!(
        (&after.address, &after.fingerprint),
        (&invitation.address, &invitation.fingerprint)
    );
    // From elsewhere and from here.
    for _ in 0..2 {
        let joined = again.wait_for(" joined");
        assert!(joined == "faithful joined" || joined == "local-1 joined", "{joined}");
    }
    again.wait_for("epoch ");
    again.interrupt();
    worker.finish().assert_worker_said_last("the run was stopped");
    let finished = again.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = fs::metadata(folder.path().join("run/tls-key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600, "nobody else reads the key");
    }
}

/// Certificate and key that a run has made, as files of somebody's own.
fn made(folder: &Path) -> [PathBuf; 2] {
    fs::create_dir_all(folder).unwrap();
    let (_herd, _) = self_signed(folder, &[]);
    ["run/tls-cert.pem", "run/tls-key.pem"].map(|name| folder.join(name))
}

#[test]
fn a_certificate_from_files_is_read_again_when_it_changes_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let first = made(&folder.path().join("first"));
    let second = made(&folder.path().join("second"));
    let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let put = |from: &[PathBuf; 2]| {
        for (from, to) in from.iter().zip(&files) {
            fs::copy(from, to).unwrap();
        }
    };
    put(&first);
    let flags = ["train", "--workers", "0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let flags = [&flags[..], &["--epochs", "1000000"]].concat();
    let mut herd = herd(&flags).folder(folder.path()).start();
    let invitation = herd.invitation();
    assert_eq!(invitation.fingerprint, None, "an authority may have signed it");
    // The first name of the certificate that is one of a host.
    assert!(invitation.address.starts_with("wss://localhost:"), "{invitation:?}");
    let host = invitation.host().to_owned();
    let bearer = format!("authorization: Bearer {}\r\n", invitation.token);
    let ask = |certificate: &Path| https::get(&host, "/v1/status", &bearer, certificate);
    assert!(ask(&first[0]).unwrap().0 == 200);
    ask(&second[0]).unwrap_err();
    let joined = worker(&arguments(&invitation, &["--name", "early"]))
        .env("SSL_CERT_FILE", &first[0])
        .start();
    herd.wait_for("early joined");

    fs::write(&files[0], "no certificate").unwrap();
    signal(herd.id(), "HUP");
    let warning = herd.wait_for("warning: the certificate stays as it was");
    assert!(warning.contains("cert.pem: holds no certificate in PEM form"), "{warning}");
    assert!(ask(&first[0]).unwrap().0 == 200, "the one from before stays");

    put(&second);
    signal(herd.id(), "HUP");
    herd.wait_for("the certificate was read again: SHA-256 ");
    assert!(ask(&second[0]).unwrap().0 == 200);
    ask(&first[0]).unwrap_err();
    // Without a signal too, a little later.
    put(&first);
    herd.wait_for("the certificate was read again: SHA-256 ");
    assert!(ask(&first[0]).unwrap().0 == 200);
    // Nobody who is connected notices.
    herd.interrupt();
    joined.finish().assert_worker_ended("the run was stopped");
    drop(herd);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let refused = |flags: &[&str], code: i32, words: &[&str]| {
        let all = [&["train", "--workers", "0"][..], flags].concat();
        herd(&all).folder(folder.path()).run().assert_refused(code, words);
    };
    refused(&["--tls-cert", "gone.pem"], 3, &["gone.pem: cannot be read"]);
    refused(&["--tls-cert", "gone.pem", "--dry-run"], 3, &["gone.pem: cannot be read"]);
    refused(&["--tls-cert", "empty.pem"], 3, &["empty.pem: holds no certificate in PEM form"]);
    refused(&["--tls-key", "empty.pem"], 2, &["--tls-key", "give --tls-cert"]);
    refused(
        &["--tls", "self-signed", "--tls-cert", "empty.pem"],
        2,
        &["--tls-cert", "self-signed"],
    );
    refused(&["--tls", "yes"], 2, &["--tls: server.tls", "self-signed"]);
    refused(&["--trusted-proxy", "nginx"], 2, &["--trusted-proxy", "10.0.0.0/8"]);
    refused(&["--allow-host", "http://a"], 2, &["--allow-host", "without http://"]);
    assert!(!folder.path().join("runs").exists(), "nothing is left behind");
}

#[test]
fn a_tls_port_is_not_held_by_who_speaks_something_else_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = self_signed(folder.path(), &[]);
    let mut plain = raw::tcp(&invitation);
    plain.write_all(b"GET /join HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let answer = raw::answer(&mut plain).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("write https://"), "{answer}");
    assert_eq!(plain.read(&mut [0]).unwrap(), 0, "it is closed");

    // TLS 1.1, in a short hello: version, random, no session, one cipher, no compression, one kind of
    // signature.
    let mut old = raw::tcp(&invitation);
    let kinds = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let hello = [&[3, 2][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0], &kinds].concat();
    let message = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    old.write_all(&[&[22, 3, 1, 0, message.len() as u8][..], &message].concat()).unwrap();
    let mut alert = [0; 7];
    old.read_exact(&mut alert).unwrap();
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70), "fatal: protocol version; {alert:?}");

    // Silence, and half a hello.
    let silent = raw::tcp(&invitation);
    let mut half = raw::tcp(&invitation);
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    for (name, stream) in [("silent", silent), ("half", half)] {
        assert_closed(name, stream);
    }
    let file = folder.path().join(CERTIFICATE);
    let page = https::get(invitation.host(), "/nothing", "", &file).unwrap();
    assert_eq!(page.0, 404, "{page:?}");
}

#[track_caller]
fn assert_closed(name: &str, mut stream: TcpStream) {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        // A close with bytes that nobody read arrives as a reset.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{name}: {error}"),
        Ok(_) => assert!(!said.starts_with(b"HTTP/1.1 2"), "{name}: it was let in"),
    }
}

#[test]
fn a_worker_that_asks_for_tls_where_there_is_none_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = herd(&["train", "--workers", "0"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    let address = invitation.address.replace("ws://", "wss://");
    let secure = Invitation { address, ..invitation };
    let fingerprint = "0".repeat(64);
    let finished = worker(&arguments(&secure, &["--fingerprint", &fingerprint])).run();
    finished.assert_refused(2, &["does not speak TLS", "ws:// instead of wss://"]);
    let none = folder.path().join("none.pem");
    fs::write(&none, "").unwrap();
    let finished =
        worker(&arguments(&secure, &[])).env("SSL_CERT_FILE", &none).env("SSL_CERT_DIR", "").run();
    finished.assert_refused(2, &["lists no authorities", "ca-certificates", "--fingerprint"]);
}

#[test]
fn an_open_port_without_tls_is_warned_of_unless_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    // What is said before how to join, and after.
    let said = |flags: &[&str]| {
        let all = [&["train", "--workers", "0", "--listen", "0.0.0.0:0"][..], flags].concat();
        let mut herd = herd(&all).folder(folder.path()).start();
        let invitation = herd.invitation();
        herd.wait_for("model   ");
        herd.interrupt();
        (invitation, herd.finish().error)
    };
    let (invitation, error) = said(&[]);
    assert!(error.starts_with("warning: others can reach this port"), "{error}");
    for remedy in ["--tls self-signed", "--tls-cert FILE", "--insecure"] {
        assert!(error.lines().next().unwrap_or_default().contains(remedy), "{error}");
    }
    assert!(!invitation.address.contains("0.0.0.0"), "others cannot reach that: {invitation:?}");
    for flags in [&["--insecure"][..], &["--tls", "self-signed"]] {
        let (_, error) = said(flags);
        assert!(!error.contains("warning"), "{flags:?}: {error}");
    }
    let (invitation, _) = said(&["--tls", "self-signed"]);
    assert!(invitation.address.starts_with("wss://"), "{invitation:?}");
}
