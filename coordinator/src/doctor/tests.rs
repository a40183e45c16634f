//! Tests of what is said of a machine.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::gpus::Gpu;
use super::*;

#[test]
fn a_port_is_free_or_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let found = checks::port(&address);
    assert_eq!(found.level, Level::Problem);
    assert!(found.found.contains("in use") && found.found.contains(&address), "{found:?}");
    assert!(found.remedy.unwrap().contains("HERD_LISTEN"));
    drop(taken);
    assert_eq!(checks::port("127.0.0.1:0").level, Level::Ok);
    assert_eq!(checks::port("192.0.2.1:1").level, Level::Problem, "an address of nobody here");
}

#[test]
fn a_folder_is_tried_where_it_would_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = folder.path().join("a/b/runs");
    assert_ne!(checks::folder(&wanted).level, Level::Problem);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    fs::write(folder.path().join("a"), "a file").unwrap();
    let found = checks::folder(&wanted);
    assert_eq!(found.level, Level::Problem, "{found:?}");
    assert!(found.found.contains("cannot be written"), "{found:?}");
}

#[test]
fn without_an_adapter_the_driver_is_named() {
    let found = gpus::findings(&[]);
    assert_eq!((found.len(), found[0].level), (1, Level::Warning));
    assert!(found[0].remedy.as_ref().unwrap().contains("mesa-vulkan-drivers"));
    let adapter =
        |is_software| Gpu { name: "card".to_owned(), backend: "Vulkan".to_owned(), is_software };
    let found = gpus::findings(&[adapter(false), adapter(true)]);
    assert_eq!(found[0].found, "card through Vulkan");
    assert!(found[1].found.contains("stand-in"));
}

#[test]
fn a_driver_that_ends_its_process_is_no_end_of_the_doctor() {
    let child = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let message = gpus::answer(child("kill -SEGV $$")).unwrap_err().to_string();
    assert!(message.contains("the driver ends the process"), "{message}");
    assert!(gpus::answer(child("echo nonsense")).is_err());
    assert!(gpus::answer(child("echo '[]'")).unwrap().is_empty());
}

#[test]
fn only_problems_fail() {
    let ok = Finding::ok("cores", "2");
    let warning = checks::page(false);
    assert_eq!(warning.level, Level::Warning);
    assert!(verdict(&[ok.clone(), warning.clone(), checks::connections(100)]).is_ok());
    let problem = Finding::problem("port", "is in use", "choose another");
    let findings = [ok, warning, problem];
    let error = verdict(&findings).unwrap_err();
    assert_eq!(error.to_string(), "1 problem keeps Herd from training here");
    assert_eq!(crate::cli::exit_code(&error.into()), 1);
    let text = lines(&findings);
    assert!(text.contains("ok       cores  2\n"), "{text}");
    assert!(text.contains("problem  port   is in use; choose another\n"), "{text}");
    assert_eq!(report(&findings)["level"], "problem");
    assert_eq!(report(&findings)["findings"][1]["what"], "page");
}
