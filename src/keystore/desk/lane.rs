//! One priority of a desk's queue: a turn for each asker, first in first out for each of them.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use super::queue::Entry;

/// For whom a keystore works, as far as a queue has to know: those with the same name share one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker(u64);

impl Asker {
    /// Of a name. Two names may share a turn, once in an age.
    pub fn named(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

pub(super) struct Lane<J> {
    waiting: BTreeMap<Asker, VecDeque<Entry<J>>>,
    /// Whose turn it is; each asker that waits stands here once.
    turns: VecDeque<Asker>,
}

impl<J> Default for Lane<J> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), turns: VecDeque::new() }
    }
}

impl<J> Lane<J> {
    pub(super) fn push(&mut self, asker: Asker, entry: Entry<J>) {
        let own = self.waiting.entry(asker).or_default();
        if own.is_empty() {
            self.turns.push_back(asker);
        }
        own.push_back(entry);
    }

    /// The oldest entry of whoever's turn it is.
    pub(super) fn pop(&mut self) -> Option<Entry<J>> {
        let asker = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&asker)?;
        let entry = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        entry
    }

    /// How many entries an asker has here.
    pub(super) fn count(&self, asker: Asker) -> usize {
        self.waiting.get(&asker).map_or(0, VecDeque::len)
    }

    /// Who has the most entries here, and how many.
    pub(super) fn longest(&self) -> Option<(Asker, usize)> {
        self.waiting.iter().map(|(asker, own)| (*asker, own.len())).max_by_key(|(_, count)| *count)
    }

    /// Takes the newest entry of an asker out.
    pub(super) fn drop_newest(&mut self, asker: Asker) -> Option<Entry<J>> {
        let own = self.waiting.get_mut(&asker)?;
        let entry = own.pop_back();
        if own.is_empty() {
            self.waiting.remove(&asker);
            self.turns.retain(|other| *other != asker);
        }
        entry
    }

    /// Takes out what is late; the others' earliest deadline is told to `keep`.
    pub(super) fn take_expired(&mut self, now: Instant, expired: &mut Vec<J>, mut keep: impl FnMut(Instant)) {
        for own in self.waiting.values_mut() {
            for entry in std::mem::take(own) {
                if entry.deadline <= now {
                    expired.push(entry.job);
                } else {
                    keep(entry.deadline);
                    own.push_back(entry);
                }
            }
        }
        self.waiting.retain(|_, own| !own.is_empty());
        self.turns.retain(|asker| self.waiting.contains_key(asker));
    }

    /// Everything that waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = J> {
        self.turns.clear();
        std::mem::take(&mut self.waiting).into_values().flatten().map(|entry| entry.job)
    }
}
