//! Raw calls in a larger world: too many sessions, what may not be read, VMs that move.

use http::Method;
use vcenter_sim::Options;

use crate::client::Client;
use crate::lab::lab;
use crate::soap::{Desk, assert_fault};

const VERSION: &str = "8.0.3.0";
const COLLECTOR: &str = "<_this type=\"PropertyCollector\">propertyCollector</_this>";
const LOGOUT: &str = "<Logout xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this></Logout>";

async fn desk() -> Desk {
    let mut desk = Desk::over(lab(), Options::default()).await;
    desk.log_in().await;
    desk
}

async fn id_of(desk: &Desk, path: &str) -> String {
    let find = format!(
        "<FindByInventoryPath xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">SearchIndex</_this>\
         <inventoryPath>{path}</inventoryPath></FindByInventoryPath>"
    );
    let reply = desk.call(VERSION, &find).await;
    let found = reply.body.split_once("<returnval type=\"").unwrap_or_else(|| panic!("{path}: {}", reply.body)).1;
    found.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned()
}

/// Makes a filter over properties of a VM and reads their first state.
async fn watch(desk: &Desk, vm: &str, path: &str, partial: bool) {
    let filter = format!(
        "<CreateFilter xmlns=\"urn:vim25\">{COLLECTOR}<spec><propSet><type>VirtualMachine</type>\
         <pathSet>{path}</pathSet></propSet><objectSet><obj type=\"VirtualMachine\">{vm}</obj></objectSet></spec>\
         <partialUpdates>{partial}</partialUpdates></CreateFilter>"
    );
    assert_eq!(desk.call(VERSION, &filter).await.status, 200);
    let first = desk.call(VERSION, &check("")).await;
    assert!(first.body.contains("<kind>enter</kind>"), "{}", first.body);
}

fn check(version: &str) -> String {
    format!("<CheckForUpdates xmlns=\"urn:vim25\">{COLLECTOR}<version>{version}</version></CheckForUpdates>")
}

#[tokio::test]
async fn one_session_too_many_is_a_page_and_no_soap_and_a_logout_makes_room() {
    let mut desk = Desk::over(lab(), Options::default()).await;
    let mut cookies = Vec::new();
    for _ in 0..3 {
        let reply = desk.try_log_in().await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        cookies.push(reply.set_cookie.unwrap());
    }
    let refused = desk.try_log_in().await;
    assert_eq!((refused.status, refused.set_cookie), (503, None));
    assert!(refused.content_type.starts_with("text/html"), "{}", refused.content_type);
    assert!(refused.body.contains("Out of HTTP sessions: Limited to 3"), "{}", refused.body);
    desk.cookie = cookies.pop();
    assert_eq!(desk.call(VERSION, LOGOUT).await.status, 200);
    desk.cookie = None;
    assert_eq!(desk.try_log_in().await.status, 200);
}

#[tokio::test]
async fn a_vm_that_moves_to_another_host_is_told_and_found_there() {
    let desk = desk().await;
    let vm = id_of(&desk, "DC0/vm/web/web01").await;
    let (before, after) = (id_of(&desk, "DC0/host/C1/esx1").await, id_of(&desk, "DC0/host/esx3/esx3").await);
    watch(&desk, &vm, "runtime.host", false).await;
    let address = desk.simulator.control_url();
    let mut control = Client::plain(address.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let moved = control.send(Method::POST, "/vms/move?vm=DC0/vm/web/web01&host=esx3", &[], "").await;
    assert_eq!(moved.status, 200);
    let news = desk.call(VERSION, &check("1")).await;
    assert!(news.body.contains(&format!(">{after}</val>")) && !news.body.contains(&before), "{}", news.body);
    for (host, has) in [(&before, false), (&after, true)] {
        let fetch =
            format!("<Fetch xmlns=\"urn:vim25\"><_this type=\"HostSystem\">{host}</_this><prop>vm</prop></Fetch>");
        assert_eq!(desk.call(VERSION, &fetch).await.body.contains(&format!(">{vm}<")), has, "{host}");
    }
    let nowhere = control.send(Method::POST, "/vms/move?vm=DC0/vm/web/web01&host=esx9", &[], "").await;
    assert_eq!(nowhere.status, 404);
    assert!(String::from_utf8(nowhere.whole()).unwrap().contains("no host `esx9`"));
}

#[tokio::test]
async fn partial_updates_tell_the_field_and_whole_ones_the_property() {
    for (partial, name) in [(true, "runtime.host"), (false, "runtime")] {
        let desk = desk().await;
        let vm = id_of(&desk, "DC0/vm/web/web01").await;
        watch(&desk, &vm, "runtime", partial).await;
        let world = desk.simulator.world();
        assert!(world.soap.move_vm(world, "DC0/vm/web/web01", Some("esx2"), None).unwrap());
        let news = desk.call(VERSION, &check("1")).await;
        assert!(news.body.contains(&format!("<changeSet><name>{name}</name>")), "{}", news.body);
        assert_eq!(news.body.matches("<changeSet>").count(), 1, "{}", news.body);
        let nothing = desk.call(VERSION, &check("2")).await;
        assert!(nothing.status == 200 && !nothing.body.contains("returnval"), "{}", nothing.body);
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_missing_and_what_may_not_be_done_is_refused() {
    let desk = desk().await;
    let vm = id_of(&desk, "DC0/vm/db01").await;
    let read = |paths: &[&str]| {
        let paths: String = paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
        format!(
            "<RetrievePropertiesEx xmlns=\"urn:vim25\">{COLLECTOR}<specSet><propSet><type>VirtualMachine</type>{paths}\
             </propSet><objectSet><obj type=\"VirtualMachine\">{vm}</obj></objectSet></specSet><options/>\
             </RetrievePropertiesEx>"
        )
    };
    let reply = desk.call(VERSION, &read(&["name", "layoutEx.file", "config.uuid"])).await;
    assert!(reply.body.contains("<missingSet><path>layoutEx.file</path><fault><fault xsi:type=\"NoPermission\">"));
    assert!(reply.body.contains("<privilegeId>System.Read</privilegeId>"), "{}", reply.body);
    assert_eq!((reply.body.matches("<propSet>").count(), reply.body.matches("<missingSet>").count()), (2, 1));
    let power_off =
        format!("<PowerOffVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">{vm}</_this></PowerOffVM_Task>");
    assert_fault(&desk.call(VERSION, &power_off).await, "NoPermission");
}

#[tokio::test]
async fn well_known_objects_answer_to_their_own_names_only() {
    let desk = desk().await;
    for id in ["HostAgentSettings", "VpxSettings2"] {
        let query =
            format!("<QueryOptions xmlns=\"urn:vim25\"><_this type=\"OptionManager\">{id}</_this></QueryOptions>");
        assert_fault(&desk.call(VERSION, &query).await, "ManagedObjectNotFound");
    }
}
