//! `herd new`: a job file for a data file, which trains as it stands and says why it is so.

mod job;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::{Failure, NewArgs, answer};
use crate::config;
use crate::data::embedded;
use crate::survey::{self, Survey, Task};
use crate::train::eprint_line;

pub use job::{Place, text};

/// Runs `herd new`.
///
/// # Errors
/// When the data cannot be read or used as they stand, or the job file cannot be written.
pub fn new(args: &NewArgs) -> anyhow::Result<()> {
    let survey = Survey::of(&args.data, args.label.as_deref(), args.task)?;
    let Some(task) = survey.task else { return Err(no_label(&survey, args).into()) };
    check_task(&survey, args)?;
    let problems = survey::problems_text(&survey);
    if let Some(failure) = survey.refusal() {
        eprint_line(problems.trim_end());
        return Err(failure.into());
    }
    let place = place(args);
    let file = args.out.file_name().filter(|_| args.out != Path::new("-"));
    let file = file.map_or("job.toml".into(), |name| name.to_string_lossy());
    let text = text(&survey, task, &place, &file);
    // What is written here must be what `herd train` takes.
    config::resolve_text(Some((Path::new("job.toml"), &text)), &[], &[])?;
    if args.out == Path::new("-") {
        return Ok(answer(&text)?);
    }
    write(&args.out, &text)?;
    if !survey.problems.is_empty() {
        eprint_line(problems.trim_end());
    }
    let out = args.out.display();
    let label = survey.label().map_or("", |label| label.name.as_str());
    let what = match task {
        Task::Classification => format!(
            "{} classes of `{label}`",
            survey.label().and_then(survey::Column::distinct).unwrap_or_default()
        ),
        Task::Regression => format!("`{label}`, a number"),
    };
    eprint_line(&format!("{out}: predicts {what}\nnext: herd train {out}"));
    Ok(())
}

/// A task is for a column of numbers: words are classes in any case.
fn check_task(survey: &Survey, args: &NewArgs) -> Result<(), Failure> {
    let Some(label) = survey.label() else { return Ok(()) };
    if args.task == Some(Task::Regression) && !label.kind().is_number() && label.filled > 0 {
        return Err(Failure::Usage(format!(
            "--task regression: `{}` is no column of numbers ({}); leave --task out",
            label.name,
            label.kind().name()
        )));
    }
    Ok(())
}

fn no_label(survey: &Survey, args: &NewArgs) -> Failure {
    let data = args.data.display();
    if survey.scan.shape.is_empty() {
        let columns: Vec<&str> =
            survey.scan.columns.iter().map(|column| column.name.as_str()).collect();
        let columns = columns.join(", ");
        return Failure::Usage(format!(
            "{data}: name the column to predict with --label; there is: {columns}"
        ));
    }
    Failure::Usage(format!("{data}: name the file of the images' labels with --label"))
}

/// How the job file calls the data: as it was typed where both are in one folder.
fn place(args: &NewArgs) -> Place {
    let folder = args.out.parent().unwrap_or(Path::new(""));
    let seen = |path: &Path| -> PathBuf {
        if let (Some(of), Some(name)) = (path.parent(), path.file_name())
            && of == folder
        {
            return name.into();
        }
        if folder.as_os_str().is_empty() {
            return path.to_owned();
        }
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
    };
    let word = args.data.display().to_string();
    if embedded::contains(&word) {
        return Place::Embedded(word);
    }
    Place::Files {
        data: seen(&args.data),
        labels: args.label.as_ref().map(|label| seen(Path::new(label))),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let path = path.display();
        Failure::Data(match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{path}: there is a file already; delete it, or name another with --out")
            }
            _ => format!("{path}: cannot be written: {error}; name another file with --out"),
        })
    };
    // Only a file that is new: a job may have been worked on for long.
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
