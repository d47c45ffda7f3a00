//! Opens a block device to be overwritten, if nobody uses it.
//!
//! The guard is the kernel's: a device that is opened with `O_EXCL` cannot be mounted, swapped on,
//! or taken by LVM, device mapper or RAID, and one that is cannot be opened so. To say *who* uses
//! it, mounts, swaps and holders are looked up afterwards. A program that merely has the device
//! open (a running QEMU) is not noticed by anybody.
//!
//! A path that the user named is followed like any other: the symbolic links of `/dev/disk` and of
//! LVM are meant.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, major, minor};
use rustix::io::Errno;

use crate::{Error, ErrorKind, Result};

/// Opens a block device for reading and writing, and keeps everybody else from taking it.
///
/// # Errors
/// `Misuse` for what is no block device, or one in use; the error names the user where it is
/// known. `Io` for what cannot be opened.
pub fn open(path: &Path) -> Result<File> {
    let name = path.display().to_string();
    let cannot_open = |source: io::Error| Error::io("cannot open the device", source).in_file(&name);
    let metadata = fs::metadata(path).map_err(cannot_open)?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::misuse("a device to be overwritten is a block device").in_file(&name));
    }
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => {
            let file = File::from(file);
            // The name may have changed its meaning since; what is open counts.
            let opened = file.metadata().map_err(cannot_open)?;
            if opened.rdev() != metadata.rdev() || !opened.file_type().is_block_device() {
                return Err(Error::misuse("a device stays the same while it is opened").in_file(&name));
            }
            Ok(file)
        }
        Err(Errno::BUSY) => {
            let device = Number { major: major(metadata.rdev()), minor: minor(metadata.rdev()) };
            let user = device.user().unwrap_or_else(|| "somebody whom the system does not name".to_owned());
            let error = Error::new(ErrorKind::Misuse, "a device to be overwritten is used by nobody");
            Err(error.found(format!("it is used by {user}")).in_file(&name))
        }
        Err(errno) => Err(cannot_open(errno.into())),
    }
}

/// How the kernel numbers a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    major: u32,
    minor: u32,
}

impl Number {
    /// Returns who uses the device or a part of it, as words.
    fn user(self) -> Option<String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mounts = read("/proc/self/mountinfo");
        let sys = format!("/sys/dev/block/{}:{}", self.major, self.minor);
        let mut devices = vec![self];
        devices.extend(parts(Path::new(&sys)));
        let mounted = devices.iter().find_map(|device| mounted_at(&mounts, *device));
        let holder = || first_name(Path::new(&format!("{sys}/holders"))).map(|name| format!("the device {name}"));
        let swaps = || swap_of(&read("/proc/swaps"), &devices);
        mounted.or_else(holder).or_else(swaps)
    }
}

/// Returns the partitions of a device.
fn parts(sys: &Path) -> Vec<Number> {
    let entries = fs::read_dir(sys).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| entry.path().join("partition").exists());
    parts.filter_map(|entry| number(fs::read_to_string(entry.path().join("dev")).ok()?.trim())).collect()
}

fn number(text: &str) -> Option<Number> {
    let (major, minor) = text.split_once(':')?;
    Some(Number { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

fn first_name(folder: &Path) -> Option<String> {
    let entry = fs::read_dir(folder).ok()?.flatten().next()?;
    Some(entry.file_name().to_string_lossy().into_owned())
}

/// Returns where `/proc/self/mountinfo` says that a device is mounted: the third field is the
/// number, the fifth the place.
fn mounted_at(mounts: &str, device: Number) -> Option<String> {
    mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').take(5).collect();
        let [_, _, found, _, place] = fields[..] else {
            return None;
        };
        (number(found) == Some(device)).then(|| format!("the mount at {place}"))
    })
}

/// Returns whether `/proc/swaps` names one of these devices.
fn swap_of(swaps: &str, devices: &[Number]) -> Option<String> {
    swaps.lines().skip(1).find_map(|line| {
        let path = line.split_whitespace().next()?;
        let rdev = fs::metadata(path).ok()?.rdev();
        let found = Number { major: major(rdev), minor: minor(rdev) };
        devices.contains(&found).then(|| format!("the swap space {path}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_the_number_of_its_device() {
        let mounts = "22 27 0:21 / /proc rw - proc proc rw\n\
                      36 27 8:1 / /data rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      broken line\n";
        let found = |major, minor| mounted_at(mounts, Number { major, minor });
        assert_eq!(found(8, 1), Some("the mount at /data".to_owned()));
        assert_eq!(found(8, 0), None);
        assert_eq!(found(0, 21), Some("the mount at /proc".to_owned()));
    }

    #[test]
    fn what_is_no_block_device_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/dev/null"), Path::new("/")] {
            assert_eq!(open(path).unwrap_err().kind(), ErrorKind::Misuse, "{}", path.display());
        }
        assert_eq!(open(Path::new("/dev/absent")).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn numbers_are_read_and_nothing_else_is() {
        assert_eq!(number("259:3"), Some(Number { major: 259, minor: 3 }));
        for text in ["", "259", "a:b", "1:2:3"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
