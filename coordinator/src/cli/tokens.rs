//! What `herd token` is asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::EXIT_CODES;
use crate::goals::Span;
use crate::tokens::Role;

pub(super) const TOKEN_EXAMPLES: &str = "\
Examples:
  herd token list                             who may do what in the newest run
  herd token make --role worker --expires 7d  a link for a week
  herd token revoke latest 4                  take one back

Each start of `herd train` makes one token of each role and prints them. A coordinator that is running
takes up what changes within a second.";

const MAKE_EXAMPLES: &str = "\
Examples:
  herd token make --role worker --expires 7d --note \"class 9b\"
  herd token make runs/x --role viewer        for a screen that shows how run x stands
  herd token make --role admin --json         for programs

A worker joins the run and sees its training samples and parameters; a viewer sees everything and
changes nothing; an admin also controls the run. The token is shown once: only its hash is stored.";

const LIST_EXAMPLES: &str = "\
Examples:
  herd token list                             those of the newest run
  herd token list runs/x --json

Tokens themselves are not shown: their hashes are all that is stored.";

const REVOKE_EXAMPLES: &str = "\
Examples:
  herd token revoke latest 4                  the number is that of `herd token list`
  herd token revoke runs/x 1 4 7              several, or none if one of them is not there

Sessions and pages that were opened with them end within a second. Local workers have a token of
their own, which cannot be revoked.";

/// `herd token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it with its links
    Make(TokenMakeArgs),
    /// List tokens: what they allow, until when, for whom
    List(TokenListArgs),
    /// Take tokens back
    Revoke(TokenRevokeArgs),
}

/// `herd token make`.
#[derive(Debug, Args)]
#[command(after_help = format!("{MAKE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct TokenMakeArgs {
    /// Run folder or name, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: PathBuf,
    /// What it allows: worker, viewer or admin
    #[arg(long, value_enum, hide_possible_values = true)]
    pub role: Role,
    /// Admits so long, as 7d, 12h or 1h30m; without it for ever
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
    /// For whom it is; `herd token list` shows it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `herd token list`.
#[derive(Debug, Args)]
#[command(after_help = format!("{LIST_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct TokenListArgs {
    /// Run folder or name, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `herd token revoke`.
#[derive(Debug, Args)]
#[command(after_help = format!("{REVOKE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct TokenRevokeArgs {
    /// Run folder or name, or `latest`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Numbers of tokens
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<u32>,
}
