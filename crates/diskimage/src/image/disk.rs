//! A disk that can be read anywhere, and the map of what is stored of it.

use std::ops::Range;
use std::sync::Arc;

use crate::{Error, Result};

/// Most runs that one call of [`Disk::extents`] returns: 384 KiB of memory, whatever the disk.
pub const EXTENTS_MAX: usize = 1 << 14;

/// The bytes of a guest's disk, or of a stretch of one, readable by many threads at once.
///
/// The content does not change while the reader lives, as long as nobody writes its files.
pub trait Disk: Send + Sync {
    /// Returns the size in bytes, a multiple of 512 in every format of VMware's.
    fn capacity_bytes(&self) -> u64;

    /// Fills all of `buf` with the content from `offset` on.
    ///
    /// What is not stored here reads as zeros; [`super::Image`] asks for the map first and reads a
    /// [`ExtentKind::Hole`] from the link below.
    ///
    /// # Errors
    ///
    /// `Misuse` when the range does not lie in the disk, `Corrupt` or `Truncated` where the format
    /// is broken, `Io` when the source fails. After an error the contents of `buf` mean nothing.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Returns what lies in `range` (half-open), without reading the data themselves.
    ///
    /// The runs begin at `range.start`, each begins where the one before ended, none is empty and
    /// none goes beyond `range.end`. The list ends before the range does when it has
    /// [`EXTENTS_MAX`] runs: ask again from where it ended, or let [`extents`] do so. Only for an
    /// empty range is it empty. Neighbours may be of one kind. The cost follows what is stored,
    /// not the length of the range.
    ///
    /// # Errors
    ///
    /// As [`Disk::read_at`].
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>>;

    /// Returns what was noticed so far that does not harm the data, such as a second copy of a
    /// table that stood in for the first.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Checks what no single read can see: that all metadata make sense together.
    ///
    /// A read finds a pointer that leads nowhere; this finds one that leads to the data of another.
    /// What is odd but possible comes out in [`Disk::warnings`]. Formats that have nothing to check
    /// do nothing; a stream is read from front to back.
    ///
    /// # Errors
    ///
    /// As [`Disk::read_at`].
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A run of bytes of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it lies, half-open.
    pub range: Range<u64>,
    /// How it is stored.
    pub kind: ExtentKind,
}

impl Extent {
    /// Returns the length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// How a run is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// As data, which may happen to be zeros.
    Data,
    /// As a statement that it is zero, whatever lies below.
    Zero,
    /// Not here: in the link below, and zeros where there is none.
    Hole,
}

/// Iterates over all runs of a range, in as many calls of [`Disk::extents`] as it takes.
///
/// Ends after the first error.
pub fn extents<D: Disk + ?Sized>(disk: &D, range: Range<u64>) -> impl Iterator<Item = Result<Extent>> {
    let mut next = Some(range.start);
    let mut pending = Vec::new().into_iter();
    std::iter::from_fn(move || {
        loop {
            if let Some(extent) = pending.next() {
                return Some(Ok(extent));
            }
            let start = next.take().filter(|&start| start < range.end)?;
            match disk.extents(start..range.end) {
                Ok(runs) => {
                    next = runs.last().map(|last: &Extent| last.range.end);
                    pending = runs.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    })
}

/// Puts runs together: neighbours of one kind become one, and the list has a limit.
#[derive(Debug)]
pub(crate) struct Runs {
    end: u64,
    list: Vec<Extent>,
}

impl Runs {
    /// Returns an empty list whose first run begins at `start`.
    pub(crate) fn new(start: u64) -> Self {
        Self { end: start, list: Vec::new() }
    }

    /// Adds a run from the end of the last one up to `end`; nothing when it would be empty.
    pub(crate) fn extend_to(&mut self, end: u64, kind: ExtentKind) {
        if end <= self.end {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.kind == kind => last.range.end = end,
            _ => self.list.push(Extent { range: self.end..end, kind }),
        }
        self.end = end;
    }

    /// Returns where the last run ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns whether no more runs should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= EXTENTS_MAX
    }

    pub(crate) fn into_list(self) -> Vec<Extent> {
        self.list
    }
}

/// Checks that a range lies in `0..capacity`; `doing` says what was asked for.
pub(crate) fn check_bounds(range: &Range<u64>, capacity: u64) -> Result<()> {
    if range.start <= range.end && range.end <= capacity {
        return Ok(());
    }
    Err(Error::misuse("a read lies inside the disk")
        .found(format!("bytes {} to {} of {capacity}", range.start, range.end)))
}

/// Returns the range that a read into `len` bytes covers, when it lies in `0..capacity`.
pub(crate) fn read_range(offset: u64, len: usize, capacity: u64) -> Result<Range<u64>> {
    let range = offset..offset.saturating_add(crate::number::u64_from(len));
    check_bounds(&range, capacity)?;
    Ok(range)
}

/// Implements [`Disk`] for a pointer to one.
macro_rules! disk_behind {
    ($pointer:ty) => {
        impl<D: Disk + ?Sized> Disk for $pointer {
            fn capacity_bytes(&self) -> u64 {
                (**self).capacity_bytes()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                (**self).read_at(offset, buf)
            }

            fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
                (**self).extents(range)
            }

            fn warnings(&self) -> Vec<String> {
                (**self).warnings()
            }

            fn check(&self) -> Result<()> {
                (**self).check()
            }
        }
    };
}

disk_behind!(&D);
disk_behind!(Box<D>);
disk_behind!(Arc<D>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// Says that every byte is of another kind than its neighbours.
    struct Stripes(u64);

    impl Disk for Stripes {
        fn capacity_bytes(&self) -> u64 {
            self.0
        }

        fn read_at(&self, _offset: u64, buf: &mut [u8]) -> Result<()> {
            buf.fill(0);
            Ok(())
        }

        fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
            check_bounds(&range, self.0)?;
            let mut runs = Runs::new(range.start);
            while runs.end() < range.end && !runs.is_full() {
                let kind = if runs.end().is_multiple_of(2) { ExtentKind::Data } else { ExtentKind::Hole };
                runs.extend_to(runs.end() + 1, kind);
            }
            Ok(runs.into_list())
        }
    }

    #[test]
    fn a_list_of_runs_is_bounded_and_goes_on_where_it_ended() {
        let disk = Stripes(3 * 16384 + 5);
        assert_eq!(disk.extents(0..disk.0).unwrap().len(), EXTENTS_MAX);
        let all: Vec<Extent> = extents(&disk, 7..disk.0).collect::<Result<_>>().unwrap();
        assert_eq!(all.len(), 3 * 16384 + 5 - 7);
        assert!(all.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
        assert_eq!(extents(&disk, 9..9).count(), 0);
    }

    #[test]
    fn an_iteration_ends_with_its_first_error() {
        let disk = Stripes(10);
        let items: Vec<Result<Extent>> = extents(&disk, 0..11).collect();
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap_err().kind(), ErrorKind::Misuse);
    }

    #[test]
    fn neighbours_of_one_kind_become_one_run() {
        let mut runs = Runs::new(10);
        for (end, kind) in
            [(20, ExtentKind::Data), (20, ExtentKind::Zero), (30, ExtentKind::Data), (31, ExtentKind::Hole)]
        {
            runs.extend_to(end, kind);
        }
        let expected =
            [Extent { range: 10..30, kind: ExtentKind::Data }, Extent { range: 30..31, kind: ExtentKind::Hole }];
        assert_eq!(runs.into_list(), expected);
    }
}
