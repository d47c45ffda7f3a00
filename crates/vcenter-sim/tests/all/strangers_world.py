"""pyvmomi walks through a world and reads everything; see strangers_world.rs.

Arguments: port, user, password. Prints `ok` at the end; any difference is an exception.
"""

import sys

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
service = SmartConnect(host="127.0.0.1", port=port, user=user, pwd=password, disableSslCertValidation=True)
content = service.RetrieveContent()
is_vcenter = content.about.apiType == "VirtualCenter"
everything = content.viewManager.CreateContainerView(content.rootFolder, [], True)
objects = list(everything.view) + [
    service,
    everything,
    content.rootFolder,
    content.authorizationManager,
    content.ovfManager,
    content.propertyCollector,
    content.searchIndex,
    content.sessionManager,
    content.setting,
    content.taskManager,
    content.viewManager,
]

# Every property is read; what may not be read says so, and what the version of the server does not
# have is refused as such.
read = denied = 0
for managed in objects:
    for declared in type(managed)._GetPropertyList():
        try:
            read += getattr(managed, declared.name) is not None
        except vim.fault.NoPermission as fault:
            assert fault.object == managed and fault.privilegeId == "System.Read", fault
            denied += 1
        except vmodl.fault.MethodNotFound:
            # pyvmomi's own refusal: it knows a newer version than the one that was negotiated.
            pass
assert read > 100, read
assert denied == (1 if is_vcenter else 0), denied

# What clients count on without asking whether it is there.
for managed in everything.view:
    assert managed.name and managed.overallStatus == "green", managed
    if isinstance(managed, vim.ResourcePool):
        assert managed.summary.name == managed.name and managed.config.cpuAllocation.shares.level == "normal"
        assert managed.runtime.memory.maxUsage > 0 and managed.owner is not None
    if isinstance(managed, vim.ComputeResource):
        assert managed.summary.numHosts == len(managed.host) and managed.resourcePool in everything.view
    if isinstance(managed, vim.VirtualMachine) and managed.runtime.connectionState == "connected":
        config = managed.config
        assert config.flags.diskUuidEnabled is False and config.tools.toolsUpgradePolicy == "manual"
        assert config.bootOptions.bootDelay == 0 and managed.storage.perDatastoreUsage
        assert managed.summary.storage.committed + managed.summary.storage.uncommitted >= 0

by_name = {managed.name: managed for managed in everything.view if isinstance(managed, vim.VirtualMachine)}
machine = by_name["web01" if is_vcenter else "router"]
search = content.searchIndex
assert search.FindAllByUuid(None, machine.config.instanceUuid, True, True) == [machine]
assert search.FindByDnsName(None, machine.runtime.host.name, False) == machine.runtime.host
assert content.setting.QueryOptions(content.setting.setting[0].key)[0].value is not None
try:
    content.setting.QueryOptions("no.such.setting")
    raise AssertionError("a setting that is not there was found")
except vim.fault.InvalidName as fault:
    assert fault.name == "no.such.setting"

session = content.sessionManager.currentSession.key
privileges = ["VApp.Export", "VirtualMachine.Interact.PowerOff"]
granted = content.authorizationManager.HasPrivilegeOnEntities([machine], session, privileges)[0].privAvailability
assert [entry.isGranted for entry in granted] == [True, not is_vcenter], granted

# WaitForTask uses filters with partial updates and the oldest of the waiting calls.
WaitForTask(machine.PowerOn())
assert machine.runtime.powerState == "poweredOn" and content.taskManager.recentTask
if is_vcenter:
    try:
        machine.PowerOff()
        raise AssertionError("what the account may not do was done")
    except vim.fault.NoPermission as fault:
        assert fault.privilegeId == "VirtualMachine.Interact.PowerOff"
else:
    WaitForTask(machine.PowerOff())

named = content.viewManager.CreateListView([machine])
assert named.view == [machine]
assert named.ModifyListView([content.rootFolder], [machine]) == [] and named.view == [content.rootFolder]
gone = vim.VirtualMachine("vm-999999", service._stub)
assert named.ResetListView([machine, gone]) == [gone] and named.view == [machine]
assert len(content.viewManager.viewList) == 2

if is_vcenter:
    query = vmodl.query.PropertyCollector
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=by_name["db01"])],
        propSet=[query.PropertySpec(type=vim.VirtualMachine, pathSet=["name", "config.annotation"])],
    )
    found = content.propertyCollector.RetrievePropertiesEx([spec], query.RetrieveOptions()).objects[0]
    assert [entry.name for entry in found.propSet] == ["name"]
    assert [entry.path for entry in found.missingSet] == ["config.annotation"]
    assert isinstance(found.missingSet[0].fault, vim.fault.NoPermission)
    other = SmartConnect(host="127.0.0.1", port=port, user=user, pwd=password, disableSslCertValidation=True)
    theirs = other.content.sessionManager.currentSession.key
    assert content.sessionManager.SessionIsActive(theirs, user)
    content.sessionManager.TerminateSession([theirs])
    assert not content.sessionManager.SessionIsActive(theirs, user)
    try:
        content.sessionManager.TerminateSession([theirs])
        raise AssertionError("a session was ended twice")
    except vim.fault.NotFound:
        pass

named.DestroyView()
everything.DestroyView()
Disconnect(service)
print("ok")
