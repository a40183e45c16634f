//! The command line told to shells and to `man`, from the same definitions as `--help`.

use std::path::Path;

use clap::{Command, CommandFactory};

use super::{Cli, CompletionsArgs, Failure, ManArgs, answer};

/// Runs `herd completions`.
///
/// # Errors
/// When the answer cannot be written.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "herd", &mut script);
    Ok(answer(&String::from_utf8_lossy(&script))?)
}

/// Runs `herd man`.
///
/// # Errors
/// When the folder cannot be written.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        return Ok(answer(&String::from_utf8_lossy(&page))?);
    };
    let pages = write(folder).map_err(|error| {
        Failure::Data(format!(
            "{}: cannot be written: {error}; choose another --dir",
            folder.display()
        ))
    })?;
    Ok(answer(&format!("{pages} pages in {}\n", folder.display()))?)
}

/// Without the verb `help`, which needs no pages of its own.
fn command() -> Command {
    Cli::command().disable_help_subcommand(true)
}

/// One page for each verb; says how many.
fn write(folder: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command(), folder)?;
    Ok(count(&command()))
}

fn count(command: &Command) -> usize {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    1 + verbs.map(count).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn every_shell_learns_the_verbs() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "herd", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["train", "compare", "doctor", "--epochs", "--force"] {
                let bare = word.trim_start_matches('-');
                assert!(script.contains(bare), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn there_is_a_page_for_each_verb_and_as_many_as_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("share/man1");
        let pages = write(&path).unwrap();
        let found: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found.len(), pages, "{found:?}");
        for page in ["herd.1", "herd-train.1", "herd-runs-export.1", "herd-worker.1"] {
            assert!(found.iter().any(|name| name == page), "{page}: {found:?}");
        }
        let text = std::fs::read_to_string(path.join("herd-runs-export.1")).unwrap();
        assert!(text.contains("Overwrite files that are there") && text.contains("Examples"));
    }
}
