//! Block devices, by the loop driver; root only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use diskimage::ErrorKind;
use diskimage::output::FileOutput;
use diskimage::raw::device;
use diskimage::raw::write::{Options, RawWriter};

use crate::writers::{Call, Model, Random};

/// What stood on the device before.
const STALE: u8 = 0xee;
const DEVICE: usize = 8 << 20;

/// A loop device on a file full of stale bytes.
struct Loop {
    path: PathBuf,
    backing: tempfile::NamedTempFile,
}

impl Loop {
    /// Makes a device, or says why `test` is skipped.
    fn attach(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            judges::skip(test, "a loop device needs root");
            return None;
        }
        let backing = tempfile::NamedTempFile::new().unwrap();
        fs::write(backing.path(), vec![STALE; DEVICE]).unwrap();
        match run("losetup", &["--find", "--show", &backing.path().to_string_lossy()]) {
            Ok(path) => Some(Self { path: PathBuf::from(path.trim()), backing }),
            Err(reason) => {
                judges::skip(test, &format!("no loop device: {reason}"));
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let detached = run("losetup", &["--detach", &self.path.to_string_lossy()]);
        assert!(detached.is_ok() || std::thread::panicking(), "{detached:?}");
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn open(path: &Path) -> FileOutput {
    FileOutput::new(device::open(path).unwrap()).unwrap()
}

#[test]
fn a_device_is_overwritten_as_far_as_the_disk_goes_zeros_too() {
    let Some(device) = Loop::attach("a_device_is_overwritten_as_far_as_the_disk_goes_zeros_too") else {
        return;
    };
    let capacity = 5 * 65536 + 512;
    let options = Options::new(u64::try_from(capacity).unwrap());
    let mut random = Random::new(1);
    let mut model = Model::new(capacity);
    // Unlike a file, a device holds something before the first write.
    model.known.fill(false);
    let mut writer = RawWriter::create(open(&device.path), options).unwrap();
    for number in 0..60 {
        model.apply(&writer, &Call::random(&mut random, capacity)).unwrap();
        if number % 20 == 19 {
            drop(writer);
            writer = RawWriter::reopen(open(&device.path), options, &model.list()).unwrap();
            model.check_writer(&writer, "after a reopen");
        }
    }
    model.complete(&writer, &mut random).unwrap();
    model.check_writer(&writer, "through the writer");
    writer.finish().unwrap();
    let found = fs::read(device.backing.path()).unwrap();
    model.check(&found[..capacity], "in the file below the device");
    assert!(found[capacity..].iter().all(|byte| *byte == STALE), "what is behind the disk is left alone");
}

#[test]
fn a_device_that_is_too_small_is_refused() {
    let Some(device) = Loop::attach("a_device_that_is_too_small_is_refused") else {
        return;
    };
    let options = Options::new(u64::try_from(DEVICE + 512).unwrap());
    let error = RawWriter::create(open(&device.path), options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
}

#[test]
fn a_device_in_use_is_refused_by_the_name_of_its_user() {
    let test = "a_device_in_use_is_refused_by_the_name_of_its_user";
    let Some(device) = Loop::attach(test) else {
        return;
    };
    let held = device::open(&device.path).unwrap();
    let error = device::open(&device.path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("is used by"), "{error}");
    drop(held);

    let folder = tempfile::tempdir().unwrap();
    let (path, place) = (device.path.to_string_lossy(), folder.path().to_string_lossy());
    let mounted = run("mkfs.ext4", &["-q", &path]).and_then(|_| run("mount", &[&path, &place]));
    if let Err(reason) = mounted {
        judges::skip(test, &format!("cannot mount: {reason}"));
        return;
    }
    let refused = device::open(&device.path);
    run("umount", &[&place]).unwrap();
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains(&format!("the mount at {place}")), "{error}");
    assert!(device::open(&device.path).is_ok(), "free again");
}
