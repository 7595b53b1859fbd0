//! libhsa-runtime64: the agents that ROCm sees.

use core::ffi::{CStr, c_char, c_int, c_void};

use crate::library::{Failure, Library, function};
use crate::say::{self, Clean};

/// `hsa_agent_t`: one 64-bit word, passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
struct Agent {
    handle: u64,
}

type Init = unsafe extern "C" fn() -> c_int;
type Callback = unsafe extern "C" fn(Agent, *mut c_void) -> c_int;
type Iterate = unsafe extern "C" fn(Callback, *mut c_void) -> c_int;
type GetInfo = unsafe extern "C" fn(Agent, c_int, *mut c_void) -> c_int;
type StatusString = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;

/// `HSA_AGENT_INFO_NAME`: at most 64 bytes.
const NAME: c_int = 0;
/// `HSA_AGENT_INFO_DEVICE`: what kind of device it is.
const DEVICE: c_int = 17;
/// `HSA_AMD_AGENT_INFO_PRODUCT_NAME`: at most 64 bytes.
const PRODUCT: c_int = 0xa009;

/// What the callback gets.
struct Seen {
    get_info: GetInfo,
    count: u32,
}

/// For each agent `device NUMBER KIND - NAME`.
pub fn list(_: Option<&CStr>) -> Result<(), Failure> {
    let library = Library::open(c"libhsa-runtime64.so.1")?;
    let status = function!(library, c"hsa_status_string", StatusString).ok();
    let check = |function: &'static CStr, code: c_int| match code {
        0 => Ok(()),
        _ => Err(Failure::Call { function, code, name: status_string(status, code) }),
    };
    let init = function!(library, c"hsa_init", Init)?;
    // SAFETY: it takes nothing.
    check(c"hsa_init", unsafe { init() })?;
    let iterate = function!(library, c"hsa_iterate_agents", Iterate)?;
    let mut seen = Seen { get_info: function!(library, c"hsa_agent_get_info", GetInfo)?, count: 0 };
    // SAFETY: the callback has the type that the library asks for; `seen` outlives the call, which calls it on this
    // thread and hands the pointer on to it.
    check(c"hsa_iterate_agents", unsafe { iterate(tell, (&raw mut seen).cast()) })
}

unsafe extern "C" fn tell(agent: Agent, data: *mut c_void) -> c_int {
    // SAFETY: it is the pointer to the live `Seen` of `list`, which nobody else uses meanwhile.
    let seen = unsafe { &mut *data.cast::<Seen>() };
    let mut kind: c_int = -1;
    // SAFETY: the agent is the library's, and this attribute is written as one int, into a live local.
    unsafe { (seen.get_info)(agent, DEVICE, (&raw mut kind).cast()) };
    let mut name = [0_u8; 256];
    // SAFETY: as above; the attribute is at most 64 bytes, and the buffer has 256.
    let code = unsafe { (seen.get_info)(agent, PRODUCT, name.as_mut_ptr().cast()) };
    if code != 0 || name[0] == 0 {
        // SAFETY: as above.
        unsafe { (seen.get_info)(agent, NAME, name.as_mut_ptr().cast()) };
    }
    let kind = match kind {
        0 => "cpu",
        1 => "gpu",
        _ => "other",
    };
    say::line(&[&"device", &seen.count, &kind, &"-", &Clean::buffer(&name)]);
    seen.count += 1;
    0
}

fn status_string(get: Option<StatusString>, code: c_int) -> *const c_char {
    let mut name = core::ptr::null();
    if let Some(get) = get {
        // SAFETY: it stores a pointer to a constant string in a live local, or leaves it alone.
        let _unknown = unsafe { get(code, &raw mut name) };
    }
    name
}
