//! Which jobs are accepted, and what they then are.
//!
//! An option that this version does not obey is a reason to reject the job, never something to overlook. Only
//! what cannot change the result (whose tool does it, what a terminal shows) is taken and noted in the log of
//! the job.

use std::path::{Component, Path, PathBuf};

use hyper_api::ExportSpec;
use migrate::names::file_name;

use super::super::definition::{ExportOptions, JobDefinition, Submitted};
use super::super::source::Wanted;
use super::super::{id, text};

/// The formats that an export can be written in.
const FORMATS_BUILT: [&str; 1] = ["ovf"];

/// The formats that the contract knows.
const FORMATS: [&str; 5] = ["ovf", "ova", "vmdk", "qcow2", "raw"];

/// The words for the way of an export. All of them are this daemon's own.
const METHODS: [&str; 5] = ["", "web", "ctl", "govc", "ovftool"];

/// The most connections that a job may ask for.
const PARALLEL_MAX: i64 = 64;

/// The highest level of deflate.
const COMPRESS_LEVEL_MAX: i64 = 9;

/// Switches that each ask for a piece of work after the export.
const WORK_SWITCHES: [&str; 3] = ["enable_pipeline", "libvirt_integration", "hyper2kvm_daemon"];

/// What the daemon brings to the question whether a job can be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Where relative outputs begin, and jobs without one go.
    pub export_root: Option<&'a Path>,
    /// The configured source: scheme, host and port.
    pub source: &'a str,
}

/// A job that makes sense.
#[derive(Debug)]
pub struct Accepted {
    /// The definition as replies show it, but for the id and the time, which are the store's to give.
    pub definition: JobDefinition,
    /// What is to be done.
    pub spec: ExportSpec,
    /// What the caller asked for and this daemon does in another way; for the log of the job.
    pub notes: Vec<String>,
}

impl Rules<'_> {
    /// Accepts a job or says why not.
    ///
    /// # Errors
    /// The one text that goes into the reply; it names the job.
    pub fn accept(&self, submitted: Submitted) -> Result<Accepted, String> {
        let shown = shown(&submitted.definition);
        self.checked(submitted).map_err(|reason| text::one_line(&format!("{shown}: {reason}")))
    }

    fn checked(&self, submitted: Submitted) -> Result<Accepted, String> {
        let Submitted { mut definition, password, address_had_user } = submitted;
        check_texts(&definition)?;
        check_format(&definition.format)?;
        if !METHODS.contains(&definition.export_method.as_str()) {
            return Err(format!("unknown export method {:?}", definition.export_method));
        }
        let vcenter = definition.vcenter.as_ref();
        let wanted = Wanted {
            addresses: vec![&definition.vcenter_url, vcenter.map_or("", |vcenter| &vcenter.server)],
            has_login: password.is_some()
                || address_had_user
                || !definition.username.is_empty()
                || vcenter.is_some_and(|vcenter| !vcenter.username.is_empty()),
        };
        wanted.check(self.source)?;
        if !definition.datacenter.is_empty() && !definition.vm_path.starts_with('/') {
            return Err("a datacenter for a relative VM path is not built yet; write the path from the root".to_owned());
        }
        if let Some(options) = &definition.options {
            check_options(options)?;
        }
        let output = self.output(&definition)?;
        let notes = notes(&definition);
        if definition.name.is_empty() {
            definition.name = text::last_element(&definition.vm_path).to_owned();
        }
        let directory = output.to_string_lossy().into_owned();
        (definition.output_path, definition.output_dir) = (directory.clone(), directory);
        let remove_cdrom = definition.options.as_ref().is_some_and(|options| options.remove_cdrom == Some(true));
        let spec = ExportSpec { vm: definition.vm_path.clone(), output, remove_cdrom, ..ExportSpec::default() };
        Ok(Accepted { definition, spec, notes })
    }

    fn output(&self, definition: &JobDefinition) -> Result<PathBuf, String> {
        let wanted = Path::new(definition.output());
        if wanted.is_absolute() {
            return Ok(wanted.to_owned());
        }
        let root = self.export_root.ok_or_else(|| {
            let what =
                if definition.output().is_empty() { "no output directory" } else { "a relative output directory" };
            format!("{what}, and the daemon has no export root to begin at")
        })?;
        if definition.output().is_empty() {
            return Ok(root.join(file_name(text::last_element(&definition.vm_path))));
        }
        if wanted.components().any(|component| component == Component::ParentDir) {
            return Err("the output directory leads upwards".to_owned());
        }
        Ok(root.join(wanted))
    }
}

/// Returns what a rejection calls the job.
fn shown(definition: &JobDefinition) -> String {
    let parts = [&definition.id, &definition.name, &definition.vm_path];
    parts.into_iter().find(|part| !part.is_empty()).cloned().unwrap_or_else(|| "a job".to_owned())
}

fn check_texts(definition: &JobDefinition) -> Result<(), String> {
    let vcenter = definition.vcenter.clone().unwrap_or_default();
    for (field, value) in [
        ("id", &definition.id),
        ("name", &definition.name),
        ("VM path", &definition.vm_path),
        ("output directory", &definition.output_path),
        ("output directory", &definition.output_dir),
        ("vCenter's address", &definition.vcenter_url),
        ("vCenter's address", &vcenter.server),
        ("user name", &definition.username),
        ("user name", &vcenter.username),
        ("datacenter", &definition.datacenter),
    ] {
        if text::has_controls(value) {
            return Err(format!("the {field} holds control characters"));
        }
    }
    if !definition.id.is_empty()
        && let Some(fault) = id::fault(&definition.id)
    {
        return Err(fault.to_owned());
    }
    if text::last_element(&definition.vm_path).trim().is_empty() {
        return Err("it names no VM".to_owned());
    }
    Ok(())
}

fn check_format(format: &str) -> Result<(), String> {
    if format.is_empty() || FORMATS_BUILT.contains(&format) {
        return Ok(());
    }
    if FORMATS.contains(&format) {
        return Err(format!("the format {format} is not built yet"));
    }
    Err(format!("unknown format {format:?}"))
}

fn check_options(options: &ExportOptions) -> Result<(), String> {
    if !(0..=PARALLEL_MAX).contains(&options.parallel_downloads.unwrap_or(0)) {
        return Err(format!("parallel_downloads is not from 1 to {PARALLEL_MAX}"));
    }
    match options.compress_level.unwrap_or(0) {
        0 => {}
        1..=COMPRESS_LEVEL_MAX => {
            return Err("a compress_level is not built yet: the disks stay as the host compresses them".to_owned());
        }
        _ => return Err(format!("compress_level is not from 0 to {COMPRESS_LEVEL_MAX}")),
    }
    match options.asked().find(|key| WORK_SWITCHES.contains(key)) {
        Some(key) => Err(format!("the option {key} is not built yet")),
        None => Ok(()),
    }
}

/// Returns what is taken and done in another way, or has no effect.
fn notes(definition: &JobDefinition) -> Vec<String> {
    let mut notes = Vec::new();
    if matches!(definition.export_method.as_str(), "govc" | "ovftool") {
        notes.push(format!(
            "the export method {} was asked for; the daemon exports by itself",
            definition.export_method
        ));
    }
    let insecure = definition.insecure || definition.vcenter.as_ref().is_some_and(|vcenter| vcenter.insecure);
    if insecure {
        notes
            .push("insecure counts only for a login that comes with it; the daemon's own settings are kept".to_owned());
    }
    let Some(options) = &definition.options else { return notes };
    if let Some(parallel @ 1..) = options.parallel_downloads {
        notes.push(format!("{parallel} connections were asked for; this road has one per disk"));
    }
    notes.extend(options.asked().map(|key| format!("the option {key} has no effect in this daemon")));
    notes
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const ROOT: &str = "/srv/exports";

    fn accept_with(root: Option<&str>, body: &str) -> Result<Accepted, String> {
        let rules = Rules { export_root: root.map(Path::new), source: "https://vc:443" };
        let mut jobs = read(body.as_bytes(), Some("application/json")).unwrap();
        rules.accept(jobs.remove(0))
    }

    fn accept(body: &str) -> Result<Accepted, String> {
        accept_with(Some(ROOT), body)
    }

    #[test]
    fn what_the_older_client_sends_is_accepted() {
        let body = r#"{"id":"","name":"test-vm","vm_path":"/DC/vm/test-vm","output_path":"/tmp/export",
                       "created_at":"0001-01-01T00:00:00Z"}"#;
        let accepted = accept_with(None, body).unwrap();
        assert_eq!((accepted.spec.vm.as_str(), accepted.spec.output.to_str()), ("/DC/vm/test-vm", Some("/tmp/export")));
        assert_eq!(accepted.definition.output_dir, "/tmp/export");
        assert_eq!(accepted.notes, [""; 0]);
    }

    #[test]
    fn the_output_is_where_the_caller_says_or_below_the_first_root() {
        for (output, expected) in [
            (r#""output_path":"/a","output_dir":"/b""#, "/b"),
            (r#""output_path":"x/y""#, "/srv/exports/x/y"),
            (r#""output_path":"""#, "/srv/exports/a_2fb"),
        ] {
            let accepted = accept(&format!(r#"{{"vm_path":"/DC/vm/a%2fb/",{output}}}"#)).unwrap();
            assert_eq!(accepted.spec.output, Path::new(expected), "{output}");
            assert_eq!(accepted.definition.name, "a%2fb");
        }
        for output in ["", "x"] {
            let body = format!(r#"{{"vm_path":"a","output_path":"{output}"}}"#);
            assert!(accept_with(None, &body).unwrap_err().contains("no export root"));
        }
        assert!(accept(r#"{"vm_path":"a","output_path":"x/../../y"}"#).unwrap_err().contains("upwards"));
    }

    #[test]
    fn a_bad_job_is_rejected_with_one_text_that_names_it() {
        for (fields, why) in [
            (r#""vm_path":"a","id":"-x""#, "-x: the id is not made of"),
            (r#""vm_path":"a","id":"query""#, "query: the id is a word of the routes"),
            (r#""vm_path":"a","name":"x\ny""#, "x y: the name holds control characters"),
            (r#""vm_path":"a\u001b[2J""#, "a [2J: the VM path holds control characters"),
            (r#""vm_path":"//""#, "//: it names no VM"),
            (r#""vm_path":"a","output_dir":"/x\t""#, "a: the output directory holds control characters"),
            (r#""vm_path":"a","format":"vdi""#, "a: unknown format \"vdi\""),
            (r#""vm_path":"a","format":"qcow2""#, "a: the format qcow2 is not built yet"),
            (r#""vm_path":"a","method":"ssh""#, "a: unknown export method \"ssh\""),
            (r#""vm_path":"a","options":{"parallel_downloads":65}"#, "not from 1 to 64"),
            (r#""vm_path":"a","options":{"parallel_downloads":-1}"#, "not from 1 to 64"),
            (r#""vm_path":"a","options":{"compress_level":6}"#, "compress_level is not built"),
            (r#""vm_path":"a","options":{"compress_level":10}"#, "not from 0 to 9"),
            (r#""vm_path":"a","options":{"enable_pipeline":true}"#, "enable_pipeline is not built"),
            (r#""vm_path":"a","datacenter":"DC""#, "datacenter for a relative VM path"),
        ] {
            let rejected = accept(&format!(r#"{{{fields},"output_path":"/x"}}"#)).unwrap_err();
            assert!(rejected.contains(why), "{fields}: {rejected}");
        }
        let unnamed = read(br#"[{}]"#, None).unwrap().remove(0);
        assert_eq!(Rules { export_root: None, source: "" }.accept(unnamed).unwrap_err(), "a job: it names no VM");
    }

    #[test]
    fn only_the_configured_source_is_asked_and_only_with_the_configured_login() {
        for address in ["vc", "VC:443", "https://vc", "https://vc/sdk"] {
            for field in [format!(r#""vcenter_url":"{address}""#), format!(r#""vcenter":{{"server":"{address}"}}"#)] {
                let body = format!(r#"{{"vm_path":"/DC/vm/a","output_path":"/x","datacenter":"DC",{field}}}"#);
                assert!(accept(&body).is_ok(), "{body}");
            }
        }
        for (field, why) in [
            (r#""vcenter_url":"other""#, "names the server other"),
            (r#""vcenter":{"server":"vc:8443"}"#, "names the server vc:8443"),
            (r#""vcenter_url":"http://vc""#, "names the server http://vc"),
            (r#""vcenter":{"server":"vc","username":"u","password":"hidden"}"#, "user or a password of its own"),
            (r#""username":"u""#, "user or a password of its own"),
            (r#""password":"hidden""#, "user or a password of its own"),
            (r#""vcenter_url":"https://u:hidden@vc""#, "user or a password of its own"),
        ] {
            let rejected = accept(&format!(r#"{{"vm_path":"a","output_path":"/x",{field}}}"#)).unwrap_err();
            assert!(rejected.contains(why) && !rejected.contains("hidden"), "{rejected}");
        }
    }

    #[test]
    fn what_is_done_in_another_way_is_noted() {
        let body = r#"{"vm_path":"a","output_path":"/x","method":"ovftool","insecure":true,
            "options":{"parallel_downloads":8,"remove_cdrom":false,"show_individual_progress":true,"libvirt_uri":"q"}}"#;
        let notes = accept(body).unwrap().notes;
        assert_eq!(notes.len(), 5, "{notes:?}");
        for (note, part) in notes.iter().zip(["ovftool", "insecure", "8 connections", "libvirt_uri", "show_individual"])
        {
            assert!(note.contains(part), "{note}");
        }
    }
}
