//! Paths and names of places: relative to the file's directory, never to the daemon's working directory.

use std::path::{Path, PathBuf};

use crate::config::error::{Code, shown};
use crate::config::report::Report;
use crate::config::table::Node;
use crate::domain::name::Pattern;

/// `sun_path` of unix(7) has 108 bytes, the last of them a NUL.
const SOCKET_PATH_BYTES: usize = 107;

/// A path, made absolute by the directory of the configuration file.
pub(in crate::config) fn path(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<PathBuf> {
    let text = node.text(report)?;
    if text.is_empty() || text.contains('\0') {
        node.report(Code::InvalidValue, "a path is neither empty nor does it hold a NUL", report);
        return None;
    }
    Some(base.join(text))
}

/// A path short enough for a unix socket.
pub(in crate::config) fn socket_path(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<PathBuf> {
    let path = path(node, base, report)?;
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES {
        let detail = format!("a unix socket's path has at most {SOCKET_PATH_BYTES} bytes, this one has {bytes}");
        node.report(Code::InvalidValue, detail, report);
        return None;
    }
    Some(path)
}

/// A word for people and for systemd: the characters that file names, labels and `FileDescriptorName=` share.
pub(in crate::config) fn word(node: &Node<'_>, report: &mut Report) -> Option<String> {
    node.parsed(Code::InvalidName, |text| is_word(text).then(|| text.to_owned()).ok_or(WORD_RULE), report)
}

/// A pattern over names of repositories or roles. Patterns over URIs also take `@` and `=`, which no such name has.
pub(in crate::config) fn name_pattern(text: &str) -> Result<Pattern, String> {
    let rule = "1 to 255 characters out of a-z A-Z 0-9 . _ : / - * (* stops at a slash, ** does not)";
    let good = Pattern::new(text).filter(|pattern| !pattern.as_str().contains(['@', '=']));
    good.ok_or_else(|| format!("`{}` is no pattern: {rule}", shown(text)))
}

const WORD_RULE: &str = "a name has 1 to 64 characters out of a-z A-Z 0-9 - _";

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
