//! Makes the neutral machine of a `.vmx` file.

mod drives;
mod others;

use super::Vmx;
use crate::package::machine::{Firmware, GuestOs, Machine, Uuid};
use crate::{Error, ErrorKind, Result};

/// Memory in MiB where the file does not say.
const MEMORY_MIB_DEFAULT: u64 = 32;
/// Most processors that are believed.
const VCPUS_MAX: u32 = 4096;

/// Makes the machine of a `.vmx` file; `file_name` names it when it has no name of its own.
///
/// # Errors
///
/// `Encrypted` for a machine whose disks or settings are; `Corrupt` for a number that is none.
pub fn machine(vmx: &Vmx, file_name: &str) -> Result<Machine> {
    if ["encryption.keysafe", "encryption.data"].iter().any(|key| vmx.get(key).is_some()) {
        return Err(Error::new(ErrorKind::Encrypted, "an encrypted machine cannot be read without its keys"));
    }
    let stem = file_name.strip_suffix(".vmx").unwrap_or(file_name);
    let mut machine = Machine::new(vmx.text("displayname").unwrap_or(stem));
    machine.warnings.extend_from_slice(vmx.warnings());
    machine.annotation = vmx.text("annotation").map(str::to_owned);
    machine.guest_os = GuestOs { vmware_id: vmx.text("guestos").map(str::to_owned), ..GuestOs::default() };
    machine.hardware_version = vmx.text("virtualhw.version").map(|version| format!("vmx-{version:0>2}"));
    machine.firmware = Some(take_firmware(vmx, &mut machine));
    machine.secure_boot = vmx.truth("uefi.secureboot.enabled");
    take_size(vmx, &mut machine)?;
    machine.nvram = vmx.text("nvram").map(str::to_owned);
    machine.has_tpm = vmx.truth("vtpm.present") == Some(true);
    machine.bios_uuid = take_uuid(vmx, &mut machine, "uuid.bios");
    machine.instance_uuid = take_uuid(vmx, &mut machine, "vc.uuid");
    machine.generation_id = match (vmx.text("vm.genid"), vmx.text("vm.genidx")) {
        (Some(first), Some(second)) => generation_id(first, second),
        _ => None,
    };
    drives::take(vmx, &mut machine)?;
    others::take(vmx, &mut machine)?;
    Ok(machine)
}

fn take_firmware(vmx: &Vmx, machine: &mut Machine) -> Firmware {
    let Some(word) = vmx.text("firmware") else { return Firmware::Bios };
    Firmware::from_word(word).unwrap_or_else(|| {
        machine.warn(format!("the firmware {word:?} is unknown, a BIOS is assumed"));
        Firmware::Bios
    })
}

fn take_size(vmx: &Vmx, machine: &mut Machine) -> Result<()> {
    let mib = number(vmx, "memsize")?.unwrap_or_else(|| {
        machine.warn(format!("the file does not say how much memory the machine has: {MEMORY_MIB_DEFAULT} MiB"));
        MEMORY_MIB_DEFAULT
    });
    machine.memory_bytes =
        mib.checked_mul(1 << 20).ok_or_else(|| Error::limit("memory is below 2^64 bytes").found(mib.to_string()))?;
    let vcpus = number(vmx, "numvcpus")?.unwrap_or(1);
    machine.vcpus = u32::try_from(vcpus)
        .ok()
        .filter(|vcpus| (1..=VCPUS_MAX).contains(vcpus))
        .ok_or_else(|| Error::corrupt("a machine has between 1 and 4096 processors").found(vcpus.to_string()))?;
    // Zero is how newer hosts write "as I see fit".
    if let Some(cores) = number(vmx, "cpuid.corespersocket")?.filter(|&cores| cores > 0) {
        machine.take_cores_per_socket(u32::try_from(cores).unwrap_or(u32::MAX));
    }
    Ok(())
}

fn take_uuid(vmx: &Vmx, machine: &mut Machine, key: &str) -> Option<Uuid> {
    let text = vmx.text(key)?;
    let uuid = Uuid::parse(text);
    if uuid.is_none() {
        machine.warn(format!("{key} is no UUID: {text:?}"));
    }
    uuid
}

fn number(vmx: &Vmx, key: &str) -> Result<Option<u64>> {
    let Some(text) = vmx.text(key) else { return Ok(None) };
    let number = text.parse();
    number.map(Some).map_err(|source: std::num::ParseIntError| {
        Error::corrupt("a number is written in digits").found(format!("{key} = {text:?}")).caused_by(source)
    })
}

/// Returns the generation identifier of `vm.genid` and `vm.genidX`, two signed decimals.
///
/// The guest sees the sixteen bytes of both with the halves of each in another order.
#[must_use]
pub fn generation_id(first: &str, second: &str) -> Option<Uuid> {
    let bits = |text: &str| text.trim().parse::<i64>().map(i64::to_be_bytes).ok();
    let (a, b) = (bits(first)?, bits(second)?);
    Some(Uuid([a[4], a[5], a[6], a[7], a[2], a[3], a[0], a[1], b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_identifier_is_put_together_as_guests_see_it() {
        let id = generation_id("-570734802784577186", "-5042519231342505152").unwrap();
        assert_eq!(id.to_string(), "8312995e-57b8-f814-4013-c1ba795f05ba");
        assert_eq!(generation_id("x", "1"), None);
        assert_eq!(generation_id("1", "9223372036854775808"), None);
    }
}
