//! Who is to hear that a look at the machine goes on: it has loops whose length is the machine's.

use std::sync::OnceLock;

static LISTENER: OnceLock<fn(&str)> = OnceLock::new();

/// Lets a function hear of each step, from the thread that looks. The first one stays.
pub fn listen(hears: fn(&str)) {
    let _first = LISTENER.get_or_init(|| hears);
}

/// Says what is being done, at each step of a loop without a bound. Costs nothing where nobody listens.
pub(super) fn beat(what: &str) {
    if let Some(hears) = LISTENER.get() {
        hears(what);
    }
}
