//! File systems that a test mounts.

use std::env;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::skip::skipped;

/// A file system of its own, gone when dropped.
pub struct Mounted(pub TempDir);

impl Mounted {
    /// Mounts a tmpfs, where the test may: in a container without the privilege it says so and there is none.
    pub fn tmpfs(options: &str) -> Option<Self> {
        Self::tmpfs_in(&env::temp_dir(), options)
    }

    /// Mounts one in a new folder of this folder.
    pub fn tmpfs_in(folder: &Path, options: &str) -> Option<Self> {
        let folder = TempDir::new_in(folder).expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                skipped(&format!(
                    "no tmpfs ({options}) can be mounted here, which takes root"
                ));
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, so that a failed assertion's open file does not keep it; nothing more can be done on failure.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
