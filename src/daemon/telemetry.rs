//! Logs: text for people, JSON for machines, both without colour and to stderr, where the service manager reads them.

use tracing::Level;

use crate::config::settings::{LogFormat, LogLevel, LogSettings};

pub(super) fn begin(settings: LogSettings) {
    let level = match settings.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // Other crates log no secrets that we know of, and too much; their warnings are enough.
    let filter = tracing_subscriber::EnvFilter::new(format!("warn,sealward={}", level.as_str().to_lowercase()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    let begun = match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if begun.is_err() {
        super::say("sealwardd: warning: a log was set up before");
    }
}
