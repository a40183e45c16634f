//! The command line of `herd-worker`.

use clap::{Parser, ValueEnum};

/// Train for a Herd coordinator with this machine's processor.
///
/// The worker connects, trains what it is leased and pushes what it learnt. It comes back by
/// itself when the connection is lost.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "herd-worker",
    version,
    after_help = "Examples:\n  herd-worker ws://192.168.1.20:7700 --token TOKEN\n  \
        herd-worker wss://herd.example.org --token TOKEN\n  \
        herd-worker wss://192.168.1.20:7700 --token TOKEN --fingerprint SHA256\n\n\
        Exit codes: 0 the run ended (with --once) or the parent is gone, 2 wrong usage or refused \
        by the coordinator, 4 the coordinator was lost (with --once), 70 a bug"
)]
pub struct Arguments {
    /// The coordinator's address, as `herd train` prints it
    #[arg(value_name = "ws[s]://HOST:PORT")]
    pub address: String,

    /// Admits to the run; `herd train` prints it
    #[arg(long, env = "HERD_TOKEN", hide_env_values = true, default_value = "")]
    #[arg(allow_hyphen_values = true, hide_default_value = true)]
    pub token: String,

    /// SHA-256 of the certificate to believe at wss://, as herd train prints it
    ///
    /// Without it an authority must have signed the certificate for HOST: one of this machine's list,
    /// or of the file in SSL_CERT_FILE.
    #[arg(long, value_name = "SHA256")]
    pub fingerprint: Option<String>,

    /// Which processor trains; auto measures what is there and takes the faster
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, env = "HERD_DEVICE")]
    pub device: DeviceChoice,

    /// Processor threads that train
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,

    /// Name shown to people [default: this machine's name]
    #[arg(long)]
    pub name: Option<String>,

    /// End when the run ends, instead of waiting for the next one
    #[arg(long)]
    pub once: bool,

    /// End when standard input ends: a coordinator's own workers never outlive it
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
}

/// Which processor trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// The faster one on the run's model.
    Auto,
    /// Processor cores.
    Cpu,
    /// A GPU, through wgpu.
    Wgpu,
    /// An NVIDIA GPU, through CUDA.
    #[cfg(feature = "cuda")]
    Cuda,
}
