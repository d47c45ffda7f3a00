//! The parts of a VM's configuration that are the same for all VMs of this world, and as vSphere has
//! them for a new one.

use vsphere::wire::generated::{
    LatencySensitivity, LatencySensitivitySensitivityLevel, ResourceAllocationInfo, SharesInfo, SharesLevel,
    ToolsConfigInfo, VirtualMachineBootOptions, VirtualMachineCapability, VirtualMachineDefaultPowerOpInfo,
    VirtualMachineFlagInfo,
};

/// Shares of a VM in its pool: by CPU, and by MiB of memory.
const SHARES_PER_CPU: i32 = 1000;
const SHARES_PER_MIB: i32 = 10;
/// Milliseconds between two attempts to boot.
const BOOT_RETRY_MS: i64 = 10_000;

/// Returns what can be done with a VM.
pub(super) fn capability() -> VirtualMachineCapability {
    VirtualMachineCapability {
        snapshot_operations_supported: true,
        multiple_snapshots_supported: true,
        powered_off_snapshots_supported: true,
        quiesced_snapshots_supported: true,
        boot_options_supported: true,
        change_tracking_supported: true,
        multiple_cores_per_socket_supported: true,
        se_sparse_disk_supported: true,
        secure_boot_supported: Some(true),
        ..VirtualMachineCapability::default()
    }
}

/// Returns `config.tools`.
pub(super) fn tools() -> ToolsConfigInfo {
    ToolsConfigInfo {
        tools_version: Some(0),
        after_power_on: Some(true),
        after_resume: Some(true),
        before_guest_standby: Some(true),
        before_guest_shutdown: Some(true),
        tools_upgrade_policy: Some("manual".to_owned()),
        sync_time_with_host: Some(false),
        ..ToolsConfigInfo::default()
    }
}

/// Returns `config.flags`.
pub(super) fn flags() -> VirtualMachineFlagInfo {
    VirtualMachineFlagInfo {
        disable_acceleration: Some(false),
        enable_logging: Some(true),
        run_with_debug_info: Some(false),
        monitor_type: Some("release".to_owned()),
        ht_sharing: Some("any".to_owned()),
        snapshot_disabled: Some(false),
        snapshot_locked: Some(false),
        disk_uuid_enabled: Some(false),
        virtual_mmu_usage: Some("automatic".to_owned()),
        virtual_exec_usage: Some("hvAuto".to_owned()),
        snapshot_power_off_behavior: Some("powerOff".to_owned()),
        vvtd_enabled: Some(false),
        vbs_enabled: Some(false),
        ..VirtualMachineFlagInfo::default()
    }
}

/// Returns `config.defaultPowerOps`.
pub(super) fn power_ops() -> VirtualMachineDefaultPowerOpInfo {
    let text = |text: &str| Some(text.to_owned());
    VirtualMachineDefaultPowerOpInfo {
        power_off_type: text("soft"),
        suspend_type: text("hard"),
        reset_type: text("soft"),
        default_power_off_type: text("soft"),
        default_suspend_type: text("hard"),
        default_reset_type: text("soft"),
        standby_action: text("checkpoint"),
    }
}

/// Returns `config.bootOptions`.
pub(super) fn boot_options() -> VirtualMachineBootOptions {
    VirtualMachineBootOptions {
        boot_delay: Some(0),
        enter_bios_setup: Some(false),
        efi_secure_boot_enabled: Some(false),
        boot_retry_enabled: Some(false),
        boot_retry_delay: Some(BOOT_RETRY_MS),
        network_boot_protocol: Some("ipv4".to_owned()),
        ..VirtualMachineBootOptions::default()
    }
}

/// Returns `config.cpuAllocation`.
pub(super) fn cpu_allocation(cpus: i32) -> ResourceAllocationInfo {
    allocation(cpus.saturating_mul(SHARES_PER_CPU))
}

/// Returns `config.memoryAllocation`.
pub(super) fn memory_allocation(memory_mib: i32) -> ResourceAllocationInfo {
    allocation(memory_mib.saturating_mul(SHARES_PER_MIB))
}

/// Returns `config.latencySensitivity`.
pub(super) fn latency() -> LatencySensitivity {
    LatencySensitivity { level: LatencySensitivitySensitivityLevel::Normal, ..LatencySensitivity::default() }
}

fn allocation(shares: i32) -> ResourceAllocationInfo {
    ResourceAllocationInfo {
        reservation: Some(0),
        expandable_reservation: Some(false),
        limit: Some(-1),
        shares: Some(SharesInfo { shares, level: SharesLevel::Normal }),
        ..ResourceAllocationInfo::default()
    }
}
