//! What GPU programs need room for: shared memory of half of the machine's, and the caller's own limits.

use crate::lab::{Lab, Need, Sandbox};

const NONE: [&str; 0] = [];

/// Every engine that this lab is about.
fn engines(lab: &Lab) -> Vec<Sandbox<'_>> {
    let alone = lab.is_native().then(|| lab.sandbox(NONE).backend("landlock"));
    alone.into_iter().chain([lab.sandbox(NONE)]).collect()
}

#[test]
fn shared_memory_may_fill_half_of_the_machine_s() {
    let script = r"
import os
memory = next(int(line.split()[1]) for line in open('/proc/meminfo') if line.startswith('MemTotal:')) * 1024
found = os.statvfs('/dev/shm')
assert found.f_frsize * found.f_blocks * 2 >= memory - (1 << 20), (found, memory)
# As NCCL does it, which dies where there is no room.
with open('/dev/shm/nccl-probe', 'wb') as file: os.posix_fallocate(file.fileno(), 0, 64 << 20)
print(os.path.getsize('/dev/shm/nccl-probe') >> 20)
";
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        lab.sandbox(NONE).python(script).assert_prints("64");
        lab.outside("test -e /dev/shm/nccl-probe").assert_code(1);
    }
}

#[test]
fn locked_memory_and_open_files_are_limited_as_the_caller_s() {
    let look = "ulimit -Sl; ulimit -Hl; ulimit -Sn; ulimit -Hn";
    for lab in Lab::every_user(&[Need::Landlock(3)]) {
        let outside = lab.outside(look).stdout();
        for sandbox in engines(&lab) {
            sandbox.sh(look).assert_prints(&outside);
        }
        // The control: what the caller takes away is gone inside.
        let lower = "ulimit -l 33; ulimit -Sn 300; ulimit -Hn 400; exec \"$@\"";
        for sandbox in engines(&lab) {
            sandbox.by(lower).sh(look).assert_prints("33\n33\n300\n400");
        }
    }
}
