//! `herd`: command line, server, storage and data loading around the engine.

pub mod cli;
pub mod config;
pub mod data;
pub mod doctor;
pub mod goals;
pub mod inspect;
pub mod new;
pub mod predict;
pub mod run;
pub mod runs;
pub mod server;
pub mod storage;
pub mod survey;
mod tensorboard;
pub mod tokens;
pub mod train;
