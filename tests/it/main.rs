//! Integration tests of the whole workspace, in one binary: it links Burn once.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

// Mistakes of a user: one clear sentence each, and the right exit code.
mod commands;
// Runs that are killed, stopped, and go on; deterministic ones come to the same.
mod crashes;
// Watching and controlling a run, and what may be taken away from it.
mod dashboard;
// Run folders that are full, read-only or gone.
mod disks;
// Workers and coordinators that are killed, stopped, or late.
mod failures;
// Fleets of real worker sessions in virtual time: accuracy, stragglers, workers that vanish.
mod fleets;
// From a data file to a model, and what ends a run before its last epoch.
mod jobs;
// Connections that break and come back.
mod links;
// Clients that keep to no rule, beside an honest worker that must lose nothing.
mod hostile;
// Memory of a coordinator whose fleet grows.
mod memory;
// One worker equals a loop written in Burn itself.
mod oracle;
// Stored models on data, recomputed in plain arithmetic.
mod predictions;
// Runs behind Caddy and nginx, as the documents set them up.
mod proxies;
// What a run tells of itself: report.html, /metrics, event files for TensorBoard.
mod reports;
// Where tokens must not stand.
mod secrets;
// Runs over TLS, with certificates of their own and others.
mod tls;
// The tree itself: sources, dependencies, licences, documents.
mod tidy;
// Tokens: made, listed, revoked and over.
mod tokens;
// Whole runs with real processes: what they reach and what they leave behind.
mod training;
// Verbs besides training and prediction: stored runs, models, this machine, the command line itself.
mod verbs;
