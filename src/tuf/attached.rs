//! The signed snapshot that comes along with a timestamp.

use crate::domain::law::sign::AttachedSnapshot;
use crate::domain::name::{MetadataType, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};

use super::envelope::Envelope;
use super::metadata::read_signed;
use super::verify::MAX_FILE_BYTES;

/// Reads the file of a snapshot: its version, and the length and digest that a timestamp may list. Its signatures are not
/// checked; the law compares `signed_digest` with what was released here.
///
/// Denials: `snapshot-bytes-mismatch` for metadata of another type; those of [`Envelope::parse`] and [`read_signed`].
pub fn attached_snapshot(file: &[u8]) -> Result<AttachedSnapshot, Denial> {
    let envelope = Envelope::parse(file, MAX_FILE_BYTES)?;
    let statement = read_signed(&envelope.signed, MAX_FILE_BYTES)?;
    if statement.metadata_type() != MetadataType::Snapshot {
        let detail = format!("the attached file is of type {}, not snapshot", statement.metadata_type());
        return Err(Denial::new(Reason::SnapshotBytesMismatch, detail));
    }
    Ok(AttachedSnapshot {
        signed_digest: statement.digest(),
        version: statement.version(),
        file_length: u64::try_from(file.len()).unwrap_or(u64::MAX),
        file_digest: Sha256Digest::of(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::envelope::assemble;

    const SNAPSHOT: &str = "{\"_type\":\"snapshot\",\"expires\":\"2030-01-01T00:00:00Z\",\
                            \"meta\":{\"targets.json\":{\"version\":3}},\"spec_version\":\"1.0.31\",\"version\":7}";

    #[test]
    fn length_and_digest_are_those_of_the_file_and_not_of_what_was_signed() {
        let file = assemble(SNAPSHOT.as_bytes(), &[]).unwrap();
        let read = attached_snapshot(&file).unwrap();
        assert_eq!(read.version.get(), 7);
        assert_eq!(read.signed_digest, Sha256Digest::of(SNAPSHOT.as_bytes()));
        assert_eq!((read.file_length, read.file_digest), (file.len() as u64, Sha256Digest::of(&file)));
        let mut pretty = file.clone();
        pretty.push(b'\n');
        let other = attached_snapshot(&pretty).unwrap();
        assert_eq!(other.signed_digest, read.signed_digest);
        assert_ne!(other.file_digest, read.file_digest);
    }

    #[test]
    fn other_files_are_refused() {
        let targets = "{\"_type\":\"targets\",\"expires\":\"2030-01-01T00:00:00Z\",\"spec_version\":\"1.0.31\",\
                       \"targets\":{},\"version\":7}";
        let reason = |file: &[u8]| attached_snapshot(file).unwrap_err().reason;
        assert_eq!(reason(&assemble(targets.as_bytes(), &[]).unwrap()), Reason::SnapshotBytesMismatch);
        assert_eq!(reason(SNAPSHOT.as_bytes()), Reason::MalformedMetadata);
        assert_eq!(reason(b""), Reason::MalformedMetadata);
        assert_eq!(reason(&vec![b' '; MAX_FILE_BYTES + 1]), Reason::PayloadTooLarge);
    }
}
