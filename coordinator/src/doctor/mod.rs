//! `herd doctor`: whether this machine has what Herd needs, one line for each thing.

mod checks;
mod gpus;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::json;

use crate::cli::{DoctorArgs, Failure, answer};

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// Herd works, and something is missing.
    Warning,
    /// Herd does not work.
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// The thing.
    what: &'static str,
    /// How it is.
    level: Level,
    /// What was found, for people.
    found: String,
    /// What to do about it.
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, level: Level::Ok, found: found.into(), remedy: None }
    }

    fn warning(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { what, level: Level::Warning, found: found.into(), remedy }
    }

    fn problem(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::warning(what, found, remedy) }
    }
}

/// Runs `herd doctor`.
///
/// # Errors
/// When something keeps Herd from training here.
pub fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    if args.adapters {
        return Ok(answer(&gpus::list())?);
    }
    let findings = checks::all();
    let text = if args.json { format!("{}\n", report(&findings)) } else { lines(&findings) };
    answer(&text)?;
    verdict(&findings).map_err(Into::into)
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

fn report(findings: &[Finding]) -> serde_json::Value {
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    json!({ "level": worst, "findings": findings })
}

fn lines(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { what, level, found, remedy } in findings {
        let remedy = remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        text.push_str(&format!("{:<7}  {what:<width$}  {found}{remedy}\n", level.word()));
    }
    text
}

fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    match count(findings, Level::Problem) {
        0 => Ok(()),
        1 => Err(Failure::Target("1 problem keeps Herd from training here".to_owned())),
        many => Err(Failure::Target(format!("{many} problems keep Herd from training here"))),
    }
}
