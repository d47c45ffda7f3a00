//! Calls at a desk as values: what is asked and what comes back, with strict reading on the way.

use std::time::Duration;

use vcenter_sim::Options;
use vcenter_sim::faults::Settings;
use vsphere::wire::generated::{
    CreateSnapshotTask, FindByInventoryPath, ObjectSpec, PropertyFilterSpec, PropertySpec, RetrievePropertiesEx,
    TaskInfo, TaskInfoState,
};
use vsphere::wire::{Any, ApiVersion, Decode, Method, MoRef, ResponseError, Value, parse_response, request_xml};

use crate::soap::Desk;

const VERSION: &str = "8.0.3.0";

/// A VM with two disks, and what `more` says of it.
pub(crate) fn inventory(more: &str) -> String {
    format!(
        "[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/a\"\nannotation = \"first\"\n{more}\n\
         [[vm.disk]]\nsize = \"3 MiB\"\ncontent = {{ kind = \"seeded\", seed = 1, fill = 0.5, compressibility = 0.5 }}\n\
         [[vm.disk]]\nsize = 1000448\n"
    )
}

/// A desk with a caller who has logged in, and the VM of [`inventory`].
pub(crate) async fn desk(more: &str, settings: Settings) -> (Desk, MoRef) {
    let options = Options { settings: Some(settings), ..Options::default() };
    let mut desk = Desk::with_inventory(&inventory(more), options).await;
    desk.log_in().await;
    let path =
        FindByInventoryPath { this: MoRef::new("SearchIndex", "SearchIndex"), inventory_path: "DC0/vm/a".to_owned() };
    let vm = desk.ask(path).await.unwrap().unwrap();
    (desk, vm)
}

impl Desk {
    /// Makes a call; a fault comes back as its type and its text.
    pub(crate) async fn ask<M: Method>(&self, call: M) -> Result<M::Reply, (String, String)> {
        let version = ApiVersion::parse(VERSION).unwrap();
        let reply = self.post(VERSION, &request_xml(&call, "test", version)).await;
        let mut decode = Decode { strict: true, ..Decode::default() };
        match parse_response::<M>(&reply.body, &mut decode) {
            Ok(value) => Ok(value),
            Err(ResponseError::Fault(fault)) => Err((fault.type_name().to_owned(), fault.text.clone())),
            Err(other) => panic!("{other}: {}", reply.body),
        }
    }

    /// Reads a property that may be unset.
    pub(crate) async fn any(&self, object: &MoRef, path: &str) -> Option<Any> {
        let set =
            PropertySpec { type_: object.kind.clone(), path_set: vec![path.to_owned()], ..PropertySpec::default() };
        let object_set = vec![ObjectSpec { obj: object.clone(), ..ObjectSpec::default() }];
        let spec = PropertyFilterSpec { prop_set: vec![set], object_set, ..PropertyFilterSpec::default() };
        let this = MoRef::new("PropertyCollector", "propertyCollector");
        let call = RetrievePropertiesEx { this, spec_set: vec![spec], options: Default::default() };
        let result = self.ask(call).await.unwrap().unwrap();
        result.objects.into_iter().next().unwrap().prop_set.pop().map(|property| property.val)
    }

    /// Reads a property.
    pub(crate) async fn get<T: Value>(&self, object: &MoRef, path: &str) -> T {
        let any = self.any(object, path).await.unwrap_or_else(|| panic!("{path} of {object} is unset"));
        any.get(&mut Decode { strict: true, ..Decode::default() }).unwrap()
    }

    /// Reads a list.
    pub(crate) async fn list<T: Value>(&self, object: &MoRef, path: &str) -> Vec<T> {
        let any = self.any(object, path).await.unwrap_or_else(|| panic!("{path} of {object} is unset"));
        any.get_list(&mut Decode { strict: true, ..Decode::default() }).unwrap()
    }

    /// Waits for the end of a task: what it returns, or the type of its error.
    pub(crate) async fn end(&self, task: MoRef) -> Result<Option<MoRef>, String> {
        loop {
            let info: TaskInfo = self.get(&task, "info").await;
            match info.state {
                TaskInfoState::Success => {
                    return Ok(info.result.map(|any| any.get(&mut Decode::default()).unwrap()));
                }
                TaskInfoState::Error => return Err(info.error.unwrap().fault.type_name().to_owned()),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Starts a task and waits for its end; a refusal at once is an error, too.
    pub(crate) async fn run<M: Method<Reply = MoRef>>(&self, call: M) -> Result<Option<MoRef>, String> {
        match self.ask(call).await {
            Ok(task) => self.end(task).await,
            Err((kind, _)) => Err(kind),
        }
    }

    /// Takes a snapshot.
    pub(crate) async fn snapshot(&self, vm: &MoRef, name: &str) -> MoRef {
        let call = CreateSnapshotTask { this: vm.clone(), name: name.to_owned(), ..CreateSnapshotTask::default() };
        self.run(call).await.unwrap().unwrap()
    }
}
