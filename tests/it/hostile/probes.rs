//! What scanners and foreign pages try, after OWASP's lists: foreign names and origins, paths that lead
//! out, bodies and requests of odd shapes, headers that a proxy should have written.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use tests::process::{Invitation, Running, TIMEOUT, herd};
use tests::raw;

/// A name that the coordinator is told to answer to.
const NAME: &str = "herd.example.org";

fn coordinator(folder: &tempfile::TempDir, flags: &[&str]) -> (Running, Invitation) {
    let all = [&["train", "--workers", "0", "--allow-host", NAME][..], flags].concat();
    let mut herd = herd(&all).folder(folder.path()).start();
    let invitation = herd.invitation();
    (herd, invitation)
}

/// A request that is expected to be answered with a status and words.
struct Probe {
    name: &'static str,
    request: String,
    status: &'static str,
    words: &'static str,
}

fn probe(name: &'static str, request: String, status: &'static str, words: &'static str) -> Probe {
    Probe { name, request, status, words }
}

#[track_caller]
fn assert_refused(invitation: &Invitation, probes: Vec<Probe>) {
    let mut findings = Vec::new();
    for Probe { name, request, status, words } in probes {
        let answer = raw::ask(invitation, &request);
        let told = answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(words);
        if !told {
            findings.push(format!("{name}: {answer:?}, not {status} {words:?}"));
        }
        let lower = answer.to_lowercase();
        // Refusals are for nobody's page to read, and say nothing of what answers.
        for header in ["access-control-", "\r\nserver:", "\r\nx-powered-by:", "\r\nset-cookie:"] {
            if lower.contains(header) {
                findings.push(format!("{name}: an answer has {header:?}: {answer:?}"));
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn names_and_pages_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder, &[]);
    let here = invitation.host();
    let port = here.rsplit_once(':').unwrap().1;
    let get = |host: &str| format!("GET /join HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let upgrade = raw::upgrade(&invitation, "herd.1");
    let from =
        |origin: &str| upgrade.replacen("\r\n\r\n", &format!("\r\norigin: {origin}\r\n\r\n"), 1);
    let at = |host: &str| upgrade.replacen(&format!("host: {here}"), &format!("host: {host}"), 1);
    let post = |path: &str, origin: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {here}\r\norigin: {origin}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
            invitation.token
        )
    };
    let preflight = format!(
        "OPTIONS /v1/status HTTP/1.1\r\nhost: {here}\r\norigin: http://evil.example\r\n\
         access-control-request-method: GET\r\naccess-control-request-headers: authorization\r\n\r\n"
    );
    let answers = |status: &'static str, words: &'static str| (status, words);
    let (misdirected, foreign) =
        (answers("421", "--allow-host evil.example"), answers("403", "a page of"));
    assert_refused(
        &invitation,
        vec![
            probe("a name that was rebound", get("evil.example"), misdirected.0, misdirected.1),
            probe("with the port", get(&format!("evil.example:{port}")), "421", ""),
            probe("one that begins well", get("localhost.evil.example"), "421", ""),
            probe("an upgrade for it", at("evil.example"), misdirected.0, misdirected.1),
            probe(
                "a whole address",
                format!("GET http://evil.example/join HTTP/1.1\r\nhost: {here}\r\n\r\n"),
                "421",
                "",
            ),
            probe("no host", "GET /join HTTP/1.1\r\n\r\n".to_owned(), "400", "one header Host"),
            probe(
                "two hosts",
                format!("GET /join HTTP/1.1\r\nhost: {here}\r\nhost: evil.example\r\n\r\n"),
                "400",
                "",
            ),
            probe("a name and password", get(&format!("localhost@{here}")), "400", ""),
            probe("no name at all", get("/etc/passwd"), "400", ""),
            probe("another page's WebSocket", from("http://evil.example"), foreign.0, foreign.1),
            probe("a page without origin", from("null"), "403", ""),
            probe("another port's page", from("http://127.0.0.1:1"), "403", ""),
            probe("a page of localhost", from(&format!("http://localhost:{port}")), "403", ""),
            probe(
                "a name that ends well",
                from(&format!("https://{NAME}.evil.example")),
                "403",
                "",
            ),
            probe("another page's act", post("/v1/admin/stop", "http://evil.example"), "403", ""),
            probe("another page's question", preflight, "403", ""),
            probe("its own WebSocket", from(&format!("http://{here}")), "101", "herd.1"),
            probe("by way of TLS elsewhere", from(&format!("https://{here}")), "101", ""),
            probe("its own name's", from(&format!("https://{NAME}")), "101", ""),
            probe("its own name", at(NAME), "101", ""),
            probe("localhost", at(&format!("localhost:{port}")), "101", ""),
            probe("another address", at("192.0.2.1:80"), "101", ""),
        ],
    );
}

#[test]
fn paths_methods_and_bodies_of_odd_shapes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder, &[]);
    let host = invitation.host();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let paths = [
        "/assets/../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/..%5c..%5cwindows/win.ini",
        "/assets/%252e%252e%252fetc/passwd",
        "/assets/a/%00",
        "/assets//etc/passwd",
        "/v1/shards/..%2f..%2fconfig.toml",
        "/v1/shards/../../runs/latest/run.db",
        "/.git/config",
        "/.env",
        "/config.toml",
        "/run.db",
        "/tls-key.pem",
        "/runs/latest/tls-key.pem",
        "/server-status",
        "/debug/pprof/",
        "/index.php?page=../../etc/passwd",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ];
    let mut findings = Vec::new();
    for path in paths {
        let answer = raw::ask(&invitation, &get(path));
        let status = answer.get(9..12).unwrap_or_default();
        if !["400", "401", "404"].contains(&status) || answer.contains("<script>") {
            findings.push(format!("{path}: {answer:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");

    let with = |method: &str, path: &str, headers: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n")
    };
    let bearer = format!("authorization: Bearer {}\r\n", invitation.token);
    let stolen = format!("/v1/status?token={}", invitation.token);
    let smuggled = "0\r\n\r\nGET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_refused(
        &invitation,
        vec![
            probe("TRACE", with("TRACE", "/join", ""), "405", ""),
            probe("DELETE", with("DELETE", "/v1/status", &bearer), "405", ""),
            probe(
                "CONNECT",
                format!("CONNECT evil.example:443 HTTP/1.1\r\nhost: {host}\r\n\r\n"),
                "4",
                "",
            ),
            probe("no method", with("FOO BAR", "/join", ""), "400", ""),
            probe("HTTP/9", format!("GET /join HTTP/9.9\r\nhost: {host}\r\n\r\n"), "400", ""),
            probe("a long address", get(&format!("/{}", "a".repeat(70_000))), "431", ""),
            probe("a header in a header", with("GET", "/join", "x: a\r\n b: c\r\n"), "400", ""),
            probe("a name with a space", with("GET", "/join", "x y: z\r\n"), "400", ""),
            probe("a token in the address", get(&stolen), "401", ""),
            probe(
                "two tokens",
                with("GET", "/v1/status", "authorization: Bearer a\r\nauthorization: Bearer b\r\n"),
                "401",
                "",
            ),
            probe("a cookie", with("GET", "/v1/status", "cookie: token=x\r\n"), "401", ""),
            probe(
                "a body that is too long",
                with("POST", "/v1/status", "content-length: 1000000000\r\n"),
                "413",
                "65536 bytes at most",
            ),
            probe(
                "one without an end",
                with("POST", "/v1/status", "transfer-encoding: chunked\r\n")
                    + &format!("2000\r\n{}\r\n", "a".repeat(0x2000)).repeat(8)
                    + "1\r\na\r\n",
                "413",
                "65536 bytes at most",
            ),
            probe(
                "two lengths",
                with("POST", "/v1/status", "content-length: 1\r\ncontent-length: 2\r\n"),
                "400",
                "",
            ),
            probe(
                "a length below nothing",
                with("POST", "/v1/status", "content-length: -1\r\n"),
                "400",
                "",
            ),
            probe(
                "an unknown encoding",
                with("POST", "/v1/status", "transfer-encoding: xchunked\r\n") + smuggled,
                "400",
                "",
            ),
        ],
    );

    // HTTP/2 at once is not spoken.
    let mut stream = raw::tcp(&invitation);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 2"), "{said:?}");

    // Both lengths: whatever is made of it, one request has one answer.
    let mut stream = raw::tcp(&invitation);
    let both = with("POST", "/v1/status", "content-length: 6\r\ntransfer-encoding: chunked\r\n");
    stream.write_all((both + smuggled).as_bytes()).unwrap();
    let first = raw::answer(&mut stream).unwrap();
    assert!(first.starts_with("HTTP/1.1 4"), "{first}");
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert!(!rest.contains("HTTP/1.1 200"), "{rest}");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder, &[]);
    let host = invitation.host();
    let head =
        format!("POST /v1/status HTTP/1.1\r\nhost: {host}\r\ncontent-length: 10\r\n\r\n12345");
    let answer = raw::ask(&invitation, &head);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("did not come in time"), "{answer}");
}

#[test]
fn every_answer_has_the_headers_that_protect() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder, &[]);
    let host = invitation.host();
    for (path, host) in
        [("/join", host), ("/nothing", host), ("/v1/status", host), ("/", "evil.example")]
    {
        let answer = raw::ask(&invitation, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        for header in [
            "content-security-policy: default-src 'none';",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "permissions-policy: camera=()",
        ] {
            assert!(answer.contains(&format!("\r\n{header}")), "{path}: {header}: {answer}");
        }
    }
}

/// The statuses of so many requests on one connection, with a header.
fn statuses(invitation: &Invitation, count: usize, header: &str) -> Vec<u16> {
    let stream = raw::tcp(invitation);
    let mut writer = stream.try_clone().unwrap();
    let request = format!("GET /nothing HTTP/1.1\r\nhost: {}\r\n{header}\r\n", invitation.host());
    let sending = std::thread::spawn(move || {
        for _ in 0..count {
            writer.write_all(request.as_bytes()).unwrap();
        }
    });
    let mut reader = BufReader::new(stream);
    let read = (0..count).map(|_| status(&mut reader)).collect();
    sending.join().unwrap();
    read
}

fn status(reader: &mut BufReader<TcpStream>) -> u16 {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line[9..12].parse().unwrap();
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    status
}

/// More than an address without a token may ask at once.
const MANY: usize = 3500;

#[test]
fn who_asks_too_often_without_token_waits_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder, &[]);
    let answered = statuses(&invitation, MANY, "x-forwarded-for: 192.0.2.1\r\n");
    assert_eq!(answered[0], 404);
    assert!(answered.contains(&429), "nothing was refused of {MANY}");
    // A header that anybody can write does not make it another.
    let again = statuses(&invitation, 200, "x-forwarded-for: 192.0.2.2\r\n");
    assert!(again.contains(&429), "another header, another address: {again:?}");
    let bearer = format!("authorization: Bearer {}\r\n", invitation.token);
    let answered = statuses(&invitation, MANY, &bearer);
    assert!(answered.iter().all(|status| *status == 404), "who has a token is not counted");
    drop(tests::stranger::Stranger::join(&invitation, 1, 0));
}

#[test]
fn behind_a_trusted_proxy_each_person_counts_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder, &["--trusted-proxy", "127.0.0.0/8"]);
    let answered = statuses(&invitation, MANY, "x-forwarded-for: 6.6.6.6, 192.0.2.1\r\n");
    assert!(answered.contains(&429), "nothing was refused of {MANY}");
    let again = statuses(&invitation, 200, "x-forwarded-for: 7.7.7.7, 192.0.2.1\r\n");
    assert!(again.contains(&429), "what a client writes in front does not count");
    let other = statuses(&invitation, 200, "x-forwarded-for: 192.0.2.2\r\n");
    assert!(other.iter().all(|status| *status == 404), "another person is not touched");

    // Sessions that say nothing are counted by person too, and by nothing else.
    let upgrade = raw::upgrade(&invitation, "herd.1");
    let from = |address: &str| {
        let header = format!("\r\nx-forwarded-for: {address}\r\n\r\n");
        let mut stream = raw::tcp(&invitation);
        stream.write_all(upgrade.replacen("\r\n\r\n", &header, 1).as_bytes()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let answer = raw::answer(&mut stream).unwrap();
        (stream, answer.get(9..12).unwrap_or_default().to_owned())
    };
    let most = protocol::limits::STRANGERS_PER_ADDRESS_MAX;
    let idle: Vec<_> = (0..most + 1).map(|_| from("198.51.100.1")).collect();
    assert!(idle[..100].iter().all(|(_, status)| status == "101"), "{:?}", idle[0].1);
    let others = from("198.51.100.2").1;
    assert_eq!(others, "101");
    // Unless the machine was so slow that the first ones had been cut before the last one came.
    if idle.iter().filter(|(_, status)| status == "101").count() == most {
        assert_eq!(idle[most].1, "429");
    }
    // A page by https: only a proxy that is trusted can say so.
    let page = |proto: &str, origin: &str| {
        let headers = format!("\r\nx-forwarded-proto: {proto}\r\norigin: {origin}\r\n\r\n");
        let request = upgrade.replacen("\r\n\r\n", &headers, 1);
        raw::ask(&invitation, &request).get(9..12).unwrap_or_default().to_owned()
    };
    let here = invitation.host();
    assert_eq!(page("https", &format!("https://{here}")), "101");
    assert_eq!(page("https", &format!("http://{here}")), "403");
}
