"""A client that we did not write (pyvmomi) takes snapshots and shuts a guest down; see strangers_snapshots.rs.

Arguments: port, user, password. Prints `ok` at the end; any difference is an exception.
"""

import sys
import time

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
service = SmartConnect(host="127.0.0.1", port=port, user=user, pwd=password, disableSslCertValidation=True)
content = service.RetrieveContent()
machine = content.searchIndex.FindByInventoryPath("/DC0/vm/a")


def until(what, is_so):
    """Waits for something that has to happen; a server that lets it be is a failure and no endless test."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.02)


def end(task):
    until(f"the end of {task}", lambda: task.info.state in ("success", "error"))
    if task.info.state == "error":
        raise task.info.error
    return task.info.result


def disk_backing():
    return next(d for d in machine.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk)).backing


assert machine.snapshot is None and list(machine.rootSnapshot) == []
first = end(machine.CreateSnapshot_Task(name="one", description="the first", memory=False, quiesce=True))
assert isinstance(first, vim.vm.Snapshot), first
second = end(machine.CreateSnapshotEx_Task(name="two", memory=False, quiesceSpec=vim.vm.GuestQuiesceSpec(timeout=5)))
info = machine.snapshot
assert info.currentSnapshot == second and list(machine.rootSnapshot) == [first]
root = info.rootSnapshotList[0]
assert (root.name, root.description, root.quiesced, root.vm) == ("one", "the first", True, machine), root
assert root.childSnapshotList[0].snapshot == second and root.createTime.year >= 2024
assert list(first.childSnapshot) == [second] and second.vm == machine
backing = disk_backing()
assert backing.fileName == "[datastore1] a/a-000002.vmdk", backing
assert backing.parent.parent.fileName == "[datastore1] a/a.vmdk", backing
assert first.config.hardware.numCPU == 1

end(first.RemoveSnapshot_Task(removeChildren=False, consolidate=False))
assert machine.runtime.consolidationNeeded
end(machine.ConsolidateVMDisks_Task())
assert not machine.runtime.consolidationNeeded
try:
    end(first.RemoveSnapshot_Task(removeChildren=False))
    raise AssertionError("a snapshot was removed twice")
except vmodl.fault.ManagedObjectNotFound:
    pass
end(machine.RemoveAllSnapshots_Task())
assert machine.snapshot is None and disk_backing().parent is None

drive = next(d for d in machine.config.hardware.device if isinstance(d, vim.vm.device.VirtualCdrom))
change = vim.vm.device.VirtualDeviceSpec(operation="remove", device=vim.vm.device.VirtualCdrom(key=drive.key))
remove = vim.vm.ConfigSpec(deviceChange=[change], changeTrackingEnabled=True)
try:
    end(machine.ReconfigVM_Task(remove))
    raise AssertionError("an IDE drive was removed from a running VM")
except vim.fault.InvalidPowerState:
    pass
assert machine.guest.toolsRunningStatus == "guestToolsRunning"
machine.ShutdownGuest()
until("the guest to shut down", lambda: machine.runtime.powerState == "poweredOff")
end(machine.ReconfigVM_Task(remove))
assert machine.config.changeTrackingEnabled
assert not any(isinstance(d, vim.vm.device.VirtualCdrom) for d in machine.config.hardware.device)
try:
    machine.ShutdownGuest()
    raise AssertionError("a guest that is off was shut down")
except vim.fault.InvalidPowerState as fault:
    assert fault.existingState == "poweredOff"
Disconnect(service)
print("ok")
