//! What stands at the path.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sealward::config::{Code, load};

use super::{LEAST, usual};

fn code(path: &Path) -> Code {
    let errors = load(path).unwrap_err();
    assert!(errors.to_string().starts_with(&path.display().to_string()), "{errors}");
    errors.iter().next().unwrap().code
}

fn written(bytes: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sealward.toml");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (directory, path)
}

#[test]
fn a_file_is_read_and_its_relative_paths_are_its_neighbours() {
    let (directory, path) = written(usual().as_bytes(), 0o644);
    let configuration = load(&path).unwrap();
    assert_eq!(configuration.ledger.directory, directory.path().join("ledger"));
}

#[test]
fn a_missing_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(code(&directory.path().join("none.toml")), Code::Missing);
    let (_directory, path) = written(b"", 0o600);
    assert_eq!(code(&path.join("below-a-file")), Code::Unreadable);
}

#[test]
fn a_directory_a_device_and_a_pipe_are_no_files() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(code(directory.path()), Code::NotAFile);
    assert_eq!(code(Path::new("/dev/null")), Code::NotAFile);
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(code(&pipe), Code::NotAFile, "and it does not wait for a writer");
}

#[test]
fn a_file_without_leave_to_read_is_named() {
    let (_directory, path) = written(LEAST.as_bytes(), 0o000);
    // Root reads everything; everybody else is told.
    if fs::read(&path).is_ok() {
        assert!(load(&path).is_ok());
    } else {
        assert_eq!(code(&path), Code::Unreadable);
    }
}

#[test]
fn readable_by_all_is_fine_and_writable_by_all_is_refused() {
    for (mode, fine) in [(0o644, true), (0o600, true), (0o664, true), (0o646, false), (0o666, false), (0o602, false)] {
        let (_directory, path) = written(LEAST.as_bytes(), mode);
        match load(&path) {
            Ok(_) => assert!(fine, "{mode:o}"),
            Err(errors) => {
                assert!(!fine, "{mode:o} {errors}");
                assert_eq!(errors.iter().next().unwrap().code, Code::WorldWritable);
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let (_directory, path) = written(b"version = 1\nname = \"\xff\"\n", 0o600);
    let errors = load(&path).unwrap_err();
    let error = errors.iter().next().unwrap();
    let at = error.position.unwrap();
    assert_eq!((error.code, at.line, at.column), (Code::NotUtf8, 2, 9));
    let (_directory, path) =
        written("version = 1".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice(), 0o600);
    assert_eq!(code(&path), Code::Syntax, "UTF-16 is text full of NUL");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let (_directory, path) = written(b"", 0o600);
    // Sparse: 8 TiB on paper, nothing on the disk.
    let sparse = fs::File::options().write(true).open(&path).unwrap().set_len(8 << 40);
    if sparse.is_err() {
        fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    }
    assert_eq!(code(&path), Code::TooLarge);
}
