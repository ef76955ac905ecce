//! The tables about the daemon itself: ledger, log key, logs, limits, metrics.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::error::Code;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::settings::{
    ClockSettings, LedgerSettings, LimitSettings, LogFormat, LogKeySettings, LogLevel, LogSettings, MachineSettings,
    ObserveSettings,
};
use crate::config::table::Section;
use crate::domain::name::Role;
use crate::domain::policy::Policies;
use crate::domain::quota::{Quotas, Rate};

use super::{place, secret};

/// The one version of the file's form.
pub(in crate::config) const VERSION: u64 = 1;

/// `version = 1`, so that a later form is never read as this one.
pub(in crate::config) fn version(root: &Section<'_>, report: &mut Report) -> Option<u64> {
    let node = root.need("version", report)?;
    let (digits, radix) = node.digits(report)?;
    if u64::from_str_radix(digits, radix) == Ok(VERSION) {
        return Some(VERSION);
    }
    node.report(Code::UnsupportedVersion, format!("this program reads version {VERSION} of the file's form"), report);
    None
}

/// `[ledger]`
pub(in crate::config) fn ledger(root: &Section<'_>, base: &Path, report: &mut Report) -> Option<LedgerSettings> {
    let section = root.need("ledger", report)?.section(schema::LEDGER, report)?;
    let directory = place::path(&section.need("directory", report)?, base, report)?;
    Some(LedgerSettings { directory })
}

/// `[log_key]`
pub(in crate::config) fn log_key(
    root: &Section<'_>,
    ledger: Option<&LedgerSettings>,
    base: &Path,
    report: &mut Report,
) -> Option<LogKeySettings> {
    let section = root.need("log_key", report)?.section(schema::LOG_KEY, report)?;
    let unseal = section.need("unseal", report).and_then(|node| secret::unseal(&node, base, report));
    let path = match section.find("path") {
        Some(node) => place::path(&node, base, report),
        None => ledger.map(|ledger| ledger.directory.join("log-key")),
    };
    Some(LogKeySettings { path: path?, unseal: unseal? })
}

/// `[log]`
pub(in crate::config) fn log(root: &Section<'_>, report: &mut Report) -> LogSettings {
    let mut settings = LogSettings { format: LogFormat::Text, level: LogLevel::Info };
    let Some(section) = root.find("log").and_then(|node| node.section(schema::LOG, report)) else { return settings };
    if let Some(node) = section.find("format") {
        let format = node.choice(LogFormat::ALL.map(|format| (format.name(), format)), report);
        settings.format = format.unwrap_or(settings.format);
    }
    if let Some(node) = section.find("level") {
        let level = node.choice(LogLevel::ALL.map(|level| (level.name(), level)), report);
        settings.level = level.unwrap_or(settings.level);
    }
    settings
}

/// `[clock]`
pub(in crate::config) fn clock(root: &Section<'_>, report: &mut Report) -> ClockSettings {
    let mut settings = ClockSettings { skew_seconds: 60, jump_seconds: 60 };
    let Some(section) = root.find("clock").and_then(|node| node.section(schema::CLOCK, report)) else {
        return settings;
    };
    for (key, setting) in [("skew", &mut settings.skew_seconds), ("jump", &mut settings.jump_seconds)] {
        if let Some(node) = section.find(key)
            && let Some(seconds) = node.seconds(report)
        {
            if !(LEAST_STRAY..=LONGEST_STRAY).contains(&seconds) {
                node.report(Code::OutOfRange, "a clock may stray by 5s to 24h", report);
            }
            *setting = seconds;
        }
    }
    settings
}

/// Seconds. A leap second, a coarse clock at wake-up and a slow commit are no reason to stop.
const LEAST_STRAY: u64 = 5;
/// Seconds. Beyond it the check would mean nothing: a timestamp lives for days.
const LONGEST_STRAY: u64 = 24 * 60 * 60;

/// `[machine]`
pub(in crate::config) fn machine(root: &Section<'_>, base: &Path, report: &mut Report) -> MachineSettings {
    let mut settings = MachineSettings { check: true, id_file: "/etc/machine-id".into() };
    let Some(section) = root.find("machine").and_then(|node| node.section(schema::MACHINE, report)) else {
        return settings;
    };
    settings.check = section.flag("check", settings.check, report);
    if let Some(node) = section.find("id_file") {
        if !settings.check {
            node.report(Code::Conflict, "means nothing with check = false; remove one", report);
        }
        settings.id_file = place::path(&node, base, report).unwrap_or(settings.id_file);
    }
    settings
}

/// `[observe]`
pub(in crate::config) fn observe(root: &Section<'_>, base: &Path, report: &mut Report) -> Option<ObserveSettings> {
    let section = root.find("observe")?.section(schema::OBSERVE, report)?;
    match (section.find("address"), section.find("path")) {
        (Some(node), None) => {
            let address = node.parsed(Code::InvalidValue, address, report)?;
            if !address.ip().is_loopback() {
                let advice = "metrics have no authentication and stay on this machine: use 127.0.0.1, [::1] or `path`";
                node.report(Code::NotLoopback, advice, report);
                return None;
            }
            Some(ObserveSettings::Loopback(address))
        }
        (None, Some(node)) => place::socket_path(&node, base, report).map(ObserveSettings::Unix),
        (None, None) => {
            report.error(Code::MissingKey, section.at, "[observe] needs the key `address` or `path`");
            None
        }
        (Some(_), Some(node)) => {
            node.report(Code::Conflict, "metrics are served at one place, `address` or `path`", report);
            None
        }
    }
}

/// `[limits]`, and the message limit that follows from the policies.
pub(in crate::config) fn limits(root: &Section<'_>, policies: &Policies, report: &mut Report) -> LimitSettings {
    let mut settings = LimitSettings {
        max_message_bytes: message_bytes(policies),
        default_deadline: Duration::from_secs(10),
        max_connections: 256,
        connections_per_caller: 128,
        requests_per_connection: 64,
        requests_per_caller: 512,
        bytes_in_flight: (256 << 20).max(2 * message_bytes(policies)),
        answer_patience: Duration::from_secs(30),
        stream_idle: Duration::from_secs(10 * 60),
        batch_items: 256,
        quotas: Quotas::default(),
    };
    let section = root.find("limits").and_then(|node| node.section(schema::LIMITS, report));
    let Some(section) = section else { return settings };
    if let Some(node) = section.find("default_deadline")
        && let Some(seconds) = node.seconds(report)
    {
        if seconds > LONGEST_DEADLINE {
            node.report(Code::OutOfRange, "a request waits at most 1h", report);
        }
        settings.default_deadline = Duration::from_secs(seconds);
    }
    settings.max_connections = section.count("max_connections", 1..=65_536, settings.max_connections, report);
    settings.requests_per_connection =
        section.count("requests_per_connection", 1..=65_536, settings.requests_per_connection, report);
    settings.connections_per_caller =
        section.count("connections_per_caller", 1..=65_536, settings.connections_per_caller, report);
    settings.requests_per_caller =
        section.count("requests_per_caller", 1..=65_536, settings.requests_per_caller, report);
    settings.bytes_in_flight = section.count("bytes_in_flight", 1..=1 << 40, settings.bytes_in_flight, report);
    let least = 2 * settings.max_message_bytes;
    if let Some(node) = section.find("bytes_in_flight").filter(|_| settings.bytes_in_flight < least) {
        let detail = format!(
            "one message of this configuration may have {} bytes, and one caller gets half: at least {least}",
            settings.max_message_bytes
        );
        node.report(Code::OutOfRange, detail, report);
    }
    for (key, setting, what) in [
        ("answer_patience", &mut settings.answer_patience, "an answer waits 1s to 1h for its reader"),
        ("stream_idle", &mut settings.stream_idle, "a stream is without items for 1s to 1h"),
    ] {
        if let Some(node) = section.find(key)
            && let Some(seconds) = node.seconds(report)
        {
            if !(1..=LONGEST_DEADLINE).contains(&seconds) {
                node.report(Code::OutOfRange, what, report);
            }
            *setting = Duration::from_secs(seconds);
        }
    }
    settings.batch_items = section.count("batch_items", 1..=65_536, settings.batch_items, report);
    settings.quotas = quotas(&section, report);
    settings
}

/// What one caller, and one key, may take.
fn quotas(section: &Section<'_>, report: &mut Report) -> Quotas {
    let default = Quotas::default();
    let leaves = u64::from(default.denial_leaves_per_minute);
    let leaves = section.number("denial_leaves_per_minute", 1..=MOST_DENIAL_LEAVES, leaves, report);
    Quotas {
        request_rate_per_caller: rate(section, "request_rate_per_caller", default.request_rate_per_caller, report),
        signature_rate_per_key: rate(section, "signature_rate_per_key", default.signature_rate_per_key, report),
        denial_leaves_per_minute: u32::try_from(leaves).unwrap_or(default.denial_leaves_per_minute),
    }
}

fn rate(section: &Section<'_>, key: &str, default: Rate, report: &mut Report) -> Rate {
    let Some(rate) = section.find(key).and_then(|node| node.section(schema::RATE, report)) else { return default };
    let mut number = |key, default: u32| {
        let number = rate.number(key, 1..=u64::from(u32::MAX), u64::from(default), report);
        u32::try_from(number).unwrap_or(default)
    };
    Rate { per_minute: number("per_minute", default.per_minute), burst: number("burst", default.burst) }
}

/// A thousand a second: above that a disk fills in days.
const MOST_DENIAL_LEAVES: u64 = 60_000;
/// Seconds.
const LONGEST_DEADLINE: u64 = 60 * 60;
/// Names, framing and the signatures around a signed snapshot.
const AROUND_A_PAYLOAD: usize = 64 << 10;
/// Roots have no role policy here, and batches carry several small payloads.
const SMALLEST_MESSAGE: usize = 1 << 20;

fn message_bytes(policies: &Policies) -> usize {
    let attached = |role: &Role| {
        let limits =
            policies.iter().filter(|policy| policy.require_snapshot_bytes).map(|policy| policy.roles.get(role));
        limits.flatten().map(|limits| limits.max_payload_bytes + AROUND_A_PAYLOAD).max().unwrap_or_default()
    };
    policies.largest_payload().max(SMALLEST_MESSAGE) + attached(&Role::Snapshot) + AROUND_A_PAYLOAD
}

/// `ADDRESS:PORT` in numbers. Names are not looked up: what a name means changes while a daemon runs.
pub(in crate::config) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "an address is an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464")
}
