"""What is checked where there are control groups of version 2; runs in a virtual machine, as root.

    limits.py RINGFENCE [ONLY]

The machine has the controllers memory, pids and cpu, and each caller is in a group of its own: below groups that are
delegated to it, as systemd does with `Delegate=yes`, or not. A check is a function below `@check`, which is called for
each of these places and each user. ONLY is a part of the names of checks.
"""

import os
import re
import signal
import sys
from pathlib import Path

from lab import USERS, Lab, in_memory, until
from report import count, result

TOP = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "pids")
# What systemd gives away of a delegated group; its limits stay the manager's.
DELEGATED = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
ENGINES = ("native", "bwrap")
PLACES = ("delegated", "foreign")

CHECKS = []


def check(places=PLACES):
    def add(function):
        CHECKS.append((function, places))
        return function

    return add


class GroupLab(Lab):
    """A lab whose commands run in a group of their own: `own`, in `home`.

    `home` is the caller's where the place is `delegated`: groups can be made in it, next to `own`. Where it is `foreign`,
    only root can make any.
    """

    def __init__(self, user, place):
        super().__init__(None, user)
        self.place, self.home_group = place, TOP / f"user-{self.uid}" / place
        self.own = self.home_group / "caller"
        self.own.mkdir(parents=True, exist_ok=True)
        for group in (TOP, self.home_group.parent, self.home_group):
            (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
        if place == "delegated":
            for group in (self.home_group, self.own):
                for file in DELEGATED:
                    os.chown(group / file, self.uid, self.uid)

    def start(self, args):
        enter = ["/bin/sh", "-c", f'echo 0 >{self.own}/cgroup.procs && exec "$@"', "sh"]
        args, where = super().start(args)
        return [*enter, *args], where

    def script(self, text, **more):
        return self.outside(["/bin/sh", "-c", text], **more)

    def may_make_groups(self):
        return self.place == "delegated" or self.uid == 0

    def groups(self):
        """All that there are."""
        return {group for group, _, _ in os.walk(TOP)}

    def doctor(self):
        return self.outside([self.ringfence, "doctor", "--cd", str(self.work)])


# --- the lab itself: who may make groups, and that they limit something


# Makes a group, limits it, enters it, and does something.
WITHIN = """
import os, sys
group, file, value = sys.argv[1:]
if group:
    os.mkdir(group)
    open(f"{group}/{file}", "w").write(value)
    open(f"{group}/cgroup.procs", "w").write("0")
"""

FORKS = """
made = 0
for _ in range(8):
    try:
        if not os.fork():
            import time
            time.sleep(1)
            os._exit(0)
        made += 1
    except BlockingIOError:
        pass
print(made)
"""

FILL = """
print(len(bytearray(b"x" * (64 << 20))) >> 20)
"""


def within(lab, script, file="", value=""):
    """In a new group, which is removed; without a file in the caller's own."""
    group = lab.home_group / "made"
    ran = lab.outside(["/usr/bin/python3", "-S", "-B", "-c", WITHIN + script, group if file else "", file, value])
    if group.exists():
        until(lambda: not (group / "cgroup.procs").read_text(), "an empty group")
        group.rmdir()
    return ran


@check()
def groups_can_be_made_where_they_are_delegated_and_limit_processes(lab):
    within(lab, FORKS).prints("8")
    ran = within(lab, FORKS, "pids.max", "3")
    if lab.may_make_groups():
        ran.prints("2")
    else:
        assert ran.code == 1 and "PermissionError" in ran.err, ran


@check()
def groups_limit_memory(lab):
    within(lab, FILL).prints("64")
    ran = within(lab, FILL, "memory.max", "32M")
    if lab.may_make_groups():
        assert ran.code == -signal.SIGKILL, ran
    else:
        assert ran.code == 1 and "PermissionError" in ran.err, ran


# --- what is said about them


@check()
def doctor_tells_whose_the_groups_are(lab):
    said = lab.doctor()
    line = next(line for line in said.out.splitlines() if line.startswith("cgroups"))
    if lab.may_make_groups():
        assert line.split()[1] == "ok" and all(name in line for name in CONTROLLERS), said
    else:
        assert line.split()[1] == "degraded" and "Delegate=yes" in said.out, said


# --- what a command can do with them


@check()
def a_command_leaves_its_group_on_no_engine(lab):
    leave = f"echo 0 >{lab.home_group}/caller/cgroup.procs; mkdir {lab.home_group}/escaped; echo tried"
    outside = lab.script(leave)
    assert outside.out == "tried" and (outside.err == "") == lab.may_make_groups(), outside
    (lab.home_group / "escaped").rmdir() if lab.may_make_groups() else None
    before = lab.groups()
    for engine in ENGINES:
        lab.engine = engine
        # Its own group is the root of what it can see; a group that it names as the host does is out of reach.
        ran = lab.inside([], ["/bin/sh", "-c", leave])
        assert ran.out == "tried" and len(ran.err.splitlines()) >= 2, ran
        granted = lab.inside(["--read", str(TOP)], ["/bin/sh", "-c", leave])
        assert granted.out == "tried" and len(granted.err.splitlines()) >= 2, granted
    assert lab.groups() == before


@check()
def a_run_leaves_no_group_behind(lab):
    before = lab.groups()
    for engine in ENGINES:
        lab.engine = engine
        lab.inside([], ["echo", "works"]).prints("works")
    assert lab.groups() == before, lab.groups() ^ before


# --- limits of ringfence's


TAKE = ["/usr/bin/python3", "-S", "-c", "print(len(bytearray(200 << 20)) >> 20)"]
FORK = ["/usr/bin/python3", "-S", "-c", "import os" + FORKS]


@check()
def limits_are_kept_by_a_group_where_one_can_be_made_and_by_the_kernel_elsewhere(lab):
    before = lab.groups()
    for engine in ENGINES:
        lab.engine = engine
        ran = lab.inside(["--memory", "64M"], TAKE)
        if lab.may_make_groups():
            assert ran.code == 137 and "the limit of memory 64M was hit once (--memory)" in ran.err, ran
        else:
            assert ran.code == 1 and "MemoryError" in ran.err and "for each process by itself" in ran.err, ran
        lab.inside(["--memory", "400M"], TAKE).prints("200")
        ran = lab.inside(["--pids", "5"], FORK)
        assert ran.out == "4" and ("limit of processes 5 was hit" in ran.err) == lab.may_make_groups(), ran
        ran = lab.inside(["--cpus", "0.5"], ["echo", "works"])
        if lab.may_make_groups():
            ran.prints("works")
        else:
            assert ran.code == 125 and "only a control group can" in ran.err and "Delegate=yes" in ran.err, ran
    assert lab.groups() == before


@check()
def a_group_beside_the_caller_s_is_no_way_out_of_what_limits_that(lab):
    if not lab.may_make_groups():
        return
    (lab.own / "memory.max").write_text("96M")
    try:
        for engine in ENGINES:
            lab.engine = engine
            lab.inside(["--pids", "50"], ["echo", "works"]).prints("works")
            for options in [["--pids", "50"], ["--memory", "400M"]]:
                ran = lab.inside(options, TAKE)
                assert ran.code == 137 and "the limit of memory 96M was hit once" in ran.err, ran
    finally:
        (lab.own / "memory.max").write_text("max")
    lab.inside(["--pids", "50"], TAKE).prints("200")


@check(places=("delegated",))
def a_named_group_gets_its_controllers_switched_on(lab):
    named = lab.home_group / "named"
    named.mkdir()
    for file in DELEGATED:
        os.chown(named / file, lab.uid, lab.uid)
    options = ["--cgroup", str(named), "--memory", "64M", "--pids", "50", "--cpus", "1"]
    try:
        for engine in ENGINES:
            lab.engine = engine
            ran = lab.inside(options, TAKE)
            assert ran.code == 137 and "the limit of memory 64M was hit once" in ran.err, ran
        assert set((named / "cgroup.subtree_control").read_text().split()) == set(CONTROLLERS)
        assert [entry for entry in named.iterdir() if entry.is_dir()] == []
        # What is in use as a group of processes cannot hold groups.
        ran = lab.inside(["--cgroup", str(lab.own), "--memory", "64M"], TAKE)
        assert ran.code == 125 and "there are processes in that group" in ran.err, ran
    finally:
        named.rmdir()


def main(ringfence, only=""):
    in_memory(ringfence)
    missing = set(CONTROLLERS) - set((TOP / "cgroup.controllers").read_text().split())
    assert not missing, f"this kernel has no controllers {missing}"
    print(f"Linux {os.uname().release}, controllers {(TOP / 'cgroup.controllers').read_text().strip()}", flush=True)
    results = []
    for function, places in CHECKS:
        if re.search(only, function.__name__):
            for place in places:
                results += [result(function, GroupLab(user, place), f"{place}, {user}") for user in USERS]
    assert results, f"no check has `{only}` in its name"
    count(results)


if __name__ == "__main__":
    main(*sys.argv[1:])
