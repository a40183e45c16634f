//! The command line is read, and what is wrong with it is said in Herd's voice: one line.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::{Cli, Failure};

/// Reads the command line. Does not return when help or version were asked for, or a verb is missing,
/// for which its help is printed.
///
/// # Errors
/// When something in it is wrong.
pub fn parse() -> Result<Cli, Failure> {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => Failure::Usage(line(&error.to_string(), &verb(&words))),
    })
}

/// The verb that was meant: the words that name one, from the first on.
fn verb(words: &[String]) -> String {
    let mut command = Cli::command();
    let mut verb = command.get_name().to_owned();
    for word in words {
        let Some(next) = command.find_subcommand(word).cloned() else { break };
        verb.push(' ');
        verb.push_str(word);
        command = next;
    }
    verb
}

/// What clap says in paragraphs: the mistake and tips. Of the usage the name of the verb is enough.
fn line(text: &str, verb: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = text.split("Usage: ").next().unwrap_or(text);
    let mut sentence = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        let part = part.strip_prefix("tip: ").unwrap_or(part);
        if part.starts_with("For more information") {
            continue;
        }
        sentence.push_str(match sentence.chars().next_back() {
            None => "",
            // A list begins, or goes on.
            Some(':' | '>') => " ",
            Some(_) => "; ",
        });
        let bare = part.strip_prefix('[').and_then(|part| part.strip_suffix(']'));
        sentence.push_str(bare.unwrap_or(part));
    }
    format!("{sentence}; `{verb} --help` tells more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (words, expected) in [
            (
                &["train", "--epoch", "3"][..],
                "unexpected argument '--epoch' found; a similar argument exists: '--epochs'; \
                 `herd train --help` tells more",
            ),
            (
                &["runs", "export"],
                "the following required arguments were not provided: --to <FOLDER|FILE> <RUN>; \
                 `herd runs export --help` tells more",
            ),
            (
                &["runs", "compare", "one"],
                "2 values required by '<RUN> <RUN>...'; only 1 was provided; \
                 `herd runs compare --help` tells more",
            ),
            (
                &["completions", "sh"],
                "invalid value 'sh' for '<SHELL>'; possible values: bash, elvish, fish, powershell, \
                 zsh; `herd completions --help` tells more",
            ),
            (
                &["comit"],
                "unrecognized subcommand 'comit'; a similar subcommand exists: 'completions'; \
                 `herd --help` tells more",
            ),
        ] {
            let owned: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let error = Cli::try_parse_from([&["herd"], words].concat()).unwrap_err();
            assert_eq!(line(&error.to_string(), &verb(&owned)), expected);
        }
    }
}
