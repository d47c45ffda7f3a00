//! What the guest of a VM says about itself, through VMware Tools: `guest`, and its part of `summary`.

use vsphere::wire::generated::{
    GuestInfo, VirtualMachineGuestSummary, VirtualMachinePowerState as Power, VirtualMachineToolsStatus as Status,
};

use super::super::power::tools_run;
use super::machine::Machine;
use crate::inventory::Tools;

impl Machine<'_> {
    /// Returns `guest`.
    pub(super) fn guest(&self) -> Option<GuestInfo> {
        let (status, version, running) = self.tools();
        let plan = self.state.guest_plans.get(&self.place.index);
        let guest_state = match plan {
            Some(plan) => plan.change.guest_state(),
            None if self.tools_run() => "running",
            None => "notRunning",
        };
        self.is_readable().then(|| GuestInfo {
            tools_status: Some(status),
            tools_version_status2: Some(version),
            tools_running_status: Some(running),
            guest_state: guest_state.to_owned(),
            guest_operations_ready: Some(self.tools_run() && plan.is_none()),
            guest_state_change_supported: Some(self.tools_run() && plan.is_none()),
            ..GuestInfo::default()
        })
    }

    /// Also an orphaned VM has one; clients read its fields without a look whether it is there.
    pub(super) fn guest_summary(&self) -> VirtualMachineGuestSummary {
        let (status, version, running) = self.tools();
        VirtualMachineGuestSummary {
            guest_id: self.is_readable().then(|| self.vm.guest_id.clone()),
            guest_full_name: self.is_readable().then(|| self.guest_name()),
            tools_status: Some(status),
            tools_version_status2: Some(version),
            tools_running_status: Some(running),
            ..VirtualMachineGuestSummary::default()
        }
    }

    /// Returns what is known of the Tools: status, version, and whether they run.
    fn tools(&self) -> (Status, String, String) {
        let (status, version, running) = match self.vm.tools {
            Tools::NotInstalled => (Status::ToolsNotInstalled, "guestToolsNotInstalled", "guestToolsNotRunning"),
            _ if self.tools_run() => (Status::ToolsOk, "guestToolsCurrent", "guestToolsRunning"),
            _ => (Status::ToolsNotRunning, "guestToolsCurrent", "guestToolsNotRunning"),
        };
        (status, version.to_owned(), running.to_owned())
    }

    fn tools_run(&self) -> bool {
        let power = self.state.vms.get(self.place.index).map_or(&Power::PoweredOff, |vm| &vm.power);
        tools_run(self.vm, power)
    }
}
