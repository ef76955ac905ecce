//! What a client saw, in the order in which it saw it: one JSON object per line, appended to a file of its own.
//!
//! Times are nanoseconds of one monotonic clock that all writers share, so that "ended before it began" is a fact about
//! the machine and not a guess.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sealward::domain::signature::Encoding;
use serde::{Deserialize, Serialize};

/// One call, or one thing done to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Whose log it is in.
    pub(crate) who: String,
    /// Before anything was sent.
    pub(crate) began: u64,
    /// After the answer was read.
    pub(crate) ended: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// A signature left the daemon and arrived.
    Released(Release),
    /// The daemon said no.
    Refused { ask: Ask, reason: String, detail: String },
    /// Nobody answered, and the client asks again. `since` is when it began to connect.
    Unanswered { ask: Ask, since: u64, cause: String },
    /// The client's patience ended without an answer.
    Abandoned { ask: Ask },
    /// A checkpoint was shown.
    Checkpoint { note: String },
    /// The daemon's proof that one tree extends another; hashes are hexadecimal.
    Consistency { old_size: u64, new_size: u64, old_root: String, new_root: String, hashes: Vec<String> },
    /// The size of the tree was shown.
    TreeSize { size: u64 },
    /// The whole of what the daemon's status says about guards.
    Guards { guards: Vec<GuardSeen> },
    /// What an explanation says about one guard.
    Explained { repository: String, role: String, version: u64 },
    /// A reading call was refused or not answered.
    Unread { call: String, since: u64, reason: String },
    /// SIGKILL, from before the signal until the process was reaped. A cut takes the unsynced page cache with it.
    Killed { power_cut: bool },
    /// SIGTERM, likewise.
    Stopped,
    /// From the start of the process until the first answer.
    Serving,
    /// The process ended by itself.
    Ended { log: String },
}

/// One payload, as it was asked for. The same `id` and `item` with the same payload is asked until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) id: String,
    /// Place in a batch.
    pub(crate) item: usize,
    pub(crate) repository: String,
    pub(crate) role: String,
    pub(crate) version: u64,
    /// SHA-256 of the payload, hexadecimal.
    pub(crate) digest: String,
    pub(crate) payload: String,
    pub(crate) encoding: Encoding,
    /// One key of the role; all of them otherwise.
    pub(crate) key: Option<String>,
}

/// One signature, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) ask: Ask,
    /// What the answer says was signed.
    pub(crate) version: u64,
    pub(crate) digest: String,
    pub(crate) key: String,
    /// Hexadecimal, in the encoding that was asked for.
    pub(crate) signature: String,
    /// advance, cosign or replay.
    pub(crate) step: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardSeen {
    pub(crate) repository: String,
    pub(crate) role: String,
    pub(crate) epoch: u32,
    pub(crate) version: u64,
}

/// The clock of one run.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Instant>);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Arc::new(Instant::now()))
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap()
    }
}

/// One writer's file.
pub(crate) struct Journal {
    who: String,
    file: File,
    clock: Clock,
}

impl Journal {
    pub(crate) fn open(directory: &Path, who: &str, clock: &Clock) -> Self {
        let path = directory.join(format!("{who}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { who: who.to_owned(), file, clock: clock.clone() }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(crate) fn write(&mut self, began: u64, ended: u64, what: What) {
        let entry = Entry { who: self.who.clone(), began, ended, what };
        let mut line = serde_json::to_vec(&entry).unwrap();
        line.push(b'\n');
        self.file.write_all(&line).unwrap();
    }
}

/// Every entry of every file in the directory, by the end of the call.
pub(crate) fn read(directory: &Path) -> Vec<Entry> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")).map(std::fs::read_to_string);
    let mut entries: Vec<Entry> = Vec::new();
    for text in texts {
        entries.extend(text.unwrap().lines().map(|line| serde_json::from_str::<Entry>(line).unwrap()));
    }
    entries.sort_by_key(|entry| entry.ended);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_in_the_order_of_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let (mut one, mut two) =
            (Journal::open(directory.path(), "one", &clock), Journal::open(directory.path(), "two", &clock));
        one.write(1, 5, What::Serving);
        two.write(2, 3, What::TreeSize { size: 9 });
        Journal::open(directory.path(), "one", &clock).write(6, 7, What::Killed { power_cut: true });
        let read: Vec<_> = read(directory.path()).into_iter().map(|entry| (entry.who, entry.ended)).collect();
        assert_eq!(read, [("two".into(), 3), ("one".into(), 5), ("one".into(), 7)]);
    }
}
