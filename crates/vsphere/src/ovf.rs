//! The OVF descriptor, which the server makes from its own knowledge of the VM.

use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::{
    CreateDescriptor, LocalizedMethodFault, OvfCreateDescriptorParams, OvfFile, OvfOptionInfo,
};

/// What the descriptor should carry beyond hardware: MAC addresses, UUIDs, advanced options.
const EXPORT_OPTIONS: [&str; 3] = ["mac", "uuid", "extraconfig"];

/// A file as the descriptor names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedFile {
    /// Key of the device in the lease.
    pub device_key: String,
    /// Path relative to the descriptor.
    pub path: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// For a disk: capacity in bytes.
    pub capacity_bytes: Option<u64>,
    /// For a disk: bytes in use.
    pub populated_bytes: Option<u64>,
}

/// A descriptor with what the server had to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The XML.
    pub xml: String,
    /// What could not be described, one sentence each.
    pub warnings: Vec<String>,
}

/// Asks for the descriptor of `vm`, or of the VM as its `snapshot` has it. It needs no lease, but while one is held a failure can still be
/// answered by an abort.
///
/// # Errors
/// What the server says, also in the list of errors of its answer.
pub async fn create_descriptor(
    session: &Session,
    vm: &MoRef,
    snapshot: Option<&MoRef>,
    name: &str,
    files: &[DescribedFile],
) -> Result<Descriptor> {
    let missing = || Error::new(ErrorKind::Unsupported, "make the descriptor: the server has no OvfManager");
    let manager = session.content().ovf_manager.clone().ok_or_else(missing)?;
    let cdp = OvfCreateDescriptorParams {
        ovf_files: files.iter().map(ovf_file).collect::<Result<_>>()?,
        name: Some(name.to_owned()),
        include_image_files: Some(false),
        export_option: export_options(session, &manager).await,
        snapshot: snapshot.cloned(),
        ..OvfCreateDescriptorParams::default()
    };
    let call = CreateDescriptor { this: manager.clone(), obj: vm.clone(), cdp };
    let result = session.read(&manager, &call).await?;
    if let [first, more @ ..] = result.error.as_slice() {
        let more: String = texts(more).iter().map(|text| format!(" ({text})")).collect();
        return Err(Error::from_fault(format!("make the descriptor of {vm}{more}"), first));
    }
    Ok(Descriptor { xml: result.ovf_descriptor, warnings: texts(&result.warning) })
}

/// Picks of the wanted options those that the server offers; a server that does not say gets none.
async fn export_options(session: &Session, manager: &MoRef) -> Vec<String> {
    let offered = match properties::read(session, manager, &["ovfExportOption"]).await {
        Ok(object) => object.list::<OvfOptionInfo>("ovfExportOption").unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "make the descriptor without options");
            Vec::new()
        }
    };
    let is_offered = |wanted: &&str| offered.iter().any(|info| info.option == **wanted);
    EXPORT_OPTIONS.iter().filter(|option| is_offered(option)).map(|option| (*option).to_owned()).collect()
}

fn ovf_file(file: &DescribedFile) -> Result<OvfFile> {
    let signed = |bytes: u64| {
        let context = || format!("describe {}: its size does not fit the API", file.path);
        i64::try_from(bytes).map_err(|_| Error::new(ErrorKind::Protocol, context()))
    };
    Ok(OvfFile {
        device_id: file.device_key.clone(),
        path: file.path.clone(),
        size: signed(file.size_bytes)?,
        capacity: file.capacity_bytes.map(signed).transpose()?,
        populated_size: file.populated_bytes.map(signed).transpose()?,
        ..OvfFile::default()
    })
}

fn texts(faults: &[LocalizedMethodFault]) -> Vec<String> {
    let text = |fault: &LocalizedMethodFault| match &fault.localized_message {
        Some(text) if !text.is_empty() => text.clone(),
        _ => fault.fault.type_name().to_owned(),
    };
    faults.iter().map(text).collect()
}
