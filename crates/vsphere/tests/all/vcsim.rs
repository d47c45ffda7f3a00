//! The client against vcsim, a server that we did not write.

use judges::VcSim;
use vsphere::wire::generated::Logout;
use vsphere::{Config, ErrorKind, Session, inventory};

/// Returns how a user would configure this server, and more variables.
pub(crate) fn config(vcsim: &VcSim, variables: &[(&str, &str)]) -> Config {
    let account =
        [("GOVC_URL", vcsim.address()), ("GOVC_USERNAME", VcSim::USERNAME), ("GOVC_PASSWORD", VcSim::PASSWORD)];
    let all: Vec<_> = account.iter().chain(variables).collect();
    Config::from_env(&|name| {
        all.iter().rev().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
    })
    .unwrap()
}

/// Logs in to a fresh vcsim; `None` where there is none.
pub(crate) async fn session(test: &str, arguments: &[&str]) -> Option<(VcSim, Session)> {
    let vcsim = VcSim::start(test, arguments)?;
    let session = Session::login(&config(&vcsim, &[INSECURE])).await.unwrap();
    Some((vcsim, session))
}

const INSECURE: (&str, &str) = ("GOVC_INSECURE", "1");

fn paths(vms: &[inventory::Vm]) -> Vec<&str> {
    vms.iter().map(|vm| vm.path.as_str()).collect()
}

#[tokio::test]
async fn vms_in_folders_of_several_datacenters_are_listed_with_their_paths() {
    let test = "vms_in_folders_of_several_datacenters_are_listed_with_their_paths";
    let Some(vcsim) = VcSim::start(test, &["-dc", "2", "-folder", "1", "-vm", "1", "-app", "1"]) else { return };
    let session = Session::login(&config(&vcsim, &[INSECURE])).await.unwrap();
    let vms = inventory::list(&session).await.unwrap();
    // vcsim puts the second datacenter, and the VMs in it, into a folder.
    let expected = [
        "/DC0/vm/DC0_C0_APP0_VM0",
        "/DC0/vm/DC0_C0_RP0_VM0",
        "/DC0/vm/DC0_H0_VM0",
        "/F0/DC1/vm/F0/DC1_C0_APP0_VM0",
        "/F0/DC1/vm/F0/DC1_C0_RP0_VM0",
        "/F0/DC1/vm/F0/DC1_H0_VM0",
    ];
    assert_eq!(paths(&vms), expected);
    let found = inventory::find(&session, "DC1_H0_VM0").await.unwrap();
    assert_eq!(found.path, "/F0/DC1/vm/F0/DC1_H0_VM0");
    assert_eq!(inventory::find(&session, "/F0/DC1/vm/F0/DC1_H0_VM0").await.unwrap().power_state, "poweredOn");
    session.logout().await.unwrap();
}

#[tokio::test]
async fn more_vms_than_one_page_are_all_listed() {
    let Some(vcsim) =
        VcSim::start("more_vms_than_one_page_are_all_listed", &["-vm", "260", "-host", "1", "-cluster", "0"])
    else {
        return;
    };
    let session = Session::login(&config(&vcsim, &[INSECURE])).await.unwrap();
    assert_eq!(inventory::list(&session).await.unwrap().len(), 260);
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_single_esxi_host_is_listed() {
    let Some(vcsim) = VcSim::start("a_single_esxi_host_is_listed", &["-esx"]) else { return };
    let session = Session::login(&config(&vcsim, &[INSECURE])).await.unwrap();
    let vms = inventory::list(&session).await.unwrap();
    assert_eq!(paths(&vms), ["/ha-datacenter/vm/ha-host_VM0", "/ha-datacenter/vm/ha-host_VM1"]);
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_a_refused_login() {
    let Some(vcsim) = VcSim::start("a_wrong_password_is_a_refused_login", &[]) else { return };
    let error = Session::login(&config(&vcsim, &[INSECURE, ("GOVC_PASSWORD", "wrong")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Login, "{error:?}");
}

#[tokio::test]
async fn a_certificate_passes_by_its_pin_only() {
    let Some(vcsim) = VcSim::start("a_certificate_passes_by_its_pin_only", &[]) else { return };
    let error = Session::login(&config(&vcsim, &[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Certificate, "{error:?}");
    let text = reasons(&error);
    let thumbprint = text.rsplit(' ').next().unwrap();
    let known = tempfile::NamedTempFile::new().unwrap();
    let pinned = [("GOVC_TLS_KNOWN_HOSTS", known.path().to_str().unwrap())];
    std::fs::write(known.path(), format!("{} {thumbprint}\n", vcsim.address())).unwrap();
    Session::login(&config(&vcsim, &pinned)).await.unwrap().logout().await.unwrap();
    std::fs::write(known.path(), format!("{} {}\n", vcsim.address(), ["AB"; 32].join(":"))).unwrap();
    let error = Session::login(&config(&vcsim, &pinned)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Certificate, "{error:?}");
}

#[tokio::test]
async fn a_session_that_the_server_dropped_is_renewed() {
    let Some(vcsim) = VcSim::start("a_session_that_the_server_dropped_is_renewed", &[]) else { return };
    let session = Session::login(&config(&vcsim, &[INSECURE])).await.unwrap();
    let manager = session.content().session_manager.clone().unwrap();
    // Ended behind the session's back, so that the next call meets NotAuthenticated.
    session.call(&manager, &Logout { this: manager.clone() }).await.unwrap();
    assert_eq!(inventory::list(&session).await.unwrap().len(), 4);
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("127.0.0.1:{port}");
    let config = Config::from_env(&|name| (name == "GOVC_URL").then(|| url.clone())).unwrap();
    let error = Session::login(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    assert!(reasons(&error).contains("refused"), "{}", reasons(&error));
}

fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        text = format!("{text}: {reason}");
        next = reason.source();
    }
    text
}
