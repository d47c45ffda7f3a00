//! No input makes a parser panic, hang or take memory without bound.

use diskimage::package::certificate::Certificate;
use diskimage::package::href::safe_href;
use diskimage::package::manifest::Manifest;
use diskimage::package::ovf;
use diskimage::package::vmx::{self, Vmx};
use diskimage::vmdk::descriptor::Descriptor;
use diskimage::vmdk::layout::{Header, Marker, SECTOR_LEN};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{small_stream, walk};

/// Text in which the words and signs of the formats are frequent.
const WORDS: &str = "([ -~]|\n|RW |RDONLY |SPARSE |\"|=|SHA256\\(|\\)= |[0-9a-f]{64}|<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'>|<References>|<File id='a' href='b'/>|</|&|%2e|\\.\\./){0,40}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_header_with_arbitrary_fields_is_read_or_refused(
        changes in vec((4_usize..80, any::<u64>()), 0..4)
    ) {
        let mut stream = small_stream();
        for (offset, value) in changes {
            stream[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        }
        let sector: &[u8; SECTOR_LEN] = stream.first_chunk().unwrap();
        if let Ok(header) = Header::parse(sector) {
            prop_assert_eq!(Header::parse(&header.encode()).unwrap(), header);
        }
        let _outcome = walk(&stream, true);
    }

    #[test]
    fn arbitrary_sectors_behind_a_header_are_read_or_refused(
        sectors in vec((128_usize..145, vec(any::<u8>(), 16)), 1..6)
    ) {
        let mut stream = small_stream();
        for (sector, bytes) in sectors {
            stream[sector * SECTOR_LEN..][..bytes.len()].copy_from_slice(&bytes);
        }
        let _outcome = walk(&stream, true);
    }

    #[test]
    fn arbitrary_markers_of_known_types_are_followed_or_refused(
        sectors in vec((128_usize..145, 0_u64..20, 0_u32..3, 0_u32..6), 1..6)
    ) {
        let mut stream = small_stream();
        for (sector, value, size, kind) in sectors {
            let at = sector * SECTOR_LEN;
            stream[at..at + 8].copy_from_slice(&value.to_le_bytes());
            stream[at + 8..at + 12].copy_from_slice(&size.to_le_bytes());
            stream[at + 12..at + 16].copy_from_slice(&kind.to_le_bytes());
            let sector: &[u8; SECTOR_LEN] = stream[at..].first_chunk().unwrap();
            let _marker = Marker::decode(sector);
        }
        let _outcome = walk(&stream, false);
    }

    #[test]
    fn arbitrary_text_is_read_or_refused(text in WORDS) {
        let _descriptor = Descriptor::parse(text.as_bytes());
        let _manifest = Manifest::parse("x.mf", text.as_bytes());
        let _ovf = ovf::Descriptor::parse(text.as_bytes());
        let _certificate = Certificate::parse(text.as_bytes());
        let _machine = Vmx::parse(text.as_bytes()).and_then(|lines| vmx::machine(&lines, "x.vmx"));
        let _snapshots = vmx::snapshots(text.as_bytes());
        if let Ok(href) = safe_href(&text) {
            prop_assert!(!href.literal().split('/').any(|part| part == ".." || part.is_empty()));
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        let _descriptor = Descriptor::parse(&bytes);
        let _manifest = Manifest::parse("x.mf", &bytes);
        let _ovf = ovf::Descriptor::parse(&bytes);
        let _machine = Vmx::parse(&bytes).and_then(|lines| vmx::machine(&lines, "x.vmx"));
        prop_assert!(walk(&bytes, true).is_err());
    }
}
