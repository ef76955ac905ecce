//! `[[listener]]`: where requests come in.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::error::Code;
use crate::config::report::Report;
use crate::config::schema::{self, TableKeys};
use crate::config::settings::{
    ListenerKind, ListenerSettings, MtlsSettings, ServerIdentity, SocketGroup, TcpCallers, TcpEndpoint, TcpSettings,
    UnixEndpoint,
};
use crate::config::table::{Node, Section};

use super::{daemon, place, secret};

/// Who may open the socket file unless configured: its owner and its group.
const MODE: u32 = 0o660;

/// Every listener; at least one, because a daemon that nobody reaches is a mistake.
pub(in crate::config) fn listeners(root: &Section<'_>, base: &Path, report: &mut Report) -> Vec<ListenerSettings> {
    let nodes = root.need("listener", report).map(|node| node.tables(report)).unwrap_or_default();
    let read = nodes.into_iter().filter_map(|node| Some((node.at, listener(&node, base, report)?)));
    let read: Vec<_> = read.collect();
    refuse_duplicates(&read, report);
    read.into_iter().map(|(_, listener)| listener).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Unix,
    TcpMtls,
    TcpToken,
}

const KINDS: [(&str, Kind, TableKeys); 3] = [
    ("unix", Kind::Unix, schema::LISTENER_UNIX),
    ("tcp-mtls", Kind::TcpMtls, schema::LISTENER_MTLS),
    ("tcp-token", Kind::TcpToken, schema::LISTENER_TOKEN),
];

fn listener(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<ListenerSettings> {
    let (kind, section) = node.section_by_kind(&KINDS, report)?;
    let name = section.need("name", report).and_then(|node| place::word(&node, report));
    let kind = match kind {
        Kind::Unix => unix(&section, base, report).map(ListenerKind::Unix),
        Kind::TcpMtls => tcp_mtls(&section, base, report).map(ListenerKind::Tcp),
        Kind::TcpToken => tcp_token(&section, base, report).map(ListenerKind::Tcp),
    };
    Some(ListenerSettings { name: name?, kind: kind? })
}

fn unix(section: &Section<'_>, base: &Path, report: &mut Report) -> Option<UnixEndpoint> {
    let mode = section.find("mode").and_then(|node| Some((node.at, mode(&node, report)?)));
    let group = section.find("group").and_then(|node| group(&node, report));
    if let Some(activation) = section.find("activation") {
        for key in ["path", "mode", "group"] {
            if let Some(node) = section.find(key) {
                node.report(Code::Conflict, "the systemd socket unit says this for a socket of `activation`", report);
            }
        }
        return place::word(&activation, report).map(UnixEndpoint::Activation);
    }
    if let Some((at, mode)) = mode.filter(|(_, mode)| mode & 0o007 != 0) {
        let detail = format!("mode {mode:04o} lets every user of this machine connect; only grants stand between");
        report.warning("socket-open-to-all", at, detail);
    }
    let path = place::socket_path(&section.need("path", report)?, base, report)?;
    Some(UnixEndpoint::Bind { path, mode: mode.map_or(MODE, |(_, mode)| mode), group })
}

/// `"0660"` or `0o660`. A plain 660 is refused, because it is not what it looks like.
fn mode(node: &Node<'_>, report: &mut Report) -> Option<u32> {
    const RULE: &str = "a mode is octal, from \"0600\" to \"0777\", with the owner's rw: \"0660\" or 0o660";
    let (digits, radix) = if node.is_number() { node.digits(report)? } else { (node.text(report)?, 8) };
    let octal = radix == 8 && (3..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777 && mode & 0o600 == 0o600);
    if mode.is_none() {
        node.report(Code::InvalidValue, RULE, report);
    }
    mode
}

fn group(node: &Node<'_>, report: &mut Report) -> Option<SocketGroup> {
    if node.is_number() {
        // The last number means "no change" to chown(2).
        let number = node.number(0..=u64::from(u32::MAX) - 1, report)?;
        return u32::try_from(number).ok().map(SocketGroup::Id);
    }
    place::word(node, report).map(SocketGroup::Name)
}

fn tcp_mtls(section: &Section<'_>, base: &Path, report: &mut Report) -> Option<TcpSettings> {
    let server = server(section, base, report);
    let client_ca = section.need("client_ca", report).and_then(|node| place::path(&node, base, report));
    let crls = section.find("crls").map(|node| node.items(report)).unwrap_or_default();
    let crls: Vec<_> = crls.iter().filter_map(|node| place::path(node, base, report)).collect();
    let unknown = section.find("unknown_revocation");
    if let Some(node) = unknown.as_ref().filter(|_| crls.is_empty()) {
        node.report(Code::Conflict, "says nothing without revocation lists in `crls`", report);
    }
    let unknown = unknown.and_then(|node| node.choice([("refuse", false), ("allow", true)], report));
    let deny_list = section.find("deny_list").map(|node| place::path(&node, base, report));
    let endpoint = endpoint(section, "tcp-mtls", report);
    let callers = TcpCallers::Certificates(MtlsSettings {
        client_ca: client_ca?,
        crls,
        allow_unknown_revocation: unknown.unwrap_or(false),
        deny_list: deny_list.map_or(Some(None), |path| path.map(Some))?,
    });
    Some(TcpSettings { endpoint: endpoint?, server: server?, callers })
}

fn tcp_token(section: &Section<'_>, base: &Path, report: &mut Report) -> Option<TcpSettings> {
    let server = server(section, base, report);
    let endpoint = endpoint(section, "tcp-token", report);
    Some(TcpSettings { endpoint: endpoint?, server: server?, callers: TcpCallers::Tokens })
}

fn server(section: &Section<'_>, base: &Path, report: &mut Report) -> Option<ServerIdentity> {
    let certificate = section.need("certificate", report).and_then(|node| place::path(&node, base, report));
    let key = section.need("key", report).and_then(|node| secret::source(&node, base, report));
    Some(ServerIdentity { certificate: certificate?, key: key? })
}

fn endpoint(section: &Section<'_>, kind: &str, report: &mut Report) -> Option<TcpEndpoint> {
    match (section.find("activation"), section.find("address")) {
        (Some(activation), None) => place::word(&activation, report).map(TcpEndpoint::Activation),
        (None, Some(node)) => node.parsed(Code::InvalidValue, daemon::address, report).map(TcpEndpoint::Bind),
        (Some(_), Some(node)) => {
            node.report(Code::Conflict, "the systemd socket unit says this for a socket of `activation`", report);
            None
        }
        (None, None) => {
            let detail = format!("a {kind} listener needs the key `address` or `activation`");
            report.error(Code::MissingKey, section.at, detail);
            None
        }
    }
}

/// A listener for bearers of tokens lets nobody in while nothing says whose tokens count: that is a mistake, and not a
/// listener.
pub(in crate::config) fn refuse_tokens_of_nobody(root: &Section<'_>, providers: usize, report: &mut Report) {
    let nodes = root.find("listener").map(|node| node.tables(&mut Report::default())).unwrap_or_default();
    for node in nodes.iter().filter(|node| providers == 0 && node.peek("kind") == Some("tcp-token")) {
        let detail = "a tcp-token listener needs a provider of tokens, and this file configures none";
        report.error(Code::MissingKey, node.at, detail);
    }
}

/// Two listeners of one name could not be told apart in logs; two on one socket could not both bind it.
fn refuse_duplicates(listeners: &[(usize, ListenerSettings)], report: &mut Report) {
    let mut names = BTreeMap::new();
    let mut sockets = BTreeMap::new();
    for (at, listener) in listeners {
        if names.insert(listener.name.clone(), at).is_some() {
            report.error(Code::Duplicate, *at, format!("two listeners are named `{}`", listener.name));
        }
        if let Some(socket) = socket(&listener.kind)
            && let Some(first) = sockets.insert(socket, listener.name.clone())
        {
            report.error(Code::Duplicate, *at, format!("listener `{first}` has this socket already"));
        }
    }
}

fn socket(kind: &ListenerKind) -> Option<String> {
    match kind {
        ListenerKind::Unix(UnixEndpoint::Bind { path, .. }) => Some(path.display().to_string()),
        ListenerKind::Tcp(TcpSettings { endpoint: TcpEndpoint::Bind(address), .. }) => {
            (address.port() != 0).then(|| address.to_string())
        }
        ListenerKind::Unix(UnixEndpoint::Activation(name))
        | ListenerKind::Tcp(TcpSettings { endpoint: TcpEndpoint::Activation(name), .. }) => {
            Some(format!("activation {name}"))
        }
    }
}
