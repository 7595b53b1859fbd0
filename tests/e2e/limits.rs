//! What a command may use: what GPU programs need room for, the caller's own limits, and those that a user sets.
//!
//! Who counts depends on the machine. The plan says who, and each test asks the kernel for the same.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::lab::{Lab, Need, Sandbox, until};

const NONE: [&str; 0] = [];

/// Every engine that this lab is about.
fn engines(lab: &Lab) -> Vec<Sandbox<'_>> {
    with(lab, &NONE)
}

/// The same, with options.
fn with<'a>(lab: &'a Lab, options: &[&str]) -> Vec<Sandbox<'a>> {
    let alone = lab.is_native().then(|| lab.sandbox(options).backend("landlock"));
    alone.into_iter().chain([lab.sandbox(options)]).collect()
}

/// What the plan says of limits; nothing where there can be none.
fn planned(lab: &Lab, backend: &str, options: &[&str]) -> String {
    let sandbox = lab.sandbox(NONE);
    let binary = sandbox.binary().to_owned();
    let mut words = vec![binary.to_str().unwrap(), "plan", "--backend", backend];
    words.extend(options);
    words.extend(["--", "true"]);
    let plan = sandbox.without().run(words).stdout();
    let lines = plan.lines().skip_while(|line| *line != "limits").skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(|line| format!("{line}\n")).collect()
}

/// The names of this lab's engines, in the order of [`engines`].
fn names(lab: &Lab) -> &'static [&'static str] {
    if lab.is_native() { &["landlock", "native"] } else { &["bwrap"] }
}

/// Everything that a process has started, by its numbers outside.
fn below(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = list.split_whitespace().map(|child| child.parse().unwrap());
    children.flat_map(|child| below(child).into_iter().chain([child])).collect()
}

/// Directories of control groups that something below a process is in.
fn groups_below(pid: i32) -> Vec<PathBuf> {
    let groups: std::collections::BTreeSet<_> = below(pid).into_iter().flat_map(groups_of).collect();
    groups.into_iter().collect()
}

/// Directories of control groups of ours that a process is in.
fn groups_of(pid: i32) -> Vec<PathBuf> {
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/').to_owned());
        let tops =
            ["/sys/fs/cgroup".to_owned(), format!("/sys/fs/cgroup/{controllers}"), "/sys/fs/cgroup/unified".to_owned()];
        tops.iter().map(|top| PathBuf::from(top).join(&path)).find(|group| group.join("cgroup.procs").exists())
    };
    membership.lines().filter_map(of).filter(|group| group.to_string_lossy().contains("/ringfence-")).collect()
}

fn read(group: &std::path::Path, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| fs::read_to_string(group.join(name)).ok()).map(|text| text.trim().to_owned())
}

/// Forks until it fails, tells how often it worked, and ends all of them.
const FORK: &str = r"
import os, signal, sys
children = []
try:
    for _ in range(int(sys.argv[1])):
        child = os.fork()
        if child == 0: signal.pause()
        children.append(child)
except BlockingIOError: pass
print(len(children))
for child in children: os.kill(child, signal.SIGKILL)
";

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

#[test]
fn processes_and_threads_are_counted_and_ours_are_not() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        let options = ["--pids", "12"];
        for (name, sandbox) in names(&lab).iter().zip(with(&lab, &options)) {
            if planned(&lab, name, &options).is_empty() {
                // Neither without namespaces, where all of the user's would count, nor for root, whom nothing counts.
                sandbox.run(["true"]).assert_error("the number of processes cannot be limited (--pids)");
                continue;
            }
            // The command itself is the first of them.
            sandbox.run(["python3", "-c", FORK, "40"]).assert_prints("11");
        }
        for sandbox in engines(&lab) {
            sandbox.run(["python3", "-c", FORK, "40"]).assert_prints("40");
        }
    }
}

#[test]
fn where_no_group_can_be_made_root_s_processes_are_counted_by_their_numbers() {
    // Nothing of the host's groups can be reached.
    let by = "exec unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"' sh \"$@\"";
    for lab in Lab::as_root(&[Need::Tool("python3"), Need::Tool("unshare")]).iter().filter(|lab| lab.is_native()) {
        let sandbox = || lab.sandbox(["--pids", "400"]).by(by);
        if is_old() {
            sandbox().run(["true"]).assert_error("before Linux 6.14 the kernel does not count root's processes");
            continue;
        }
        sandbox().run(["python3", "-c", FORK, "1000"]).assert_prints("399");
        // The control: as many as it wants.
        lab.sandbox(NONE).by(by).run(["python3", "-c", FORK, "1000"]).assert_prints("1000");
        lab.sandbox(["--pids", "20"]).by(by).run(["true"]).assert_error("no fewer than 301");
        lab.sandbox(["--pids", "400"]).backend("bwrap").by(by).run(["true"]).assert_error("of the native engine");
    }
}

#[test]
fn a_command_that_forks_without_end_stops_on_its_own() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        for (name, sandbox) in names(&lab).iter().zip(engines(&lab)) {
            let plan = planned(&lab, name, &NONE);
            let count = |text: &str| plan.split(text).nth(1)?.split(' ').next()?.parse::<u64>().ok();
            // As the kernel tells it inside.
            let told = sandbox.bash("ulimit -u; cat /proc/sys/kernel/pid_max").stdout();
            let (by_user, by_number) = told.split_once('\n').unwrap();
            match (count("  processes "), count("below number ")) {
                (Some(count), _) => assert_eq!(by_user, (count + 1).to_string(), "{name} for {}", lab.user),
                (_, Some(number)) => assert_eq!(by_number, number.to_string(), "{name} for {}", lab.user),
                (None, None) => assert!(!lab.is_native() || *name == "landlock" || is_old(), "{name}: {plan}"),
            }
        }
        for sandbox in with(&lab, &["--pids", "unlimited"]) {
            let outside = lab.outside("bash -c 'ulimit -u'; cat /proc/sys/kernel/pid_max").stdout();
            let inside = sandbox.bash("ulimit -u; cat /proc/sys/kernel/pid_max").stdout();
            let [inside, outside] = [&inside, &outside].map(|told| told.split_once('\n').unwrap());
            assert_eq!(inside.0, outside.0);
            assert!(inside.1.parse::<u64>().unwrap() >= outside.1.parse().unwrap(), "{inside:?} {outside:?}");
        }
    }
}

/// Whether this kernel has no numbers of processes for each PID namespace.
pub fn is_old() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) < (6, 14)
}

#[test]
fn what_the_caller_has_less_of_stays_less() {
    let by = "ulimit -u 1000; ulimit -f 100; exec \"$@\"";
    let options = ["--pids", "2000", "--file-size", "1G"];
    for lab in Lab::native(&[Need::Tool("bash")]) {
        let counts = planned(&lab, "native", &options).contains("RLIMIT_NPROC");
        let ran = lab.sandbox(options).by(by).bash("ulimit -u; ulimit -f");
        let usual = lab.sandbox(options).bash("ulimit -u").stdout();
        ran.assert_prints("1000\n100");
        assert!(!counts || usual == "2001", "the control: {usual}");
    }
}

#[test]
fn memory_is_counted_for_all_together_or_for_each() {
    let take = ["python3", "-c", "print(len(bytearray(200 << 20)) >> 20)"];
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        let options = ["--memory", "100M"];
        for (name, sandbox) in names(&lab).iter().zip(with(&lab, &options)) {
            let ran = sandbox.run(take);
            if planned(&lab, name, &options).contains("(control group in ") {
                ran.assert_code(137).assert_says("note: the limit of memory 100M was hit once (--memory)");
            } else {
                ran.assert_code(1).assert_says("MemoryError").assert_says("for each process by itself, to 100M");
            }
        }
        for sandbox in with(&lab, &["--memory", "400M"]) {
            sandbox.run(take).assert_prints("200");
        }
    }
}

#[test]
fn files_stay_as_small_and_as_few_as_they_are_to_be() {
    let options = ["--file-size", "1M", "--open-files", "20"];
    for lab in Lab::every_user(&[Need::Tool("bash")]) {
        for sandbox in with(&lab, &options) {
            let ran = sandbox.bash("ulimit -Sn; ulimit -Hn; ulimit -n 21; head -c 3M /dev/zero >large");
            ran.assert_code(153)
                .assert_says("cannot modify limit")
                .assert_says("the size of files was hit (--file-size)");
            assert_eq!(ran.stdout(), "20\n20");
            assert_eq!(fs::metadata(lab.path("work/large")).unwrap().len(), 1 << 20);
        }
        for sandbox in engines(&lab) {
            sandbox.bash("head -c 3M /dev/zero >large").assert_works();
            assert_eq!(fs::metadata(lab.path("work/large")).unwrap().len(), 3 << 20);
        }
        let by = "ulimit -Sn 30; ulimit -Hn 30; exec \"$@\"";
        for sandbox in with(&lab, &["--open-files", "31"]) {
            if !lab.user.is_root() {
                sandbox.by(by).run(["true"]).assert_error("limit open files").assert_says("ulimit -Hn");
            }
        }
    }
}

#[test]
fn what_is_made_in_memory_stays_as_small_as_it_is_to_be() {
    let fill = "for at in /tmp /dev/shm; do head -c 20M /dev/zero >$at/x; stat -c %s $at/x; rm $at/x; done";
    for lab in Lab::every_user(&[]) {
        let ran = lab.sandbox(["--tmp-size", "8M"]).sh(fill);
        ran.assert_works().assert_says("No space left on device");
        let sizes: Vec<u64> = ran.stdout().lines().map(|size| size.parse().unwrap()).collect();
        assert!(sizes.iter().all(|size| (7 << 20..=8 << 20).contains(size)) && sizes.len() == 2, "{sizes:?}");
        lab.sandbox(["--tmp-size", "40M"]).sh(fill).assert_prints("20971520\n20971520");
        if lab.is_native() {
            let ran = lab.sandbox(["--tmp-size", "8M"]).backend("landlock").run(["true"]);
            ran.assert_error("the size of /tmp cannot be limited (--tmp-size)");
        }
        lab.sandbox(["--tmp-size", "8M", "--tmp", "host"]).run(["true"]).assert_error("it is the host's");
    }
}

#[test]
fn a_control_group_holds_the_command_and_nobody_gets_out() {
    let options = ["--memory", "300M", "--pids", "50", "--cpus", "0.5"];
    let script = "echo ready; read go; for group in /sys/fs/cgroup /sys/fs/cgroup/*; do \
        echo $$ >$group/cgroup.procs && echo out; done; true";
    for lab in Lab::as_root(&[Need::ControlGroups]) {
        for sandbox in with(&lab, &options) {
            let (reader, writer) = std::io::pipe().unwrap();
            let running = sandbox.input(reader).start(["sh", "-c", script]);
            running.wait_for("ready");
            let groups = groups_below(running.pid());
            let has = |names: &[&str]| groups.iter().find_map(|group| read(group, names)).unwrap_or_default();
            assert_eq!(has(&["memory.max", "memory.limit_in_bytes"]), (300 << 20).to_string(), "{groups:?}");
            let ours = if lab.is_native() { 1 } else { 2 };
            assert_eq!(has(&["pids.max"]), (50 + ours).to_string());
            assert!(["50000", "50000 100000"].contains(&has(&["cpu.max", "cpu.cfs_quota_us"]).as_str()));
            assert!(groups_of(running.pid()).is_empty(), "the supervisor is not in it");
            drop(writer);
            let ran = running.finish();
            ran.assert_works();
            assert!(!ran.stdout().contains("out"), "{ran}");
            assert!(!groups.is_empty() && groups.iter().all(|group| !group.exists()), "removed: {groups:?}");
        }
        // The control: who may write there moves whom he likes.
        let running = lab.sandbox(NONE).without().waiting().start(["cat"]);
        let pid = running.pid().to_string();
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let top = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
            .into_iter()
            .find(|top| fs::metadata(format!("{top}/cgroup.procs")).is_ok());
        fs::write(format!("{}/cgroup.procs", top.unwrap()), &pid).unwrap();
        assert!(!own.is_empty());
        running.finish().assert_works();
    }
}

#[test]
fn a_killed_supervisor_leaves_no_control_group() {
    for lab in Lab::as_root(&[Need::ControlGroups]) {
        for sandbox in with(&lab, &["--memory", "300M", "--pids", "50"]) {
            let running = sandbox.waiting().start(["sh", "-c", "echo ready; cat"]);
            running.wait_for("ready");
            let groups = groups_below(running.pid());
            assert!(!groups.is_empty() && groups.iter().all(|group| group.exists()));
            running.signal(Signal::KILL);
            until("the groups are gone", || groups.iter().all(|group| !group.exists()));
            until("nobody is left", || lab.processes().is_empty());
            drop(running.finish());
        }
    }
}

#[test]
fn a_command_that_does_nothing_any_more_is_ended() {
    for lab in Lab::every_user(&[Need::Landlock(3)]) {
        for sandbox in with(&lab, &["--idle-timeout", "300ms"]) {
            let ran = sandbox.sh("trap 'echo bye; exit' TERM; sleep 100 & wait");
            ran.assert_code(124).assert_says("idle for 300ms (--idle-timeout)");
            assert_eq!(ran.stdout(), "bye", "it was told before");
        }
        // Nothing is idle that computes, be it a grandchild. A busy machine lets it wait.
        let busy = "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done) & wait";
        for sandbox in with(&lab, &["--idle-timeout", "3s"]) {
            sandbox.sh(busy).assert_prints("done");
        }
    }
}

#[test]
fn limits_that_are_none_are_refused() {
    for lab in Lab::every_user(&[]) {
        for option in [
            "--memory=lots",
            "--memory=0",
            "--memory=-1",
            "--pids=0",
            "--pids=1.5",
            "--cpus=0",
            "--cpus=two",
            "--open-files=x",
            "--file-size=1X",
            "--tmp-size=",
            "--idle-timeout=soon",
        ] {
            lab.sandbox([option]).run(["true"]).assert_code(2).assert_says(option.split('=').next().unwrap());
        }
        lab.sandbox(["--memory", "1M"]).run(["true"]).assert_error("(--memory): nothing starts in less than 8M");
        lab.sandbox(["--open-files", "2"]).run(["true"]).assert_error("the standard streams are three");
        for limit in [["--memory", "1G"], ["--pids", "500"], ["--cpus", "1"]] {
            let ran = lab.sandbox(["--cgroup", "/nonexistent"].iter().chain(&limit)).run(["true"]);
            ran.assert_error("`/nonexistent` (--cgroup) does not do").assert_says(limit[0]);
        }
        let config = lab.file("home/limits.toml", "memory = 'much'\n");
        lab.sandbox(["--config", &config]).run(["true"]).assert_error("limits.toml:1: `much` is no size");
        fs::write(&config, "memory = '1G'\npids = 500\ntimeout = '1h'\nopen_files = 64\n").unwrap();
        lab.sandbox(["--config", &config, "--memory", "unlimited", "--pids", "unlimited"])
            .sh("ulimit -n")
            .assert_prints("64");
    }
}

#[test]
fn a_control_group_that_a_power_cut_left_is_removed_by_the_doctor() {
    for lab in Lab::as_root(&[Need::ControlGroups]) {
        let running = lab.sandbox(["--pids", "50"]).waiting().start(["sh", "-c", "echo ready; cat"]);
        running.wait_for("ready");
        let groups = groups_below(running.pid());
        // No process has this number.
        let left = groups[0].with_file_name("ringfence-4194400");
        fs::create_dir(&left).unwrap();
        let doctor = |option: &[&str]| {
            let sandbox = lab.sandbox(NONE);
            let words = [sandbox.binary().to_str().unwrap().to_owned(), "doctor".to_owned()];
            let options = option.iter().map(|option| (*option).to_owned());
            sandbox.without().run(words.into_iter().chain(options)).stdout()
        };
        assert!(doctor(&[]).contains(left.to_str().unwrap()));
        assert!(left.exists(), "it only looks");
        doctor(&["--fix"]);
        assert!(!left.exists());
        assert!(groups[0].exists(), "that one is in use");
        running.finish().assert_works();
    }
}
