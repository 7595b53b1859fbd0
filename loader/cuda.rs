//! libcuda: whether it initialises, and what it sees.

use core::ffi::{CStr, c_char, c_int, c_uint};

use crate::library::{Failure, Library, function};
use crate::say::{self, Clean, Uuid};

type Init = unsafe extern "C" fn(c_uint) -> c_int;
type Get = unsafe extern "C" fn(*mut c_int) -> c_int;
type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
type GetUuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
type ErrorName = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;

/// `version NUMBER` and, for each device, `device ORDINAL gpu UUID NAME`.
pub fn list(_: Option<&CStr>) -> Result<(), Failure> {
    let library = Library::open(c"libcuda.so.1")?;
    let name = function!(library, c"cuGetErrorName", ErrorName).ok();
    let check = |function: &'static CStr, code: c_int| match code {
        0 => Ok(()),
        _ => Err(Failure::Call { function, code, name: error_name(name, code) }),
    };
    let get_version = function!(library, c"cuDriverGetVersion", Get)?;
    let mut version = 0;
    // SAFETY: it writes one int into a live local, before cuInit as well as after it.
    if unsafe { get_version(&raw mut version) } == 0 {
        say::line(&[&"version", &version]);
    }
    let init = function!(library, c"cuInit", Init)?;
    // SAFETY: it takes an integer, which must be 0.
    check(c"cuInit", unsafe { init(0) })?;
    let count_devices = function!(library, c"cuDeviceGetCount", Get)?;
    let mut count = 0;
    // SAFETY: it writes one int into a live local.
    check(c"cuDeviceGetCount", unsafe { count_devices(&raw mut count) })?;
    let get = function!(library, c"cuDeviceGet", DeviceGet)?;
    let get_name = function!(library, c"cuDeviceGetName", Name)?;
    // The second version tells an instance of a GPU from the whole GPU.
    let get_uuid = function!(library, c"cuDeviceGetUuid_v2", GetUuid)
        .or_else(|_| function!(library, c"cuDeviceGetUuid", GetUuid))?;
    for ordinal in 0..count {
        let mut device = 0;
        // SAFETY: it writes one int into a live local.
        check(c"cuDeviceGet", unsafe { get(&raw mut device, ordinal) })?;
        let mut name = [0_u8; 256];
        // SAFETY: it writes at most the 256 bytes that it is told of into a live buffer of that size.
        check(c"cuDeviceGetName", unsafe { get_name(name.as_mut_ptr().cast(), 256, device) })?;
        let mut uuid = [0_u8; 16];
        // SAFETY: a CUuuid is 16 bytes, written into a live local of that size.
        check(c"cuDeviceGetUuid", unsafe { get_uuid(&raw mut uuid, device) })?;
        say::line(&[&"device", &ordinal, &"gpu", &Uuid(uuid), &Clean::buffer(&name)]);
    }
    Ok(())
}

fn error_name(get: Option<ErrorName>, code: c_int) -> *const c_char {
    let mut name = core::ptr::null();
    if let Some(get) = get {
        // SAFETY: it stores a pointer to a constant string, or null, in a live local.
        let _unknown = unsafe { get(code, &raw mut name) };
    }
    name
}
