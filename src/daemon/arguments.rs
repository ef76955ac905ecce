//! The command line of `sealwardd`.

use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};

use super::DaemonError;

/// A signing daemon that reads what it signs.
#[derive(Debug, Parser)]
#[command(
    name = "sealwardd",
    version,
    after_help = "Examples:\n  \
    sealwardd --dev                                    a throw-away daemon to try things with\n  \
    sealwardd init --config /etc/sealward/sealward.toml    make the ledger and the log key, once\n  \
    sealwardd --config /etc/sealward/sealward.toml         serve\n\n\
    Exit status: 0 stopped as asked, 64 usage, 65 the ledger fails its integrity check, 69 a device or socket is not \
    available, 74 a disk error latched the ledger, 75 try again (locked, disk full), 77 an offline key is within reach, 78 \
    configuration."
)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    /// Serve with this configuration
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    pub(super) config: Option<PathBuf>,

    /// Serve a throw-away daemon: software keys, embedded ledger, a private unix socket, no TCP
    #[arg(long)]
    pub(super) dev: bool,

    /// Where the throw-away daemon keeps its files
    #[arg(long, value_name = "DIR", requires = "dev")]
    pub(super) dir: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the ledger, the log key and the first administrator. Never overwrites
    Init {
        /// The configuration that names them
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The audit log's origin (C2SP checkpoint), such as example.com/sealward; host name and a random part unless given
        #[arg(long)]
        origin: Option<String>,
        /// The first administrator, where the configuration names none yet: unix:UID, or NAME=unix:UID. Written to the
        /// configuration as a [[person]] and a [[grant]] of everything but signing and approving
        #[arg(long, value_name = "[NAME=]CALLER")]
        administrator: Option<String>,
    },
    /// Lift a fault: copy the ledger, sync, compare, swap. The daemon must be stopped
    Recover {
        /// The configuration that names the ledger
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Look at a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write the man page
    #[command(hide = true)]
    Man {
        /// Into this directory
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is wrong with a configuration
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Open the files of listeners and token providers too, but for those that hold a secret
        #[arg(long)]
        files: bool,
        /// End with 78 where there is any warning
        #[arg(long)]
        deny_warnings: bool,
    },
}

pub(super) fn write_man_page(directory: &Path) -> Result<(), DaemonError> {
    clap_mangen::generate_to(Arguments::command(), directory)
        .map_err(|error| DaemonError::File { path: directory.to_owned(), what: error.to_string() })
}
