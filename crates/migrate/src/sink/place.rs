//! Where an image is written: opened anew for each life of a sink.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use diskimage::output::{FileOutput, Output};
use transfer::{Error, ErrorKind, Result};

use crate::copy::sync_directory;

/// A place that can be opened for writing, again and again.
pub trait Place: Send + Sync {
    /// What it gives to a writer.
    type Output: Output + 'static;

    /// Returns its name, for messages.
    fn name(&self) -> &str;

    /// Opens it. With `fresh` it is made where it is missing; what it holds is then given up by
    /// whoever writes to it.
    ///
    /// # Errors
    /// [`ErrorKind::Sink`], [`ErrorKind::Full`]; [`ErrorKind::Checkpoint`] where something is to be gone on
    /// with and is not there.
    fn open(&self, fresh: bool) -> Result<Self::Output>;
}

/// A file, readable by its owner only, never reached through a symbolic link.
#[derive(Clone, Debug)]
pub struct FilePlace {
    path: PathBuf,
    name: String,
}

impl FilePlace {
    /// Names the file; nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string() }
    }
}

impl Place for FilePlace {
    type Output = FileOutput;

    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, fresh: bool) -> Result<FileOutput> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(fresh).mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let file = match options.open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !fresh => {
                let context = format!("go on with {}", self.name);
                return Err(Error::new(ErrorKind::Checkpoint, context).with_source(error));
            }
            opened => opened,
        };
        let output = file.and_then(|file| {
            // A device under this name would be overwritten without the guard of `DevicePlace`.
            if !file.metadata()?.is_file() {
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"));
            }
            // A crash must not take the name of what a journal is about to speak of.
            if fresh {
                sync_directory(&self.path)?;
            }
            FileOutput::new(file)
        });
        output.map_err(|error| Error::sink_io(format!("open {}", self.name), error))
    }
}

/// A block device, which was opened so that nobody else can take it.
///
/// The descriptor is kept over the lives of sinks: between them nobody can take the device either.
#[derive(Debug)]
pub struct DevicePlace {
    device: File,
    name: String,
}

impl DevicePlace {
    /// Wraps what [`diskimage::raw::device::open`] returned.
    #[must_use]
    pub fn new(device: File, path: &Path) -> Self {
        Self { device, name: path.display().to_string() }
    }
}

impl Place for DevicePlace {
    type Output = FileOutput;

    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, _fresh: bool) -> Result<FileOutput> {
        let output = self.device.try_clone().and_then(FileOutput::new);
        output.map_err(|error| Error::sink_io(format!("open {}", self.name), error))
    }
}
