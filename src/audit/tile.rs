//! C2SP tlog-tiles: how a tree lies in files (<https://c2sp.org/tlog-tiles>). Values only; files are others' business.

use super::merkle::{Hash, empty_root, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: usize = 256;

/// log2 of [`WIDTH`].
const HEIGHT: u32 = 8;

/// The largest entry bundle in bytes.
pub const MAX_BUNDLE_BYTES: usize = WIDTH * (2 + u16::MAX as usize);

/// A bundle or an entry does not have the form of tlog-tiles. A retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// An entry longer than 65535 bytes cannot be written.
    #[error("an entry of {0} bytes does not fit into a bundle")]
    EntryTooLong(usize),
    /// The bundle ends within an entry: it was cut.
    #[error("the bundle ends within an entry")]
    Truncated,
    /// The bundle goes on after its last entry.
    #[error("the bundle goes on after its last entry")]
    Trailing,
}

/// The path of a tile of hashes below the log's prefix: `tile/0/x001/067`, or `….p/WIDTH` when it is not full.
pub fn tile_path(level: u8, index: u64, width: usize) -> String {
    format!("tile/{level}/{}", position(index, width))
}

/// The path of an entry bundle below the log's prefix.
pub fn entries_path(index: u64, width: usize) -> String {
    format!("tile/entries/{}", position(index, width))
}

/// Level, index and width of a tile's path; `None` for every other text, other spellings of the same place included.
pub fn parse_tile_path(path: &str) -> Option<(u8, u64, usize)> {
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (level, (index, width)) = (level.parse().ok()?, parse_position(rest)?);
    (tile_path(level, index, width) == path).then_some((level, index, width))
}

/// Index and width of an entry bundle's path; `None` for every other text.
pub fn parse_entries_path(path: &str) -> Option<(u64, usize)> {
    let (index, width) = parse_position(path.strip_prefix("tile/entries/")?)?;
    (entries_path(index, width) == path).then_some((index, width))
}

/// How many tiles (or bundles, at level 0) a tree of `size` leaves has at a level: full ones, and the width of the last
/// one when that is not full.
pub fn tiles_at(level: u8, size: u64) -> (u64, usize) {
    let hashes = size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0);
    // The remainder of a division by 256 fits.
    (hashes / WIDTH as u64, (hashes % WIDTH as u64) as usize)
}

/// Appends an entry with its length as two bytes, big-endian.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong(entry.len()))?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle of `width` entries.
pub fn entries(mut bundle: &[u8], width: usize) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::with_capacity(width.min(WIDTH));
    for _ in 0..width {
        let (length, rest) = bundle.split_first_chunk().ok_or(BundleError::Truncated)?;
        let (entry, rest) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(BundleError::Truncated)?;
        entries.push(entry);
        bundle = rest;
    }
    if bundle.is_empty() { Ok(entries) } else { Err(BundleError::Trailing) }
}

/// The tiles of a growing tree: hands out each as it fills, and holds only the last one of each level.
#[derive(Debug, Default)]
pub struct TileStack {
    levels: Vec<Level>,
    size: u64,
}

#[derive(Debug, Default)]
struct Level {
    full: u64,
    hashes: Vec<Hash>,
}

impl TileStack {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash. Each tile that fills is handed to `full` as level, index and hashes.
    pub fn push<E>(&mut self, leaf: Hash, mut full: impl FnMut(u8, u64, &[Hash]) -> Result<(), E>) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        let mut number = 0u8;
        loop {
            if self.levels.len() == usize::from(number) {
                self.levels.push(Level::default());
            }
            let Some(level) = self.levels.get_mut(usize::from(number)) else { return Ok(()) };
            level.hashes.push(hash);
            if level.hashes.len() < WIDTH {
                return Ok(());
            }
            full(number, level.full, &level.hashes)?;
            hash = complete_hash(&level.hashes);
            level.full += 1;
            level.hashes.clear();
            number += 1;
        }
    }

    /// The last tile of each level where it is not full and not empty: level, index, hashes.
    pub fn partial(&self) -> impl Iterator<Item = (u8, u64, &[Hash])> {
        (0u8..).zip(&self.levels).filter(|(_, l)| !l.hashes.is_empty()).map(|(n, l)| (n, l.full, l.hashes.as_slice()))
    }

    /// The root of the tree so far.
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for level in &self.levels {
            let mut rest = level.hashes.as_slice();
            // From the right: the smallest complete subtree stands last.
            while let Some(size) = 1usize.checked_shl(rest.len().trailing_zeros()) {
                let (before, subtree) = rest.split_at(rest.len() - size);
                let left = complete_hash(subtree);
                root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                rest = before;
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

/// The bytes of a tile: its hashes, one after the other.
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The hash over a power of two of hashes.
fn complete_hash(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        [] => empty_root(),
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(&complete_hash(left), &complete_hash(right))
        }
    }
}

/// Groups of three digits, all but the last with an `x`; then the width, unless full.
fn position(index: u64, width: usize) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

/// Reads generously what [`position`] writes; the callers compare.
fn parse_position(text: &str) -> Option<(u64, usize)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?),
        None => (text, WIDTH),
    };
    let mut index = 0u64;
    for group in groups.split('/') {
        let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(digits)?;
    }
    Some((index, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(3, 0, 1), "tile/3/000.p/1");
        assert_eq!(entries_path(999, 255), "tile/entries/999.p/255");
        assert_eq!(entries_path(1000, 256), "tile/entries/x001/000");
        assert_eq!(tiles_at(0, 600), (2, 88));
        assert_eq!(tiles_at(1, 600), (0, 2));
        assert_eq!(tiles_at(2, 600), (0, 0));
        assert_eq!(tiles_at(8, u64::MAX), (0, 0));
    }

    #[test]
    fn a_place_has_one_path() {
        for (level, index, width) in [(0, 0, 256), (63, u64::MAX, 1), (5, 1_234_067, 255)] {
            assert_eq!(parse_tile_path(&tile_path(level, index, width)), Some((level, index, width)));
            assert_eq!(parse_entries_path(&entries_path(index, width)), Some((index, width)));
        }
        let huge = format!("tile/0/{}", "x999/".repeat(10_000));
        for bad in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/+00",
            "tile/00/000",
            "tile/256/000",
            "tile/0/x000/001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000/x001",
            "tile/-1/000",
            "tile/0/../000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            &huge,
            "checkpoint",
            "tile/entries/000",
        ] {
            assert_eq!(parse_tile_path(bad), None, "{bad:.40}");
        }
        for bad in ["tile/entries/", "tile/entries/0", "tile/entries/000.p/256", "tile/0/000"] {
            assert_eq!(parse_entries_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn hostile_bundles_are_refused() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"one").unwrap();
        push_entry(&mut bundle, b"").unwrap();
        assert_eq!(entries(&bundle, 2), Ok(vec![&b"one"[..], b""]));
        assert_eq!(entries(&bundle, 1), Err(BundleError::Trailing));
        assert_eq!(entries(&bundle, 3), Err(BundleError::Truncated));
        assert_eq!(entries(&bundle, usize::MAX), Err(BundleError::Truncated));
        for cut in 0..bundle.len() {
            assert_eq!(entries(&bundle[..cut], 2), Err(BundleError::Truncated), "{cut}");
        }
        assert_eq!(entries(&[0xff; 40], 1), Err(BundleError::Truncated));
        assert_eq!(push_entry(&mut bundle, &[0; 65_536]), Err(BundleError::EntryTooLong(65_536)));
    }
}
