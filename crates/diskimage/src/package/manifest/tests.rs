//! The forms that are met in the wild, and the one that is written.

use super::*;
use crate::ErrorKind;

const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Manifest {
    Manifest::parse("package.mf", text.as_bytes()).unwrap()
}

#[test]
fn what_is_written_is_the_form_vmware_takes() {
    let mut manifest = Manifest::default();
    manifest.add(Algorithm::Sha256, "vm.ovf", SHA256).unwrap();
    manifest.add(Algorithm::Sha1, "disk 0.vmdk", &SHA1.to_uppercase()).unwrap();
    let text = manifest.to_string();
    assert_eq!(text, format!("SHA256(vm.ovf)= {SHA256}\nSHA1(disk 0.vmdk)= {SHA1}\n"));
    assert_eq!(parse(&text), manifest);
}

#[test]
fn every_known_spelling_is_verified() {
    for line in [
        format!("SHA256(a.vmdk)= {SHA256}"),
        format!("SHA256 (a.vmdk) = {SHA256}"),
        format!("SHA2-256(a.vmdk)= {SHA256}"),
        format!("SHA256(a.vmdk)={SHA256}"),
        format!("sha256(a.vmdk)=\t{}  \r", SHA256.to_uppercase()),
        format!("\u{feff}SHA-256(a.vmdk)= {SHA256}\n"),
    ] {
        let manifest = parse(&line);
        assert!(manifest.warnings().is_empty(), "{line:?}");
        let entry = &manifest.entries()[0];
        assert_eq!((entry.name.as_str(), entry.digest_hex.as_str()), ("a.vmdk", SHA256));
    }
}

#[test]
fn names_may_hold_the_signs_of_the_format() {
    for name in ["a(1).vmdk", "a)= b.vmdk", "(x)", "a = (b).vmdk", "磁盘.vmdk"] {
        let manifest = parse(&format!("SHA1({name})= {SHA1}"));
        assert_eq!(manifest.entries()[0].name, name);
    }
}

#[test]
fn a_line_that_verifies_nothing_is_a_warning() {
    let text = format!("SHA256(a)= {SHA1}\n\nMD5(b)= 00\nSHA1(c) {SHA1}\nSHA1()= {SHA1}\nhello");
    let manifest = parse(&text);
    assert!(manifest.entries().is_empty());
    assert_eq!(manifest.warnings().len(), 5);
    assert!(manifest.warnings()[4].contains("line 6"));
    assert!(manifest.warnings()[4].contains("hello"));
}

#[test]
fn a_file_may_have_several_algorithms_but_one_digest_each() {
    let text = format!("SHA256(a)= {SHA256}\nSHA1(a)= {SHA1}\nSHA1(a)= {SHA1}\n");
    assert_eq!(parse(&text).of("a").count(), 2);

    let other = SHA1.replace('d', "e");
    let error = Manifest::parse("m", format!("{text}SHA1(a)= {other}").as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.offset(), Some(u64_from(text.len())));
}

#[test]
fn manifests_of_one_package_are_merged() {
    let mut manifest = parse(&format!("SHA1(a)= {SHA1}\nx"));
    manifest.merge(parse(&format!("SHA256(b)= {SHA256}\ny"))).unwrap();
    assert_eq!((manifest.entries().len(), manifest.warnings().len()), (2, 2));

    let other = parse(&format!("SHA1(a)= {}", SHA1.replace('d', "e")));
    assert_eq!(manifest.merge(other).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn an_entry_for_the_manifest_itself_is_ignored() {
    let manifest = parse(&format!("SHA1(package.mf)= {SHA1}\nSHA1(a)= {SHA1}"));
    assert_eq!(manifest.entries().len(), 1);
}

#[test]
fn what_the_format_cannot_express_is_misuse() {
    let mut manifest = Manifest::default();
    for (name, digest) in [("a", SHA1), ("a", "xyz"), ("a\nb", SHA256), ("", SHA256), (" a", SHA256)] {
        let error = manifest.add(Algorithm::Sha256, name, digest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{name:?}");
    }
}

#[test]
fn limits_hold() {
    for text in ["\n".repeat(LINES_MAX), "x".repeat(MANIFEST_BYTES_MAX + 1)] {
        let error = Manifest::parse("m", text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
