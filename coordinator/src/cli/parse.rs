//! The command line is read, and what is wrong with it is said in Herd's voice: one line.

use clap::Parser;
use clap::error::ErrorKind;

use super::{Cli, Failure};

/// Reads the command line. Does not return when help or version were asked for, or a verb is missing,
/// for which its help is printed.
///
/// # Errors
/// When something in it is wrong.
pub fn parse() -> Result<Cli, Failure> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => Failure::Usage(line(&error.to_string())),
    })
}

/// What clap says in paragraphs: the mistake, tips, and the usage, of which the name of the verb is
/// enough.
fn line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let (before, after) = text.split_once("Usage: ").unwrap_or((text, "herd"));
    let mut sentence = String::new();
    for part in before.lines().map(str::trim).filter(|part| !part.is_empty()) {
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
        sentence.push_str(part);
    }
    let is_verb = |word: &&str| word.chars().all(|char| char.is_ascii_lowercase());
    let verb: Vec<_> = after.split_whitespace().take_while(is_verb).collect();
    format!("{sentence}; `{} --help` tells more", verb.join(" "))
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
                "2 values required for '<RUN> <RUN>...' but 1 was provided; \
                 `herd runs compare --help` tells more",
            ),
            (&["comit"], "unrecognized subcommand 'comit'; `herd --help` tells more"),
        ] {
            let words = [&["herd"], words].concat();
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(line(&error.to_string()), expected);
        }
    }
}
