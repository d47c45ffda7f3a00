//! Files that an image names, wherever they are: for a user who trusts the image.

use std::path::PathBuf;
use std::sync::Arc;

use diskimage::image::{ByteSource, FileSource, Files};

/// Resolves names as the image's own host would: relative ones against its folder, absolute ones as they are.
#[derive(Debug)]
pub(super) struct Anywhere(pub(super) PathBuf);

impl Files for Anywhere {
    fn open(&self, name: &str) -> diskimage::Result<Arc<dyn ByteSource>> {
        Ok(Arc::new(FileSource::open(&self.0.join(name))?))
    }
}
