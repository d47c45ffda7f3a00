//! Where a journal's bytes lie: a file beside the partial one, or memory in tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Result;

/// An append-only file, as far as a journal needs one.
pub trait Store: Send {
    /// Returns everything that was appended and not cut off.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Sink`].
    fn read(&mut self) -> Result<Vec<u8>>;

    /// Adds bytes at the end. Not durable before [`Store::sync`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Full`] or [`crate::ErrorKind::Sink`]; then part of the bytes may be there.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Cuts everything off behind the first `len_bytes` bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Sink`].
    fn truncate(&mut self, len_bytes: u64) -> Result<()>;

    /// Makes the present contents and length durable.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Full`] or [`crate::ErrorKind::Sink`]; final, as every failed sync is.
    fn sync(&mut self) -> Result<()>;
}

/// Implements [`Store`] for a pointer to one.
macro_rules! store_behind {
    ($pointer:ty) => {
        impl<S: Store + ?Sized> Store for $pointer {
            fn read(&mut self) -> Result<Vec<u8>> {
                (**self).read()
            }

            fn append(&mut self, bytes: &[u8]) -> Result<()> {
                (**self).append(bytes)
            }

            fn truncate(&mut self, len_bytes: u64) -> Result<()> {
                (**self).truncate(len_bytes)
            }

            fn sync(&mut self) -> Result<()> {
                (**self).sync()
            }
        }
    };
}

store_behind!(&mut S);
store_behind!(Box<S>);

/// A store in memory that a crash takes back to its last sync; clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    visible: Vec<u8>,
    durable: Vec<u8>,
}

impl MemoryStore {
    /// Makes a store that holds these bytes durably.
    pub fn holding(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(Contents { visible: bytes.to_vec(), durable: bytes.to_vec() })))
    }

    /// Returns what a reader sees now.
    pub fn contents(&self) -> Vec<u8> {
        self.lock().visible.clone()
    }

    /// Loses what was not synced, but for the first `torn_bytes` bytes of what was appended since.
    pub fn crash(&self, torn_bytes: usize) {
        let mut contents = self.lock();
        let kept = contents.visible.len().min(contents.durable.len() + torn_bytes);
        let torn = contents.visible.get(contents.durable.len()..kept).unwrap_or_default().to_vec();
        contents.durable.extend(torn);
        contents.visible = contents.durable.clone();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn read(&mut self) -> Result<Vec<u8>> {
        Ok(self.contents())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.lock().visible.extend(bytes);
        Ok(())
    }

    fn truncate(&mut self, len_bytes: u64) -> Result<()> {
        let mut contents = self.lock();
        let len = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(contents.visible.len());
        contents.visible.truncate(len);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let mut contents = self.lock();
        contents.durable = contents.visible.clone();
        Ok(())
    }
}
