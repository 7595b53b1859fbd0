//! What the driver tells of GPUs that are not granted: hidden where the user says so, and what that costs.

use std::path::PathBuf;

use expect_test::{Expect, expect};
use ringfence::host::gpu::CallerIds;
use ringfence::host::gpu::driver_files::DriverFiles;
use ringfence::host::{self, Caller};
use ringfence::plan::{self, show};
use ringfence::request::Mode;

use crate::{lab, machine, policy};

fn check(toml: &str, gpus: &str, want: Expect) {
    let machine = machine();
    std::fs::create_dir_all(machine.path().join("proc/driver/nvidia")).unwrap();
    let policy = policy(toml);
    assert_eq!(policy.mode, Mode::WorkspaceWrite);
    let mut facts = host::probe(machine.path(), &policy, Vec::new()).unwrap();
    let ids = CallerIds { uid: 1000, gid: 1000, groups: vec![44] };
    facts.caller = Caller { ids, homes: vec![PathBuf::from("/home/you")], ..Caller::default() };
    facts.landlock_abi = 7;
    facts.sockets.clear();
    facts.gpus = lab::Host::named(gpus).gpus();
    let params = "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\n".to_owned();
    facts.driver_files = DriverFiles { params: Some(params), profiles: None };
    let text = match plan::build(&policy, &facts) {
        Ok(plan) => show::text(&plan),
        Err(errors) => errors.iter().map(|error| format!("error: {error}\nhint: {:?}\n", error.hint())).collect(),
    };
    let about = |line: &&str| {
        let words = ["/proc/driver", "procfs", "GPU to hide", "error", "hint", "attempt"];
        words.iter().any(|word| line.contains(word)) && !line.contains("baseline:")
    };
    let lines: String = text.lines().filter(about).map(|line| line.trim().to_owned() + "\n").collect();
    want.assert_eq(&lines.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
}

#[test]
fn the_directories_of_others_are_hidden_and_the_price_is_told() {
    let hide = "gpu_hide_others = true\n";
    check(
        &format!("gpu = 0\n{hide}"),
        "two-gpus",
        expect![[r#"
        content of 50 bytes /proc/driver/nvidia/params because agent.toml:2
        hidden /proc/driver/nvidia/gpus/0000:ca:00.0 because agent.toml:2
        note: with mounts inside /proc, no sandbox in this one (Chromium, bubblewrap, podman) can have a procfs of its own (agent.toml:2)
    "#]],
    );
    check(
        &format!("gpu = \"all\"\n{hide}"),
        "two-gpus",
        expect![[r#"
        note: there is no other GPU to hide (agent.toml:2)
    "#]],
    );
    check(
        &format!("gpu = 0\n{hide}deny = [\"/proc/driver/nvidia\"]\n"),
        "two-gpus",
        expect![[r#"
            hidden /proc/driver/nvidia because agent.toml:3
            note: with mounts inside /proc, no sandbox in this one (Chromium, bubblewrap, podman) can have a procfs of its own (agent.toml:2)
        "#]],
    );
    check("gpu = 0\n", "two-gpus", expect![[r#""#]]);
    check("gpu = 0\ngpu_hide_others = false\n", "two-gpus", expect![[r#""#]]);
}

#[test]
fn landlock_alone_refuses_and_says_the_cure() {
    check(
        "gpu = 0\ngpu_hide_others = true\nbackend = \"landlock\"\n",
        "two-gpus",
        expect![[r#"
            error: no backend can enforce this policy here
            landlock: it cannot show other content in /proc/driver/nvidia/params (agent.toml:2)
            hint: Some("only mounts can: choose another --backend, where there is one, or leave out what asks for it, as --gpu-hide-others")
        "#]],
    );
}
