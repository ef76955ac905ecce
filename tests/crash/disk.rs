//! A small ext4 file system in a file. Cutting its power is copying the file: what was written but not synced is in the
//! page cache above the loop device, never in the file below it. The mount of the copy replays the journal, as after a
//! real cut. Lost page cache is all that this models: no torn sectors, no disk that lies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const MEGABYTES: u64 = 64;

/// Mounted as long as it lives.
pub(crate) struct LoopDisk {
    home: PathBuf,
    mount_point: PathBuf,
    image: PathBuf,
    cuts: usize,
    mounted: bool,
}

impl LoopDisk {
    /// Why this machine cannot cut power, if it cannot.
    pub(crate) fn missing() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("mounting a loop device needs root".to_owned());
        }
        if !Path::new("/dev/loop-control").exists() {
            return Some("there is no /dev/loop-control".to_owned());
        }
        let directory = tempfile::Builder::new().prefix("sealward-crash-").tempdir().unwrap();
        let mut probe = Self::unmounted(directory.path());
        probe.format().and_then(|()| probe.mount()).err()
    }

    /// A new, empty, mounted file system; its files are kept in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let mut disk = Self::unmounted(home);
        disk.format().and_then(|()| disk.mount()).unwrap();
        disk
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// As `sync -f`.
    pub(crate) fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.mount_point).unwrap()).unwrap();
    }

    /// Everything that was not synced is gone, and the file system is mounted again at the same place. Nobody may have a
    /// file open in it.
    pub(crate) fn cut_power(&mut self) {
        self.cuts += 1;
        let copy = self.home.join(format!("disk-{}", self.cuts));
        fs::copy(&self.image, &copy).unwrap();
        self.unmount();
        fs::remove_file(&self.image).unwrap();
        self.image = copy;
        self.mount().unwrap();
    }

    fn unmounted(home: &Path) -> Self {
        let mount_point = home.join("disk");
        fs::create_dir(&mount_point).unwrap();
        Self { home: home.to_owned(), mount_point, image: home.join("disk-0"), cuts: 0, mounted: false }
    }

    fn format(&self) -> Result<(), String> {
        File::create(&self.image).and_then(|file| file.set_len(MEGABYTES << 20)).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&self.image))
    }

    fn mount(&mut self) -> Result<(), String> {
        // A journal that commits by the clock would hide a missing sync, and move below the copy.
        let options = ["-t", "ext4", "-o", "loop,commit=600,nosuid,nodev"];
        run(Command::new("mount").args(options).arg(&self.image).arg(&self.mount_point))?;
        self.mounted = true;
        Ok(())
    }

    /// Frees the loop device as well: `mount -o loop` sets it to detach itself.
    fn unmount(&mut self) {
        if !std::mem::take(&mut self.mounted) {
            return;
        }
        if let Err(error) = run(Command::new("umount").arg(&self.mount_point)) {
            eprintln!("{error}; the mount is taken out of the tree and ends with its last user");
            drop(
                run(Command::new("umount").arg("-l").arg(&self.mount_point)).inspect_err(|error| eprintln!("{error}")),
            );
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn mounts() -> String {
        fs::read_to_string("/proc/self/mountinfo").unwrap()
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced_and_leaves_what_was() {
        if let Some(why) = LoopDisk::missing() {
            return crate::skipped(&why);
        }
        let home = tempfile::tempdir().unwrap();
        let mut disk = LoopDisk::new(home.path());
        let path = |name: &str| home.path().join("disk").join(name);
        let write = |name: &str| {
            let mut file = File::create(path(name)).unwrap();
            file.write_all(name.as_bytes()).unwrap();
            file
        };
        write("synced").sync_all().unwrap();
        drop(write("forgotten"));
        disk.cut_power();
        assert_eq!(fs::read_to_string(path("synced")).unwrap(), "synced");
        assert_ne!(fs::read_to_string(path("forgotten")).unwrap_or_default(), "forgotten");
        drop(write("second"));
        disk.sync();
        disk.cut_power();
        assert_eq!(fs::read_to_string(path("second")).unwrap(), "second");
    }

    #[test]
    fn nothing_stays_mounted_after_a_panic() {
        if let Some(why) = LoopDisk::missing() {
            return crate::skipped(&why);
        }
        let home = tempfile::tempdir().unwrap();
        let place = home.path().to_str().unwrap().to_owned();
        let panicked = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _disk = LoopDisk::new(home.path());
                assert!(!mounts().contains(&place), "as it must be: the disk is mounted");
            });
            thread.join().is_err()
        });
        assert!(panicked && !mounts().contains(&place));
    }
}
