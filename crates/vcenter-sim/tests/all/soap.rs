//! Raw calls: what a strict server refuses, and how its refusals look on the wire.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use vcenter_sim::faults::Settings;
use vcenter_sim::soap::{SdkReply, SdkRequest};
use vcenter_sim::world::World;
use vcenter_sim::{Inventory, Options, Simulator};

const LISTED: &str = "[[datacenter]]\nname = \"DC0\"\n";

pub(crate) struct Desk {
    pub(crate) simulator: Simulator,
    pub(crate) cookie: Option<String>,
}

impl Desk {
    pub(crate) async fn open(settings: Settings, lenient: bool) -> Self {
        let mut inventory = LISTED.to_owned();
        for number in 0..5 {
            inventory += &format!("[[vm]]\npath = \"DC0/vm/vm{number}\"\n");
        }
        Self::with_inventory(&inventory, Options { settings: Some(settings), lenient, ..Options::default() }).await
    }

    pub(crate) async fn with_inventory(text: &str, options: Options) -> Self {
        Self::over(Inventory::parse(text, Path::new(".")).unwrap(), options).await
    }

    /// Opens a desk over an inventory of its own.
    pub(crate) async fn over(inventory: Inventory, options: Options) -> Self {
        Self { simulator: Simulator::start(inventory, options).await.unwrap(), cookie: None }
    }

    pub(crate) async fn call(&self, version: &str, body: &str) -> SdkReply {
        let envelope = format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>{body}</e:Body></e:Envelope>"
        );
        self.post(version, &envelope).await
    }

    /// Sends an envelope.
    pub(crate) async fn post(&self, version: &str, envelope: &str) -> SdkReply {
        let world: &Arc<World> = self.simulator.world();
        let action = format!("\"urn:vim25/{version}\"");
        let request = SdkRequest {
            cookie: self.cookie.as_deref(),
            soap_action: Some(&action),
            user_agent: None,
            body: envelope.as_bytes(),
            remote_addr: SocketAddr::from(([127, 0, 0, 1], 1)),
        };
        world.soap.post(world, request).await
    }

    pub(crate) async fn try_log_in(&self) -> SdkReply {
        let login = "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
                     <userName>administrator@vsphere.local</userName><password>simulated</password></Login>";
        self.call("8.0.3.0", login).await
    }

    pub(crate) async fn log_in(&mut self) {
        let reply = self.try_log_in().await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let cookie = reply.set_cookie.unwrap();
        assert!(cookie.contains("=\"") && cookie.ends_with("; Path=/; HttpOnly; Secure"), "{cookie}");
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    }
}

pub(crate) fn retrieve(paths: &[&str], options: &str) -> String {
    let paths: String = paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
    format!(
        "<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">propertyCollector</_this><specSet>\
         <propSet><type>VirtualMachine</type>{paths}</propSet><objectSet><obj type=\"Folder\">group-d1</obj>\
         <skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><name>f</name><type>Folder</type><path>childEntity</path>\
         <selectSet><name>f</name></selectSet><selectSet xsi:type=\"TraversalSpec\"><type>Datacenter</type>\
         <path>vmFolder</path><selectSet><name>f</name></selectSet></selectSet></selectSet></objectSet></specSet>\
         {options}</RetrievePropertiesEx>"
    )
}

const NOW: &str =
    "<CurrentTime xmlns=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this></CurrentTime>";

pub(crate) fn assert_fault(reply: &SdkReply, kind: &str) {
    assert_eq!(reply.status, 500, "{}", reply.body);
    let detail = format!("<{kind}Fault xmlns=\"urn:vim25\" xsi:type=\"{kind}\">");
    assert!(reply.body.contains(&detail), "{kind} in {}", reply.body);
    assert!(!reply.body.contains("<faultstring></faultstring>"), "{}", reply.body);
}

#[tokio::test]
async fn without_a_login_only_the_content_is_shown() {
    let desk = Desk::open(Settings::default(), false).await;
    assert_fault(&desk.call("8.0.3.0", NOW).await, "NotAuthenticated");
    let content = "<RetrieveServiceContent xmlns=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this>\
                   </RetrieveServiceContent>";
    let reply = desk.call("8.0.3.0", content).await;
    assert!(reply.status == 200 && reply.body.contains("simulated"), "{}", reply.body);
}

#[tokio::test]
async fn a_strict_server_refuses_what_the_api_does_not_say_and_a_lenient_one_does_not() {
    let out_of_order = "<FindChild xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">SearchIndex</_this>\
                        <name>DC0</name><entity type=\"Folder\">group-d1</entity></FindChild>";
    let unknown = NOW.replace("</CurrentTime>", "<more/></CurrentTime>");
    let mut strict = Desk::open(Settings::default(), false).await;
    strict.log_in().await;
    assert_fault(&strict.call("8.0.3.0", out_of_order).await, "InvalidRequest");
    assert_fault(&strict.call("8.0.3.0", &unknown).await, "InvalidRequest");
    let mut lenient = Desk::open(Settings::default(), true).await;
    lenient.log_in().await;
    assert_eq!(lenient.call("8.0.3.0", out_of_order).await.status, 200);
}

#[tokio::test]
async fn methods_and_properties_newer_than_the_version_are_unknown() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let newer = "<HttpNfcLeaseSetManifestChecksumType xmlns=\"urn:vim25\"><_this type=\"HttpNfcLease\">x</_this>\
                 </HttpNfcLeaseSetManifestChecksumType>";
    assert_fault(&desk.call("6.5", newer).await, "MethodNotFound");
    assert_fault(&desk.call("8.0.3.0", newer).await, "ManagedObjectNotFound");
    let nonsense = retrieve(&["config.nonsense"], "<options/>");
    assert_fault(&desk.call("8.0.3.0", &nonsense).await, "InvalidProperty");
}

#[tokio::test]
async fn a_traversal_that_names_itself_ends_and_pages_follow_each_other() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let first = desk.call("8.0.3.0", &retrieve(&["name"], "<options><maxObjects>3</maxObjects></options>")).await;
    assert_eq!(first.body.matches("<objects>").count(), 3, "{}", first.body);
    let token = first.body.split_once("<token>").unwrap().1.split_once("</token>").unwrap().0.to_owned();
    let next = format!(
        "<ContinueRetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">propertyCollector</_this>\
         <token>{token}</token></ContinueRetrievePropertiesEx>"
    );
    let second = desk.call("8.0.3.0", &next).await;
    assert_eq!(second.body.matches("<objects>").count(), 2, "{}", second.body);
    assert!(!second.body.contains("<token>"));
    assert_fault(&desk.call("8.0.3.0", &next).await, "InvalidArgument");
}

#[tokio::test]
async fn key_indexed_and_dotted_paths_reach_into_values() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let paths = ["runtime.powerState", "config.hardware.numCPU", "config.hardware.device[200].key"];
    let reply = desk.call("8.0.3.0", &retrieve(&paths, "<options/>")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.body.contains("xsi:type=\"VirtualMachinePowerState\">poweredOff<"), "{}", reply.body);
    assert!(reply.body.contains("<name>config.hardware.numCPU</name><val xsi:type=\"xsd:int\">1</val>"));
    assert!(reply.body.contains("device[200].key</name><val xsi:type=\"xsd:int\">200</val>"), "{}", reply.body);
}

#[tokio::test]
async fn a_session_that_was_silent_too_long_is_gone() {
    let mut desk = Desk::open(Settings { session_idle_s: 1, ..Settings::default() }, false).await;
    desk.log_in().await;
    assert_eq!(desk.call("8.0.3.0", NOW).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    assert_fault(&desk.call("8.0.3.0", NOW).await, "NotAuthenticated");
}
