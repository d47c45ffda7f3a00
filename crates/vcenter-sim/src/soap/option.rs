//! `OptionManager`: the few settings that clients look at.

use vsphere::wire::Any;
use vsphere::wire::generated::{AnyOptionValue, OptionValue, QueryOptions};

use super::call::Call;
use super::fault::{self, Outcome};
use crate::inventory::Personality;

/// `QueryOptions`: one setting by its name, those below a name that ends in a dot, or all.
pub(crate) fn query(call: &Call<'_>, request: QueryOptions) -> Outcome<Vec<AnyOptionValue>> {
    let all = settings(call);
    let Some(name) = request.name.filter(|name| !name.is_empty()) else { return Ok(all) };
    let fits = |option: &AnyOptionValue| option.key == name || name.ends_with('.') && option.key.starts_with(&name);
    let found: Vec<AnyOptionValue> = all.into_iter().filter(fits).collect();
    if found.is_empty() { Err(fault::invalid_name(&name, None)) } else { Ok(found) }
}

/// Returns all settings, sorted by key.
pub(crate) fn settings(call: &Call<'_>) -> Vec<AnyOptionValue> {
    let text = |key: &str, value: &str| option(key, Any::new(&value.to_owned(), call.encode()));
    let number =
        |key: &str, value: i64| option(key, Any::new(&i32::try_from(value).unwrap_or(i32::MAX), call.encode()));
    let idle_s = i64::try_from(call.world.faults.now().session_idle_s).unwrap_or(i64::MAX);
    let server = &call.world.inventory.vcenter;
    let address = call.world.addresses.vcenter;
    match call.model().personality() {
        Personality::VCenter => vec![
            number("config.vmacore.soap.maxSessionCount", i64::try_from(server.sessions_max).unwrap_or(i64::MAX)),
            number("config.vmacore.soap.sessionTimeout", idle_s),
            text("config.vpxd.sso.default.admin", &server.username),
            number("event.maxAge", 30),
            text("VirtualCenter.FQDN", "localhost"),
            text("VirtualCenter.InstanceName", "vcenter-sim"),
            text("VirtualCenter.VimApiUrl", &format!("https://{address}/sdk")),
        ],
        Personality::Esxi => vec![
            number(
                "Config.HostAgent.vmacore.soap.maxSessionCount",
                i64::try_from(server.sessions_max).unwrap_or(i64::MAX),
            ),
            number("Config.HostAgent.vmacore.soap.sessionTimeout", idle_s),
            number("UserVars.HostClientSessionTimeout", idle_s),
        ],
    }
}

fn option(key: &str, value: Any) -> AnyOptionValue {
    OptionValue { key: key.to_owned(), value: Some(value) }.into()
}
