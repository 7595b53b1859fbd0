//! libnvidia-ml: which instance of which GPU a MIG UUID names.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr::null_mut;

use crate::library::{Failure, Library, function};
use crate::say;

/// An opaque handle.
type Device = *mut c_void;
type Init = unsafe extern "C" fn() -> c_int;
type ByUuid = unsafe extern "C" fn(*const c_char, *mut Device) -> c_int;
type GetNumber = unsafe extern "C" fn(Device, *mut c_uint) -> c_int;
type Parent = unsafe extern "C" fn(Device, *mut Device) -> c_int;
type ErrorString = unsafe extern "C" fn(c_int) -> *const c_char;

/// `mig MINOR GPU-INSTANCE COMPUTE-INSTANCE`.
pub fn mig(uuid: Option<&CStr>) -> Result<(), Failure> {
    let uuid = uuid.ok_or(Failure::Usage)?;
    let library = Library::open(c"libnvidia-ml.so.1")?;
    let error_string = function!(library, c"nvmlErrorString", ErrorString).ok();
    let check = |function: &'static CStr, code: c_int| match code {
        0 => Ok(()),
        _ => {
            // SAFETY: it takes an integer and returns a constant string.
            let name = error_string.map_or(core::ptr::null(), |get| unsafe { get(code) });
            Err(Failure::Call { function, code, name })
        }
    };
    let init = function!(library, c"nvmlInit_v2", Init)?;
    // SAFETY: it takes nothing.
    check(c"nvmlInit_v2", unsafe { init() })?;
    let by_uuid = function!(library, c"nvmlDeviceGetHandleByUUID", ByUuid)?;
    let mut instance = null_mut();
    // SAFETY: the UUID is NUL-terminated and only read; the handle is stored in a live local.
    check(c"nvmlDeviceGetHandleByUUID", unsafe { by_uuid(uuid.as_ptr(), &raw mut instance) })?;
    let number = |function: &'static CStr, get: GetNumber, device: Device| {
        let mut number = 0;
        // SAFETY: the handle is one that the library gave, and it writes one unsigned int into a live local.
        check(function, unsafe { get(device, &raw mut number) }).map(|()| number)
    };
    let get = function!(library, c"nvmlDeviceGetGpuInstanceId", GetNumber)?;
    let gpu_instance = number(c"nvmlDeviceGetGpuInstanceId", get, instance)?;
    let get = function!(library, c"nvmlDeviceGetComputeInstanceId", GetNumber)?;
    let compute_instance = number(c"nvmlDeviceGetComputeInstanceId", get, instance)?;
    let parent = function!(library, c"nvmlDeviceGetDeviceHandleFromMigDeviceHandle", Parent)?;
    let mut gpu = null_mut();
    // SAFETY: the handle is one that the library gave; the other one is stored in a live local.
    let code = unsafe { parent(instance, &raw mut gpu) };
    check(c"nvmlDeviceGetDeviceHandleFromMigDeviceHandle", code)?;
    let get = function!(library, c"nvmlDeviceGetMinorNumber", GetNumber)?;
    let minor = number(c"nvmlDeviceGetMinorNumber", get, gpu)?;
    say::line(&[&"mig", &minor, &gpu_instance, &compute_instance]);
    Ok(())
}
