//! Connections that break and come back: the worker goes on where it was, and nothing is lost.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::process::{Invitation, herd};

/// A relay between workers and a coordinator whose connections can be cut.
struct Relay {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn to(invitation: &Invitation) -> Self {
        let target = invitation.address.strip_prefix("ws://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let streams = open.clone();
        thread::spawn(move || {
            // Ends with the test's process.
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                let ends = [near.try_clone(), far.try_clone(), near.try_clone(), far.try_clone()];
                let [Ok(a), Ok(b), Ok(c), Ok(d)] = ends else { continue };
                streams.lock().unwrap().extend([near, far]);
                thread::spawn(move || pump(a, b));
                thread::spawn(move || pump(d, c));
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && to.write_all(&buffer[..count]).is_ok()
    {}
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_worker_keeps_its_leases_through_a_lost_connection() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--json", "--workers", "0", "--validation-split", "0", "--epochs", "60"];
    let mut herd = herd(&flags).folder(folder.path()).start();
    let invitation = herd.invitation();
    let relay = Relay::to(&invitation);
    let through = Invitation { address: format!("ws://{}", relay.address), ..invitation };
    let worker = through.worker("far").start();
    herd.wait_for("epoch   1/60");
    for _ in 0..3 {
        relay.cut();
        herd.wait_for("far is lost");
        herd.wait_for("far is back");
    }
    worker.finish().assert_worker_said_last("the run is complete");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["samples"], 60 * 8000, "{summary}");
    let workers = summary["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1, "it is one worker: {summary}");
    assert_eq!(workers[0]["samples"], 60 * 8000, "{summary}");
    // What was prefetched without parameters may have been given back; no delta was lost or doubled.
    assert_eq!(summary["totals"]["duplicate"], 0, "{summary}");
}
