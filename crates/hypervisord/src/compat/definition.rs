//! A job as older callers define it: every field that they may send, in its exact type.
//!
//! The same type goes out again in replies. What must never go out, passwords, is taken out of it while it
//! is read ([`Submitted`]), so that no reply can hold one.

mod options;

pub use options::ExportOptions;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::{Fields, IllTyped, Node};
use super::text;

/// What a job is; empty and absent are the same. The times are texts as they stand in replies.
///
/// It is kept with the job, so what an older version kept has to stay readable: fields are only added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobDefinition {
    /// The job's id; empty when the daemon is to make one.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// Inventory path, name or managed-object id of the VM.
    pub vm_path: String,
    /// The target directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output_path: String,
    /// The target directory once more; wins over `output_path`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output_dir: String,
    /// How to export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<ExportOptions>,
    /// Address of a vCenter, without user and password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vcenter_url: String,
    /// A vCenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcenter: Option<Vcenter>,
    /// User at the vCenter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Take any certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Where relative inventory paths begin.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    /// `ovf`, `ova`, `vmdk`, `qcow2` or `raw`; empty is `ovf`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// `web`, `ctl`, `govc` or `ovftool`; all of them are this daemon's own way.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub export_method: String,
    /// Compress the disks.
    #[serde(skip_serializing_if = "is_false")]
    pub compress: bool,
    /// Leave empty parts of the disks out.
    #[serde(skip_serializing_if = "is_false")]
    pub thin: bool,
    /// When the job was accepted; the daemon's, never the caller's.
    pub created_at: Option<String>,
    /// Whatever the caller wants to find again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// A vCenter that a job names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vcenter {
    /// Host, host and port, or URL, without user and password.
    pub server: String,
    /// User.
    pub username: String,
    /// Take any certificate.
    pub insecure: bool,
}

/// A definition as it came, apart from its secrets.
#[derive(Debug, Default)]
pub struct Submitted {
    /// What may be shown.
    pub definition: JobDefinition,
    /// The password that came with it, from whichever field.
    pub password: Option<SecretString>,
    /// True when an address held a user or a password.
    pub address_had_user: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Submitted {
    /// Reads one definition; `place` names it in errors and is empty for a body that is nothing else.
    ///
    /// # Errors
    /// When it is no object or a field has a type that it does not take.
    pub fn read(node: &Node, place: &str) -> Result<Self, IllTyped> {
        let fields = node.fields(place)?;
        fields.time("created_at")?;
        let text = |key| fields.text(key).map(Option::unwrap_or_default);
        let flag = |key| fields.flag(key).map(Option::unwrap_or_default);
        let vcenter = fields.fields("vcenter")?.as_ref().map(vcenter).transpose()?;
        let (vcenter, vcenter_password) = vcenter.unzip();
        let method = text("method")?;
        let definition = JobDefinition {
            id: text("id")?,
            name: text("name")?,
            vm_path: text("vm_path")?,
            output_path: text("output_path")?,
            output_dir: text("output_dir")?,
            options: fields.fields("options")?.as_ref().map(ExportOptions::read).transpose()?,
            vcenter_url: text("vcenter_url")?,
            vcenter,
            username: text("username")?,
            insecure: flag("insecure")?,
            datacenter: text("datacenter")?,
            format: text("format")?,
            export_method: fields.text("export_method")?.unwrap_or(method),
            compress: flag("compress")?,
            thin: flag("thin")?,
            created_at: None,
            metadata: fields.object("metadata")?,
        };
        let password = password(&fields)?.or_else(|| vcenter_password.flatten());
        Ok(Self { definition, password, address_had_user: false }.without_users())
    }

    /// Cuts user and password out of the addresses.
    fn without_users(mut self) -> Self {
        let server = self.definition.vcenter.as_mut().map(|vcenter| &mut vcenter.server);
        for address in std::iter::once(&mut self.definition.vcenter_url).chain(server) {
            let bare = text::without_user(address);
            self.address_had_user |= bare != *address;
            *address = bare;
        }
        self
    }
}

impl JobDefinition {
    /// Returns the target directory as the caller wants it; empty when none is named.
    pub fn output(&self) -> &str {
        if self.output_dir.is_empty() { &self.output_path } else { &self.output_dir }
    }
}

fn vcenter(fields: &Fields<'_>) -> Result<(Vcenter, Option<SecretString>), IllTyped> {
    let vcenter = Vcenter {
        server: fields.text("server")?.unwrap_or_default(),
        username: fields.text("username")?.unwrap_or_default(),
        insecure: fields.flag("insecure")?.unwrap_or_default(),
    };
    Ok((vcenter, password(fields)?))
}

fn password(fields: &Fields<'_>) -> Result<Option<SecretString>, IllTyped> {
    Ok(fields.text("password")?.filter(|password| !password.is_empty()).map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::super::document::{json as json_document, yaml};
    use super::*;

    fn from_json(text: &str) -> Result<Submitted, String> {
        Submitted::read(&json_document::read(text.as_bytes()).unwrap(), "").map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_older_client_sends_is_read() {
        let sent = r#"{"id":"","name":"test-vm","vm_path":"/DC/vm/test-vm","output_path":"/tmp/export",
                       "created_at":"0001-01-01T00:00:00Z"}"#;
        let definition = from_json(sent).unwrap().definition;
        assert_eq!(
            serde_json::to_value(&definition).unwrap(),
            json!({"id": "", "name": "test-vm", "vm_path": "/DC/vm/test-vm", "output_path": "/tmp/export",
                   "created_at": null})
        );
    }

    #[test]
    fn every_field_goes_out_as_it_came_in_but_passwords() {
        let sent = r#"{
            "id":"a-1","name":"n","vm_path":"/DC/vm/n","output_path":"/a","output_dir":"/b",
            "options":{"parallel_downloads":8,"remove_cdrom":true},
            "vcenter_url":"https://root:hidden-1@vc/sdk",
            "vcenter":{"server":"vc","username":"u","password":"hidden-2","insecure":true},
            "username":"u","password":"hidden-3","insecure":true,"datacenter":"DC","format":"ovf",
            "method":"govc","compress":true,"thin":true,"metadata":{"k":[1,"x",null]}
        }"#;
        let submitted = from_json(sent).unwrap();
        assert_eq!(submitted.password.as_ref().unwrap().expose_secret(), "hidden-3");
        assert!(submitted.address_had_user);
        assert!(!format!("{submitted:?}").contains("hidden"));
        let kept = serde_json::to_string(&submitted.definition).unwrap();
        assert_eq!(serde_json::from_str::<JobDefinition>(&kept).unwrap(), submitted.definition);
        assert_eq!(
            serde_json::to_value(&submitted.definition).unwrap(),
            json!({
                "id": "a-1", "name": "n", "vm_path": "/DC/vm/n", "output_path": "/a", "output_dir": "/b",
                "options": {"parallel_downloads": 8, "remove_cdrom": true},
                "vcenter_url": "https://vc/sdk",
                "vcenter": {"server": "vc", "username": "u", "insecure": true},
                "username": "u", "insecure": true, "datacenter": "DC", "format": "ovf", "export_method": "govc",
                "compress": true, "thin": true, "created_at": null, "metadata": {"k": [1, "x", null]},
            })
        );
    }

    #[test]
    fn yaml_fills_the_same_fields_by_its_own_rules() {
        let text = "name: 2024\nvm_path: 12345\nformat: ovf\nthin: Yes\npassword: 4711\noutput_path: 1.10\n\
                    created_at: 2024-01-01\nmetadata: {1: a, b: 0x10, c: yes}\n\
                    options:\n  parallel_downloads: 010\n  remove_cdrom: on\n";
        let submitted = Submitted::read(&yaml::read(text).unwrap(), "").unwrap();
        assert_eq!(submitted.password.unwrap().expose_secret(), "4711");
        assert_eq!(
            serde_json::to_value(submitted.definition).unwrap(),
            json!({
                "id": "", "name": "2024", "vm_path": "12345", "output_path": "1.10", "format": "ovf", "thin": true,
                "options": {"parallel_downloads": 8, "remove_cdrom": true}, "created_at": null,
                "metadata": {"1": "a", "b": 16, "c": "yes"},
            })
        );
    }

    #[test]
    fn a_field_of_a_wrong_type_is_named() {
        for (sent, why) in [
            (r#"{"name":5}"#, "name is not a text"),
            (r#"{"created_at":""}"#, "created_at is not a time of RFC 3339"),
            (r#"{"vcenter":"vc"}"#, "vcenter is not an object"),
            (r#"{"vcenter":{"server":1}}"#, "vcenter.server is not a text"),
            (r#"{"metadata":[]}"#, "metadata is not an object"),
            (r#"{"thin":"true"}"#, "thin is not a boolean"),
            (r#"{"options":{"parallel_downloads":4.0}}"#, "options.parallel_downloads is not an integer"),
            (r#"{"options":{"pipeline_fix":1}}"#, "options.pipeline_fix is not a boolean"),
            ("[]", "it is not an object"),
        ] {
            assert_eq!(from_json(sent).unwrap_err(), why);
        }
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let sent = r#"{"name":null,"options":null,"vcenter":null,"thin":null,"metadata":null,"created_at":null}"#;
        assert_eq!(from_json(sent).unwrap().definition, JobDefinition::default());
    }
}
