//! Descriptors of several writers and versions, and what is refused.

use super::*;
use crate::ErrorKind;
use crate::package::ovf::{DEPTH_MAX, ELEMENTS_MAX, OVF_BYTES_MAX};

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">"#;

fn envelope(inside: &str) -> String {
    format!("{HEAD}{inside}</Envelope>")
}

fn parse(text: &str) -> Descriptor {
    Descriptor::parse(text.as_bytes()).unwrap()
}

fn error_kind(inside: &str) -> ErrorKind {
    let text = envelope(inside);
    Descriptor::parse(text.as_bytes()).unwrap_err().kind()
}

fn disk(attributes: &str) -> String {
    format!("<DiskSection><Disk ovf:diskId='d' {attributes}/></DiskSection>")
}

#[test]
fn a_descriptor_as_vcenter_makes_it_is_read() {
    let text = envelope(
        r#"
  <References>
    <File ovf:href="db-1-disk-0.vmdk" ovf:id="file1" ovf:size="1048064"/>
    <File ovf:href="db-1.nvram" ovf:id="file2" ovf:size="8684"/>
  </References>
  <DiskSection>
    <Info>Virtual disk information</Info>
    <Disk ovf:capacity="16" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk1"
      ovf:fileRef="file1" ovf:populatedSize="65536"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="db-1">
    <Info>A virtual machine</Info>
    <Name>db &amp; <![CDATA[web]]> &#x31;</Name>
    <OperatingSystemSection><Name>not this</Name></OperatingSystemSection>
  </VirtualSystem>
"#,
    );
    let descriptor = parse(&text);
    let file = &descriptor.files[0];
    assert_eq!((file.id.as_str(), file.size_bytes), ("file1", Some(1_048_064)));
    assert_eq!(descriptor.file_by_href("db-1.nvram").unwrap().id, "file2");
    let disk = &descriptor.disks[0];
    assert_eq!(disk.capacity_bytes, 16 << 30);
    assert_eq!(disk.populated_bytes, Some(65536));
    assert!(disk.format.as_ref().unwrap().ends_with("#streamOptimized"));
    assert_eq!(descriptor.file_of(disk), Some(file));
    let system = &descriptor.virtual_systems[0];
    assert_eq!((system.id.as_str(), system.name.as_deref()), ("db-1", Some("db & web 1")));
}

#[test]
fn prefixes_are_free_and_foreign_elements_are_not_ours() {
    let text = r#"<o:Envelope xmlns:o="http://schemas.dmtf.org/ovf/envelope/2" xmlns:x="urn:x">
        <o:References><o:File id="f" href="a" x:id="no"/><x:File id="g" href="b"/></o:References>
        <x:References><o:File id="h" href="c"/></x:References>
    </o:Envelope>"#;
    let descriptor = parse(text);
    assert_eq!(descriptor.files.len(), 1);
    assert_eq!(descriptor.files[0].id, "f");
}

#[test]
fn the_elements_of_ovf_0_9_are_known_by_type() {
    let text = r#"<Envelope xmlns="http://www.vmware.com/schema/ovf/1/envelope"
        xmlns:ovf="http://www.vmware.com/schema/ovf/1/envelope"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
        <References><File ovf:id="f" ovf:href="a.vmdk"/></References>
        <Section xsi:type="ovf:DiskSection_Type"><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="5"/></Section>
        <Content ovf:id="vm" xsi:type="ovf:VirtualSystem_Type"><Name>n</Name></Content>
    </Envelope>"#;
    let descriptor = parse(text);
    assert_eq!(descriptor.disks[0].capacity_bytes, 5);
    assert_eq!(descriptor.virtual_systems[0].name.as_deref(), Some("n"));
}

#[test]
fn several_machines_keep_their_names() {
    let text = envelope(
        "<VirtualSystemCollection ovf:id='c'><Name>all</Name>
         <VirtualSystem ovf:id='a'><Name>A</Name></VirtualSystem>
         <VirtualSystem ovf:id='b'/></VirtualSystemCollection>",
    );
    let names: Vec<_> = parse(&text).virtual_systems.into_iter().map(|system| (system.id, system.name)).collect();
    assert_eq!(names, [("a".into(), Some("A".into())), ("b".into(), None)]);
}

#[test]
fn utf16_and_byte_order_marks_are_read() {
    let text = envelope("<References><File ovf:id='f' ovf:href='磁盘'/></References>");
    let expected = parse(&text);
    let little: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    assert_eq!(Descriptor::parse(&little).unwrap(), expected);
    assert_eq!(Descriptor::parse(&big).unwrap(), expected);
    assert_eq!(parse(&format!("\u{feff}{text}")), expected);
    let odd = Descriptor::parse(&little[..little.len() - 1]).unwrap_err();
    assert_eq!(odd.kind(), ErrorKind::Unsupported);
    let latin1 = Descriptor::parse(b"<Envelope a='\xe4'/>").unwrap_err();
    assert_eq!(latin1.kind(), ErrorKind::Unsupported);
}

#[test]
fn what_is_not_an_envelope_is_corrupt() {
    for text in ["", "hello", "<a/>", "<Envelope/>", "<Envelope xmlns='urn:x'/>", "<a"] {
        let error = Descriptor::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text:?}");
    }
    for inside in ["<a></b>", "</Envelope><Envelope>", "<a b='1' b='2'/>", "<a>&nope;</a>", "<a b='&nope;'/>"] {
        assert_eq!(error_kind(inside), ErrorKind::Corrupt, "{inside}");
    }
}

#[test]
fn an_unfinished_descriptor_is_an_error_wherever_it_ends() {
    let text = envelope("<References><File ovf:id='f' ovf:href='a'/></References>");
    for end in 0..text.len() {
        assert!(Descriptor::parse(&text.as_bytes()[..end]).is_err(), "{end}");
    }
}

#[test]
fn a_document_type_is_refused() {
    let text = format!("<!DOCTYPE x [<!ENTITY e 'v'>]>{}", envelope("").split_once("?>").unwrap().1);
    let error = Descriptor::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_capacity_may_be_a_property_with_a_value() {
    let product = "<VirtualSystem ovf:id='vm'><ProductSection ovf:class='net.example' ovf:instance='2'>\
        <Property ovf:key='size' ovf:type='uint32' ovf:value='12'/><Property ovf:key='empty' ovf:value=''/>\
        </ProductSection><ProductSection><Property ovf:key='plain' ovf:value='7'/></ProductSection></VirtualSystem>";
    let capacity = |text: &str| {
        let attributes = format!("ovf:capacity='{text}' ovf:capacityAllocationUnits='byte * 2^30'");
        Descriptor::parse(envelope(&format!("{}{product}", disk(&attributes))).as_bytes())
            .map(|descriptor| descriptor.disks[0].capacity_bytes >> 30)
            .map_err(|error| error.kind())
    };
    assert_eq!(capacity("${plain}"), Ok(7));
    assert_eq!(capacity(" ${net.example.size.2} "), Ok(12));
    for text in ["${size}", "${empty}", "${net.example.empty.2}", "${plain", "${}"] {
        assert_eq!(capacity(text), Err(ErrorKind::Unsupported), "{text}");
    }
}

#[test]
fn broken_references_and_repeated_identifiers_are_corrupt() {
    for inside in [
        "<References><File ovf:id='f'/></References>",
        "<References><File ovf:href='f'/></References>",
        "<References><File ovf:id='f' ovf:href='a' ovf:size='-1'/></References>",
        "<References><File ovf:id='f' ovf:href='a'/><File ovf:id='f' ovf:href='b'/></References>",
        &disk(""),
        &disk("ovf:capacity='x'"),
        &disk("ovf:capacity='1' ovf:fileRef='missing'"),
        &disk("ovf:capacity='1'").repeat(2),
    ] {
        assert_eq!(error_kind(inside), ErrorKind::Corrupt, "{inside}");
    }
}

#[test]
fn what_would_be_read_wrongly_is_unsupported() {
    for inside in [
        "<References><File ovf:id='f' ovf:href='a' ovf:compression='bzip2'/></References>",
        &disk("ovf:capacity='${cap}'"),
        &disk("ovf:capacity='1' ovf:parentRef='e'"),
        &disk("ovf:capacity='1' ovf:capacityAllocationUnits='furlong'"),
    ] {
        assert_eq!(error_kind(inside), ErrorKind::Unsupported, "{inside}");
    }
    let large = disk("ovf:capacity='17179869184' ovf:capacityAllocationUnits='byte * 2^30'");
    assert_eq!(error_kind(&large), ErrorKind::Limit);
}

#[test]
fn blank_disks_chunks_and_compression_are_read() {
    let text = envelope(&format!(
        "<References><File ovf:id='f' ovf:href='a' ovf:compression='gzip' ovf:chunkSize='7'/></References>{}",
        disk("ovf:capacity='9' ovf:fileRef=''")
    ));
    let descriptor = parse(&text);
    assert_eq!(descriptor.files[0].compression, Compression::Gzip);
    assert_eq!(descriptor.files[0].chunk_bytes, Some(7));
    assert_eq!(descriptor.file_of(&descriptor.disks[0]), None);
}

#[test]
fn limits_hold() {
    let deep = "<a>".repeat(DEPTH_MAX);
    assert_eq!(error_kind(&deep), ErrorKind::Limit);
    assert_eq!(error_kind(&"<a/>".repeat(ELEMENTS_MAX)), ErrorKind::Limit);
    assert_eq!(error_kind(&" ".repeat(OVF_BYTES_MAX)), ErrorKind::Limit);
}
