//! From a reference in a descriptor to the files of the package: one, or numbered parts.
//!
//! With `chunkSize` a file is cut into parts `NAME.000000000`, `NAME.000000001` and so on, all of
//! that length but the last. Without it, and without a file of the plain name, numbered files are
//! states of a disk of which the highest is the newest, as some packages of VMware's have them.

use std::sync::Arc;
use std::time::SystemTime;

use super::container::Container;
use super::format::disk_format;
use super::href::safe_href;
use super::machine::DeclaredFormat;
use super::ovf::FileRef;
use super::tar::MEMBERS_MAX;
use super::unpack::read_start;
use crate::image::{ByteSource, Identity, MemorySource};
use crate::number::{clip, u64_from};
use crate::{Error, Result};

/// Most numbered states of a disk; each is looked into, which in a compressed archive means to
/// unpack all before it.
const STATES_MAX: usize = 64;

/// The members that a reference stands for, in their order, and what is odd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Names with lengths.
    pub(super) parts: Vec<(String, u64)>,
    pub(super) warnings: Vec<String>,
}

impl Resolved {
    pub(super) fn len_bytes(&self) -> u64 {
        self.parts.iter().map(|(_, size)| size).sum()
    }
}

/// Finds the members that a file of a descriptor stands for; `base` is the descriptor's folder.
pub(super) fn resolve(container: &Container, base: &str, file: &FileRef) -> Result<Resolved> {
    let href = safe_href(&file.href)?;
    let names: Vec<String> =
        [Some(href.literal()), href.decoded()].into_iter().flatten().map(|name| format!("{base}{name}")).collect();
    for name in &names {
        let found = match file.chunk_bytes {
            Some(chunk_bytes) => chunks(container, name, chunk_bytes, file.size_bytes)?,
            None => plain_or_newest(container, name)?,
        };
        if let Some(mut found) = found {
            check_length(&mut found, name, file.size_bytes)?;
            return Ok(found);
        }
    }
    Err(Error::corrupt("a file of the descriptor is in the package").found("it is missing").in_file(&file.href))
}

/// Compares with the length that the descriptor says, which many writers get wrong upwards.
fn check_length(found: &mut Resolved, name: &str, said: Option<u64>) -> Result<()> {
    let len = found.parts.iter().try_fold(0_u64, |sum, (_, size)| sum.checked_add(*size));
    let len = len.ok_or_else(|| Error::limit("a file is shorter than 2^64 bytes").in_file(name))?;
    match said {
        Some(said) if len < said => Err(Error::truncated("a file is as long as the descriptor says")
            .found(format!("{len} of {said} bytes"))
            .in_file(name)),
        Some(said) if len > said => {
            found.warnings.push(format!("{name} has {len} bytes, the descriptor says {said}"));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn part_name(name: &str, number: usize) -> String {
    format!("{name}.{number:09}")
}

fn chunks(container: &Container, name: &str, chunk_bytes: u64, said: Option<u64>) -> Result<Option<Resolved>> {
    let wanted = said.map_or(u64::MAX, |said| said.div_ceil(chunk_bytes).max(1));
    let mut parts: Vec<(String, u64)> = Vec::new();
    while u64_from(parts.len()) < wanted {
        let part = part_name(name, parts.len());
        let Some(size) = container.size(&part)? else { break };
        if parts.len() >= MEMBERS_MAX {
            return Err(Error::limit("a package has at most 10000 files").in_file(name));
        }
        parts.push((part, size));
    }
    let number = parts.len();
    let is_gap = container.size(&part_name(name, number + 1))?.is_some();
    if parts.is_empty() && !is_gap {
        // A file that nobody cut has no number, whatever the descriptor says.
        return Ok(container
            .size(name)?
            .map(|size| Resolved { parts: vec![(name.to_owned(), size)], ..Resolved::default() }));
    }
    if is_gap && u64_from(number) < wanted || said.is_some() && u64_from(number) < wanted {
        let error = Error::corrupt("a file that is cut into parts has all of them");
        return Err(error.found(format!("missing chunk {number}")).in_file(name));
    }
    let (last, full) = parts.split_last().expect("there is a part");
    let is_cut_right = full.iter().all(|(_, size)| *size == chunk_bytes) && last.1 <= chunk_bytes;
    if !is_cut_right {
        let error = Error::corrupt("all parts of a file but the last have the length of a chunk");
        return Err(error.found(format!("{chunk_bytes} bytes")).in_file(name));
    }
    Ok(Some(Resolved { parts, warnings: Vec::new() }))
}

fn plain_or_newest(container: &Container, name: &str) -> Result<Option<Resolved>> {
    if let Some(size) = container.size(name)? {
        return Ok(Some(Resolved { parts: vec![(name.to_owned(), size)], warnings: Vec::new() }));
    }
    let mut parts = Vec::new();
    while parts.len() < STATES_MAX
        && let Some(size) = container.size(&part_name(name, parts.len()))?
    {
        parts.push((part_name(name, parts.len()), size));
    }
    if container.size(&part_name(name, STATES_MAX))?.is_some() && parts.len() == STATES_MAX {
        return Err(Error::limit("a disk has at most 64 numbered states").in_file(name));
    }
    let Some((newest, older)) = parts.split_last() else { return Ok(None) };
    let is_first_only_a_disk = !older.is_empty()
        && is_disk(container, &parts[0].0)?
        && !parts[1..].iter().map(|(part, _)| is_disk(container, part)).collect::<Result<Vec<_>>>()?.contains(&true);
    if is_first_only_a_disk {
        let error = Error::unsupported("a file that is cut into parts says so in the descriptor");
        return Err(error
            .found("only the first of the numbered files begins like a disk, and there is no chunkSize")
            .in_file(name));
    }
    let warning = format!("{name} is not in the package; {} is taken for the newest state of it", newest.0);
    Ok(Some(Resolved { parts: vec![newest.clone()], warnings: vec![warning] }))
}

fn is_disk(container: &Container, name: &str) -> Result<bool> {
    let start = read_start(&mut container.reader(&[name])?)?;
    Ok(disk_format(DeclaredFormat::Unknown, &start).is_ok())
}

/// Several sources, one behind the other.
pub(super) struct Parts {
    name: String,
    /// Where each part begins, and the part.
    parts: Vec<(u64, Arc<dyn ByteSource>)>,
    len_bytes: u64,
}

impl Parts {
    /// Joins sources; a single one is returned as it is.
    pub(super) fn join(name: &str, mut sources: Vec<Arc<dyn ByteSource>>) -> Result<Arc<dyn ByteSource>> {
        if sources.len() == 1 {
            return Ok(sources.remove(0));
        }
        if sources.is_empty() {
            return Ok(Arc::new(MemorySource::new(Vec::new(), name)));
        }
        let mut len_bytes = 0_u64;
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            let end = len_bytes.checked_add(source.len_bytes());
            parts.push((len_bytes, source));
            len_bytes = end.ok_or_else(|| Error::limit("a file is shorter than 2^64 bytes").in_file(name))?;
        }
        Ok(Arc::new(Self { name: name.to_owned(), parts, len_bytes }))
    }
}

impl ByteSource for Parts {
    fn name(&self) -> &str {
        &self.name
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(&(offset..offset.saturating_add(u64_from(buf.len()))))?;
        let (mut offset, mut rest) = (offset, buf);
        // The last part that begins at or before the offset.
        let mut index = self.parts.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        while !rest.is_empty() {
            let (start, part) = &self.parts[index];
            let inside = offset - start;
            let (now, later) = rest.split_at_mut(clip(rest.len(), part.len_bytes() - inside));
            part.read_at(inside, now)?;
            offset += u64_from(now.len());
            rest = later;
            index += 1;
        }
        Ok(())
    }

    fn identity(&self) -> Identity {
        let parts = self.parts.iter().map(|(_, part)| format!("{:?}", part.identity()));
        Identity::Key(parts.collect::<Vec<_>>().join("+"))
    }

    /// Of the part that was written to last.
    fn modified(&self) -> Result<Option<SystemTime>> {
        let times = self.parts.iter().map(|(_, part)| part.modified()).collect::<Result<Option<Vec<_>>>>()?;
        Ok(times.and_then(|times| times.into_iter().max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn parts_read_like_one_file_across_odd_borders() {
        let whole: Vec<u8> = (0..=99).collect();
        for cuts in [vec![100], vec![0, 7, 7, 50, 100], vec![1, 2, 3, 100], vec![0, 0, 100, 100]] {
            let mut start = 0;
            let mut sources: Vec<Arc<dyn ByteSource>> = Vec::new();
            for (number, end) in cuts.iter().copied().enumerate() {
                sources.push(Arc::new(MemorySource::new(whole[start..end].to_vec(), format!("p{number}"))));
                start = end;
            }
            let joined = Parts::join("x", sources).unwrap();
            for (from, to) in [(0, 100), (0, 0), (6, 8), (49, 51), (99, 100), (100, 100)] {
                let mut read = vec![0; to - from];
                joined.read_at(u64_from(from), &mut read).unwrap();
                assert_eq!(read, whole[from..to], "{cuts:?} {from}..{to}");
            }
            assert_eq!(joined.read_at(99, &mut [0; 2]).unwrap_err().kind(), ErrorKind::Truncated);
        }
    }
}
