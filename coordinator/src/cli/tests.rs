//! Tests of flags and exit codes.

use clap::{CommandFactory, Parser};

use super::*;
use crate::config::resolve;
use crate::data::DataError;

fn train_args(flags: &[&str]) -> Box<TrainArgs> {
    let words = ["herd", "train"].into_iter().chain(flags.iter().copied());
    match Cli::try_parse_from(words).unwrap().command {
        Command::Train(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
    let help = Cli::command().find_subcommand_mut("train").unwrap().render_long_help().to_string();
    for name in preset::names() {
        assert!(help.contains(name), "{name}");
    }
}

/// Widest line of a page of help, in columns: what fits beside another window.
const COLUMNS_MAX: usize = 100;

/// What is wrong with the help of a command and of those below it.
fn findings(name: &str, command: &mut clap::Command, found: &mut Vec<String>) {
    let help = command.render_long_help().to_string();
    if !help.lines().any(|line| line.starts_with("Example") && line.ends_with(':')) {
        found.push(format!("{name}: no example"));
    }
    if !help.lines().any(|line| line.trim_start().starts_with(name)) {
        found.push(format!("{name}: no example that calls it"));
    }
    let wide = help.lines().filter(|line| line.chars().count() > COLUMNS_MAX);
    found.extend(wide.map(|line| format!("{name}: wider than {COLUMNS_MAX} columns: {line}")));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    if about.is_empty() || about.contains(". ") || about.len() > 90 {
        found.push(format!("{name}: is not described in one short sentence: {about}"));
    }
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let name = format!("{name} {}", verb.get_name());
        findings(&name, verb, found);
    }
}

#[test]
fn every_page_of_help_has_an_example_and_fits_a_window() {
    let mut command = Cli::command();
    command.build();
    let mut found = Vec::new();
    findings("herd", &mut command, &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_flag_of_a_job_sets_its_key() {
    let flags = [
        ("--workers", "3"),
        ("--min-workers", "2"),
        ("--mode", "synchronous"),
        ("--frequency", "steps=10"),
        ("--strategy", "sum"),
        ("--codec", "f32"),
        ("--epochs", "7"),
        ("--batch-size", "8"),
        ("--learning-rate", "0.5"),
        ("--optimizer", "adam"),
        ("--validation-split", "0"),
        ("--seed", "5"),
        ("--init", "a.safetensors"),
        ("--device", "cpu"),
        ("--listen", "0.0.0.0:1"),
        ("--tls", "self-signed"),
        ("--tls-cert", "cert.pem"),
        ("--trusted-proxy", "10.0.0.0/8"),
        ("--allow-host", "herd.example.org"),
        ("--linger", "0"),
        ("--run-dir", "here"),
        ("--name", "n"),
        ("--target", "accuracy=0.9"),
        ("--max-time", "10m"),
        ("--early-stopping", "5"),
    ];
    let resolved =
        |flags: &[&str]| resolve(None, &[], &train_args(flags).settings().unwrap()).unwrap();
    let default = resolved(&[]);
    for (flag, value) in flags {
        assert_ne!(resolved(&[flag, value]), default, "{flag}");
    }
    let command = Cli::command();
    let train = command.find_subcommand("train").unwrap();
    let known = train.get_arguments().filter(|argument| argument.get_action().takes_values());
    // All but `--set`, `--resume`, `--tensorboard` and `--tls-key`, and the job file, which is no flag.
    assert_eq!(known.filter(|argument| argument.get_long().is_some()).count(), flags.len() + 4);
    let server = resolved(&["--tls-cert", "a", "--tls-key", "b", "--insecure"]).server;
    assert!(server.tls_key.is_some_and(|path| path.ends_with("b")) && server.insecure);
    let server = resolved(&["--allow-host", "a", "--allow-host", "B.c"]).server;
    assert_eq!(server.allow_hosts, ["a", "b.c"]);
    let ordered = resolved(&["--deterministic"]).training;
    assert!(ordered.deterministic && ordered.mode == engine::Mode::Synchronous);
    let both = resolved(&["--epochs", "3", "--set", "training.epochs = 4"]);
    assert_eq!(both.training.epochs, 4, "--set wins");
    let message = train_args(&["--set", "epochs"]).settings().unwrap_err().to_string();
    assert_eq!(message, "--set epochs: write KEY=VALUE, such as training.epochs=5");
}

#[test]
fn exit_codes_tell_what_kind_of_error_it_was() {
    let config = resolve(None, &[], &train_args(&["--epochs", "0"]).settings().unwrap());
    assert_eq!(exit_code(&config.unwrap_err().into()), 2);
    let data = DataError::Missing { path: "x".into() };
    assert_eq!(exit_code(&anyhow::Error::from(data).context("while reading")), 3);
    assert_eq!(exit_code(&Failure::Target("x".into()).into()), 1);
    assert_eq!(exit_code(&Failure::Network("x".into()).into()), 4);
    assert_eq!(exit_code(&Failure::Interrupted.into()), 130);
    assert_eq!(exit_code(&Failure::Terminated.into()), 143);
    assert_eq!(exit_code(&anyhow::anyhow!("unheard of")), EXIT_BUG);
}
