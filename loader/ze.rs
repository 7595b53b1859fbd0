//! libze_loader: the devices that Level Zero sees.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;

use crate::library::{Failure, Library, function};
use crate::say::{self, Clean, Uuid};

/// An opaque handle.
type Handle = *mut c_void;
type Init = unsafe extern "C" fn(u32) -> c_int;
type Drivers = unsafe extern "C" fn(*mut u32, *mut Handle) -> c_int;
type Devices = unsafe extern "C" fn(Handle, *mut u32, *mut Handle) -> c_int;
type Properties = unsafe extern "C" fn(Handle, *mut DeviceProperties) -> c_int;

/// `ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES`.
const DEVICE_PROPERTIES: u32 = 3;

/// `ze_device_properties_t`.
#[repr(C)]
struct DeviceProperties {
    structure: u32,
    next: *mut c_void,
    kind: u32,
    /// Vendor, device, flags, sub-device and clock.
    ids: [u32; 5],
    largest_allocation: u64,
    /// Numbers of contexts, priorities, threads, units and slices.
    numbers: [u32; 7],
    timer: u64,
    timestamp_bits: [u32; 2],
    uuid: [u8; 16],
    name: [u8; 256],
}

/// More drivers, or devices of one, are not told of.
const MOST: usize = 64;

/// For each device `device NUMBER KIND UUID NAME`.
pub fn list(_: Option<&CStr>) -> Result<(), Failure> {
    let library = Library::open(c"libze_loader.so.1")?;
    let check = |function: &'static CStr, code: c_int| match code {
        0 => Ok(()),
        _ => Err(Failure::Call { function, code, name: core::ptr::null() }),
    };
    let init = function!(library, c"zeInit", Init)?;
    // SAFETY: it takes an integer.
    check(c"zeInit", unsafe { init(0) })?;
    let get_drivers = function!(library, c"zeDriverGet", Drivers)?;
    let get_devices = function!(library, c"zeDeviceGet", Devices)?;
    let properties = function!(library, c"zeDeviceGetProperties", Properties)?;
    let (mut drivers, mut count) = ([null_mut(); MOST], 64);
    // SAFETY: it writes at most `count` handles, for which there is room, and their number.
    check(c"zeDriverGet", unsafe { get_drivers(&raw mut count, drivers.as_mut_ptr()) })?;
    let mut number = 0_u32;
    for driver in first(&drivers, count) {
        let (mut devices, mut count) = ([null_mut(); MOST], 64);
        // SAFETY: the driver's handle is the library's; the rest is as above.
        check(c"zeDeviceGet", unsafe { get_devices(*driver, &raw mut count, devices.as_mut_ptr()) })?;
        for device in first(&devices, count) {
            let mut found = DeviceProperties {
                structure: DEVICE_PROPERTIES,
                next: null_mut(),
                kind: 0,
                ids: [0; 5],
                largest_allocation: 0,
                numbers: [0; 7],
                timer: 0,
                timestamp_bits: [0; 2],
                uuid: [0; 16],
                name: [0; 256],
            };
            // SAFETY: the device's handle is the library's, and the structure is the one that its type says.
            check(c"zeDeviceGetProperties", unsafe { properties(*device, &raw mut found) })?;
            let kind = if found.kind == 1 { "gpu" } else { "other" };
            say::line(&[&"device", &number, &kind, &Uuid(found.uuid), &Clean::buffer(&found.name)]);
            number += 1;
        }
    }
    Ok(())
}

fn first(handles: &[Handle], count: u32) -> &[Handle] {
    handles.get(..usize::try_from(count).unwrap_or(0)).unwrap_or(handles)
}
