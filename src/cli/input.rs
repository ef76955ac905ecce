//! Files and standard input, bounded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::CliError;
use crate::client::{ClientError, MESSAGE_LIMIT_BYTES};

/// The bytes of a file, or of standard input for `-`. What no request could carry is refused before it is read whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::Input { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    let limit = MESSAGE_LIMIT_BYTES as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    }
    if bytes.len() > MESSAGE_LIMIT_BYTES {
        return Err(ClientError::TooLarge { bytes: bytes.len(), limit: MESSAGE_LIMIT_BYTES }.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_and_absent_inputs_end() {
        let endless = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.exit_code(), 77, "{endless}");
        assert_eq!(read(Path::new("/nonexistent")).unwrap_err().exit_code(), 66);
        assert_eq!(read(Path::new("/")).unwrap_err().exit_code(), 66);
    }
}
