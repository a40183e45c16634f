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
    // All but `--set` and `--resume`, and the job file, which is no flag.
    assert_eq!(known.filter(|argument| argument.get_long().is_some()).count(), flags.len() + 2);
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
