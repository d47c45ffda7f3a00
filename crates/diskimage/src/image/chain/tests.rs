//! Chains of tiny links against a vector of bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

/// A link whose every byte is data (with this value), zero or absent.
struct Bytes(Vec<Option<u8>>);

impl Disk for Bytes {
    fn capacity_bytes(&self) -> u64 {
        crate::number::u64_from(self.0.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_range(offset, buf.len(), self.capacity_bytes())?;
        let start = usize::try_from(offset).unwrap();
        for (byte, stored) in buf.iter_mut().zip(&self.0[start..]) {
            *byte = stored.unwrap_or(0);
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_bounds(&range, self.capacity_bytes())?;
        let mut runs = Runs::new(range.start);
        // A few bytes per answer, so that a chain has to ask again.
        for offset in range.clone().take(3) {
            let kind = match self.0[usize::try_from(offset).unwrap()] {
                None => ExtentKind::Hole,
                Some(0) => ExtentKind::Zero,
                Some(_) => ExtentKind::Data,
            };
            runs.extend_to(offset + 1, kind);
        }
        Ok(runs.into_list())
    }
}

fn link(bytes: Vec<Option<u8>>) -> Link {
    let disk = Bytes(bytes);
    let description = LinkDescription { capacity_bytes: disk.capacity_bytes(), ..LinkDescription::default() };
    Link { disk: Box::new(disk), description }
}

/// What the newest link that has a byte says, as plainly as it can be written; a link that ends
/// before the byte hides whatever an older one has there.
fn model(links: &[Vec<Option<u8>>], offset: usize) -> Option<u8> {
    links.iter().map_while(|link| link.get(offset).copied()).find_map(|byte| byte)
}

proptest! {
    #[test]
    fn the_newest_link_that_has_a_byte_answers_for_it(
        links in vec(vec(proptest::option::of(0_u8..4), 1..40), 1..5),
        start in 0_usize..40,
        len in 0_usize..40,
    ) {
        let image = Image::new(links.iter().cloned().map(link).collect()).unwrap();
        let capacity = links[0].len();
        let start = start.min(capacity);
        let end = (start + len).min(capacity);
        let mut buf = vec![0xee; end - start];
        image.read_at(u64::try_from(start).unwrap(), &mut buf).unwrap();
        let expected: Vec<u8> = (start..end).map(|offset| model_read(&links, offset)).collect();
        prop_assert_eq!(buf, expected);

        let mut offset = start;
        for extent in extents(&image, u64::try_from(start).unwrap()..u64::try_from(end).unwrap()) {
            let extent = extent.unwrap();
            prop_assert_eq!(extent.range.start, u64::try_from(offset).unwrap());
            while offset < usize::try_from(extent.range.end).unwrap() {
                let expected = match model(&links, offset) {
                    None => ExtentKind::Hole,
                    Some(0) => ExtentKind::Zero,
                    Some(_) => ExtentKind::Data,
                };
                prop_assert_eq!(extent.kind, expected, "byte {}", offset);
                offset += 1;
            }
        }
        prop_assert_eq!(offset, end);
    }
}

fn model_read(links: &[Vec<Option<u8>>], offset: usize) -> u8 {
    model(links, offset).unwrap_or(0)
}

#[test]
fn a_description_counts_what_is_stored_and_says_when_sizes_differ() {
    let image =
        Image::new(vec![link(vec![Some(1), None, Some(0), None]), link(vec![Some(1), Some(2), Some(3)])]).unwrap();
    let description = image.describe().unwrap();
    assert_eq!((description.capacity_bytes, description.allocated_bytes), (4, 2));
    assert_eq!(description.links[0].allocated_bytes, 1);
    assert_eq!(description.links[1].allocated_bytes, 3);
    assert_eq!(description.warnings.len(), 1);
}

#[test]
fn a_chain_has_a_link_and_not_too_many() {
    assert_eq!(Image::new(Vec::new()).unwrap_err().kind(), ErrorKind::Misuse);
    let links = |number| (0..number).map(|_| link(vec![None])).collect();
    assert!(Image::new(links(LINKS_MAX)).is_ok());
    assert_eq!(Image::new(links(LINKS_MAX + 1)).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_read_beyond_the_newest_link_is_misuse() {
    let image = Image::new(vec![link(vec![None; 4]), link(vec![Some(1); 9])]).unwrap();
    let error = image.read_at(3, &mut [0; 2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(image.extents(3..5).unwrap_err().kind(), ErrorKind::Misuse);
}
