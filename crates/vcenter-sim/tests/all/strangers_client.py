"""A client that we did not write (pyvmomi) asks the simulator what exporters ask; see strangers.rs.

Arguments: port, user, password. Prints `ok` at the end; any difference is an exception.
"""

import hashlib
import ssl
import sys
import time
import urllib.request

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def connect(name, secret):
    return SmartConnect(host="127.0.0.1", port=port, user=name, pwd=secret, disableSslCertValidation=True)


try:
    connect(user, "wrong")
    raise AssertionError("a wrong password was accepted")
except vim.fault.InvalidLogin:
    pass

service = connect(user, password)
content = service.RetrieveContent()
assert "simulated" in content.about.fullName, content.about.fullName
view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
by_name = {vm.name: vm for vm in view.view}
assert set(by_name) == {"web 01"}, by_name
machine = by_name["web 01"]
assert machine.runtime.powerState == "poweredOff"
disks = [device for device in machine.config.hardware.device if isinstance(device, vim.vm.device.VirtualDisk)]
assert [disk.capacityInBytes for disk in disks] == [40 << 20, 2 << 20, 8 << 20, 3000832]
assert content.searchIndex.FindByInventoryPath("/DC0/vm/web/web 01") == machine
assert content.searchIndex.FindByInventoryPath("/DC0/vm/nothing") is None


def fetch(url):
    """Returns the bytes behind a URL of a lease; its ticket is all that it needs."""
    unchecked = ssl._create_unverified_context()
    with urllib.request.urlopen(url, context=unchecked, timeout=60) as reply:
        return reply.read()


collector = content.propertyCollector.CreatePropertyCollector()
query = vmodl.query.PropertyCollector


def ready(lease):
    """Waits with WaitForUpdatesEx until a lease is ready."""
    waiting = collector.CreateFilter(
        query.FilterSpec(
            objectSet=[query.ObjectSpec(obj=lease)],
            propSet=[query.PropertySpec(type=vim.HttpNfcLease, pathSet=["state", "info", "error"])],
        ),
        True,
    )
    version, state, deadline = "", None, time.monotonic() + 60
    while state != "ready":
        assert time.monotonic() < deadline, f"the lease is {state}"
        updates = collector.WaitForUpdatesEx(version, query.WaitOptions(maxWaitSeconds=10))
        assert updates is not None, "the lease did not get ready"
        version = updates.version
        for change in (c for f in updates.filterSet for o in f.objectSet for c in o.changeSet):
            state = change.val if change.name == "state" else state
    waiting.Destroy()
    return lease


# One disk as exporters bring it out: fetched, compared with the manifest, completed.
lease = ready(machine.ExportVm())
first = next(url for url in lease.info.deviceUrl if url.disk)
lease.HttpNfcLeaseSetManifestChecksumType([vim.KeyValue(key=first.key, value="sha256")])
body = fetch(first.url)
assert body[:4] == b"KDMV", body[:4]
[entry] = [entry for entry in lease.HttpNfcLeaseGetManifest() if entry.key == first.key]
assert (entry.checksumType, entry.checksum) == ("sha256", hashlib.sha256(body).hexdigest()), entry
assert entry.sha1 == hashlib.sha1(body).hexdigest(), entry
assert (entry.size, entry.capacity, entry.disk) == (len(body), disks[0].capacityInBytes, True), entry
lease.HttpNfcLeaseComplete()

lease = ready(machine.ExportVm())
assert len(lease.info.deviceUrl) >= 5 and lease.info.leaseTimeout == 300
try:
    machine.PowerOn()
    raise AssertionError("a leased VM was powered on")
except vim.fault.TaskInProgress:
    pass
lease.HttpNfcLeaseProgress(50)
lease.HttpNfcLeaseAbort()
try:
    lease.state
    raise AssertionError("an aborted lease is still there")
except vmodl.fault.ManagedObjectNotFound:
    pass

task = machine.PowerOn()
deadline = time.monotonic() + 60
while task.info.state not in ("success", "error"):
    assert time.monotonic() < deadline, "the VM was not switched on"
    time.sleep(0.02)
assert task.info.state == "success" and machine.runtime.powerState == "poweredOn"
try:
    machine.ExportVm()
    raise AssertionError("a running VM was exported")
except vim.fault.InvalidPowerState as fault:
    assert fault.existingState == "poweredOn"
Disconnect(service)
print("ok")
