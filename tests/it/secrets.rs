//! Tokens are printed when a run starts, on purpose, and stand nowhere else: in no log, however much is
//! logged, and in no file of the run.

use std::fs;
use std::io::Write;
use std::path::Path;

use tests::process::herd;
use tests::raw;

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

#[test]
fn tokens_are_printed_at_the_start_and_written_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["train", "--workers", "1", "--min-workers", "2", "--epochs", "2", "--run-dir", "run"];
    let call = herd(&flags).env("HERD_LOG", "trace").folder(folder.path());
    let mut herd = call.start();
    let invitation = herd.invitation();
    for request in [
        format!("GET /v1/status?token={} HTTP/1.1\r\nhost: localhost\r\n\r\n", invitation.token),
        format!(
            "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
            invitation.token
        ),
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", invitation.token),
        format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", invitation.token),
    ] {
        let mut stream = raw::tcp(&invitation);
        stream.write_all(request.as_bytes()).unwrap();
        raw::answer(&mut stream).unwrap();
    }
    let worker = invitation.worker("far").env("HERD_LOG", "trace").run();
    assert_eq!(worker.code, Some(0), "{worker}");
    assert!(!contains(worker.error.as_bytes(), &invitation.token), "{worker}");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");

    let (head, rest) = finished.error.split_once("model   ").expect("the head ends");
    // That of workers, and what stands behind the mark in links.
    let links = head.split_whitespace().filter_map(|word| word.split_once('#'));
    let mut tokens: Vec<&str> = links.map(|(_, token)| token).collect();
    tokens.push(&invitation.token);
    assert!(tokens.iter().all(|token| token.len() == 43), "{tokens:?}");
    assert!(rest.contains("DEBUG"), "much is logged: {finished}");
    let mut written = Vec::new();
    files(&folder.path().join("run"), &mut written);
    assert!(written.len() > 5, "the run has files");
    for token in tokens {
        assert!(!rest.contains(token), "{token}: {finished}");
        for (path, bytes) in &written {
            assert!(!contains(bytes, token), "{path} holds {token}");
        }
    }
}
