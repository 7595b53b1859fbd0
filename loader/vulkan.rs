//! libvulkan: the physical devices.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut};

use crate::library::{Failure, Library, function};
use crate::say::{self, Clean};

/// An opaque handle.
type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*const InstanceInfo, *const c_void, *mut Handle) -> c_int;
type Enumerate = unsafe extern "C" fn(Handle, *mut u32, *mut Handle) -> c_int;
type Properties = unsafe extern "C" fn(Handle, *mut DeviceProperties);

/// `VkInstanceCreateInfo`.
#[repr(C)]
struct InstanceInfo {
    structure: u32,
    next: *const c_void,
    flags: u32,
    application: *const c_void,
    layers: u32,
    layer_names: *const *const c_char,
    extensions: u32,
    extension_names: *const *const c_char,
}

/// `VkPhysicalDeviceProperties`, which ends with some 500 bytes of limits; there is room for twice as many.
#[repr(C, align(8))]
struct DeviceProperties {
    /// Versions and ids.
    ids: [u32; 4],
    kind: u32,
    name: [u8; 256],
    rest: [u8; 1520],
}

/// `VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO`.
const INSTANCE_INFO: u32 = 1;
/// `VK_INCOMPLETE`: there are more devices than there was room for.
const INCOMPLETE: c_int = 5;

/// For each device `device NUMBER KIND - NAME`.
pub fn list(_: Option<&CStr>) -> Result<(), Failure> {
    let library = Library::open(c"libvulkan.so.1")?;
    let check = |function: &'static CStr, code: c_int| match code {
        0 | INCOMPLETE => Ok(()),
        _ => Err(Failure::Call { function, code, name: null() }),
    };
    let create = function!(library, c"vkCreateInstance", Create)?;
    let info = InstanceInfo {
        structure: INSTANCE_INFO,
        next: null(),
        flags: 0,
        application: null(),
        layers: 0,
        layer_names: null(),
        extensions: 0,
        extension_names: null(),
    };
    let mut instance = null_mut();
    // SAFETY: the structure is what its type says, and names no layer and no extension; a null allocator is allowed; the
    // handle is stored in a live local.
    check(c"vkCreateInstance", unsafe { create(&raw const info, null(), &raw mut instance) })?;
    let enumerate = function!(library, c"vkEnumeratePhysicalDevices", Enumerate)?;
    let properties = function!(library, c"vkGetPhysicalDeviceProperties", Properties)?;
    let (mut devices, mut count) = ([null_mut(); 64], 64);
    // SAFETY: the instance is the library's; it writes at most `count` handles, for which there is room.
    let code = unsafe { enumerate(instance, &raw mut count, devices.as_mut_ptr()) };
    check(c"vkEnumeratePhysicalDevices", code)?;
    let found = devices.get(..usize::try_from(count).unwrap_or(0)).unwrap_or(&devices);
    for (number, device) in found.iter().enumerate() {
        let mut found = DeviceProperties { ids: [0; 4], kind: 0, name: [0; 256], rest: [0; 1520] };
        // SAFETY: the device is the library's, and the buffer is larger than the structure that is written.
        unsafe { properties(*device, &raw mut found) };
        let kind = match found.kind {
            1..=3 => "gpu",
            4 => "cpu",
            _ => "other",
        };
        say::line(&[&"device", &number, &kind, &"-", &Clean::buffer(&found.name)]);
    }
    Ok(())
}
