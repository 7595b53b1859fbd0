"""Machines that lack or forbid something: what is chosen there, what the plan and `doctor` say, and whether a run is
either confined or refused with the cure. Runs in a virtual machine, as root.

    variants.py RINGFENCE PARSER [ONLY]

A variant is a change of the machine that is undone afterwards, a check a function below `@check`, which is called for
each user. PARSER is the program that loads profiles of AppArmor, ONLY a part of the names of checks.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from lab import LAB, LANDLOCK_ALONE, USERS, Lab, do, in_memory, landlock_abi
from report import count, result

MAX = Path("/proc/sys/user/max_user_namespaces")
UNPRIVILEGED = Path("/proc/sys/kernel/unprivileged_userns_clone")
CGROUPS, SHARED_MEMORY = Path("/sys/fs/cgroup"), Path("/dev/shm")

# All but capabilities, as Ubuntu's profile for whoever makes a user namespace without a profile of its own.
PROFILE = f"""
profile ringfence-under-test {LAB}/ringfence flags=(attach_disconnected) {{
  file, /** rwlkmix, network, unix, signal, ptrace, mount, umount, pivot_root,
}}
"""

CHECKS = []


def check(variant):
    def add(function):
        CHECKS.append((variant, function))
        return function

    return add


# --- variants


@contextlib.contextmanager
def as_it_is():
    yield


@contextlib.contextmanager
def setting(file, value):
    before = file.read_text()
    file.write_text(value)
    assert file.read_text().strip() == value
    try:
        yield
    finally:
        file.write_text(before)


def no_user_namespaces():
    return setting(MAX, "0")


def none_for_ordinary_users():
    return setting(UNPRIVILEGED, "0")


@contextlib.contextmanager
def namespaces_without_capabilities():
    """What AppArmor's restriction does: a user namespace can be made, and its maker has no capability in it."""
    parser = [sys.argv[2], "--skip-cache", "--quiet", "--config-file", "/dev/null"]
    subprocess.run([*parser, "--replace"], input=PROFILE, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*parser, "--remove"], input=PROFILE, text=True, check=True)


@contextlib.contextmanager
def apparmor_s_restriction():
    """The same where the setting tells. Debian's kernels lack it, so it is shown in a copy of the settings."""
    settings = Path("/proc/sys/kernel")
    with namespaces_without_capabilities():
        copy = LAB / "settings"
        copy.mkdir(exist_ok=True)
        for file in settings.iterdir():
            with contextlib.suppress(OSError):
                (copy / file.name).write_bytes(file.read_bytes())
        (copy / "apparmor_restrict_unprivileged_userns").write_text("1\n")
        do("mount", "--bind", copy, settings)
        try:
            yield
        finally:
            do("umount", settings)


@contextlib.contextmanager
def no_cgroups():
    do("umount", CGROUPS)
    try:
        yield
    finally:
        do("mount", "-t", "cgroup2", "cgroup2", CGROUPS)


@contextlib.contextmanager
def cgroups_of_version_1():
    with no_cgroups():
        do("mount", "-t", "tmpfs", "cgroups", CGROUPS)
        own = CGROUPS / "systemd"
        own.mkdir()
        do("mount", "-t", "cgroup", "-o", "none,name=systemd", "cgroup", own)
        try:
            yield
        finally:
            do("umount", own)
            do("umount", CGROUPS)


@contextlib.contextmanager
def no_shared_memory():
    do("umount", SHARED_MEMORY)
    SHARED_MEMORY.rmdir()
    try:
        yield
    finally:
        SHARED_MEMORY.mkdir()
        do("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", SHARED_MEMORY)


# --- what checks are made from


class Trial:
    """A command that tells that it ran, and tries to do what no sandbox lets it do."""

    def __init__(self, lab):
        self.lab, self.secret, self.beside = lab, lab.home / ".netrc", lab.home / "beside"
        self.secret.write_text("s3cret")
        os.chown(self.secret, lab.uid, lab.uid)
        self.script = f"echo ran; echo in >made; cat {self.secret}; echo x >{self.beside}"

    def outside(self):
        """The control: all of it works."""
        ran = self.lab.outside(["sh", "-c", self.script])
        ran.prints("ran", "s3cret")
        self.beside.unlink()
        (self.lab.work / "made").unlink()

    def confined(self, options=()):
        """It runs, may write in its workspace, and nothing else."""
        self.outside()
        ran = self.lab.inside([*options], ["sh", "-c", self.script])
        assert ran.out == "ran" and ran.code != 0, ran
        assert (self.lab.work / "made").read_text() == "in\n" and not self.beside.exists(), ran
        return ran

    def refused(self, words, options=()):
        """It does not run, and the plan says the same as the run."""
        self.outside()
        plan = self.lab.plan(options)
        ran = self.lab.inside([*options], ["sh", "-c", self.script])
        for said in (plan, ran):
            assert said.code == 125 and not said.out and all(word in said.err for word in words), f"{words}: {said}"
        assert "hint: " in ran.err and not (self.lab.work / "made").exists() and not self.beside.exists(), ran


class Machine(Lab):
    """A lab of the chosen engine."""

    def __init__(self, user):
        super().__init__(None, user)

    def plan(self, options=()):
        return self.outside([self.ringfence, "plan", *options, "--", "true"])

    def doctor(self):
        return self.outside([self.ringfence, "doctor", "--cd", str(self.work)])

    def is_enforced_by(self, engine, *passed_over, options=()):
        plan = self.plan(options)
        assert plan.code == 0 and re.search(rf"^ *enforced by {engine}", plan.out, re.M), plan
        assert all(re.search(words, plan.out) for words in passed_over), f"{passed_over}: {plan}"
        return plan

    def doctor_says(self, check, state, found="", cure="", works=True):
        said = self.doctor()
        line = rf"^{check} +{state} +.*{found}"
        assert re.search(line, said.out, re.M), f"{line}: {said}"
        assert cure in said.out and said.code == (0 if works else 1), said


ITSELF, BWRAP, ALONE = "ringfence itself", "bubblewrap", "Landlock and system calls alone"


# --- with nothing changed but whether there is Landlock


@check(as_it_is)
def a_run_is_confined_and_the_plan_says_whether_the_wall_stands(lab):
    plan = lab.is_enforced_by(ITSELF)
    Trial(lab).confined()
    assert ("no Landlock wall" in plan.out) == (landlock_abi() < LANDLOCK_ALONE), plan
    lab.doctor_says("sandbox", "ok")


@check(as_it_is)
def without_the_wall_what_rests_on_it_is_refused(lab):
    to_a_file = lab.outside(["sh", "-c", '"$@" > file', "sh", *lab.sandbox([]), "echo", "x"])
    modify = lab.inside(["--modify", "."], ["true"])
    alone = lab.inside(["--backend", "landlock"], ["true"])
    if landlock_abi() < LANDLOCK_ALONE:
        to_a_file.refused("standard output", "pipe it")
        modify.refused("Landlock", "hint: ")
        alone.refused(f"needs ABI {LANDLOCK_ALONE}", f"this kernel has {landlock_abi()}", "hint: ")
    else:
        for ran in (to_a_file, modify, alone):
            ran.prints()


@check(as_it_is)
def doctor_knows_the_landlock_of_this_kernel(lab):
    abi = landlock_abi()
    if abi == 0:
        lab.doctor_says("landlock", "degraded", "not among the security modules", "cure: boot with lsm=landlock,")
    elif abi < LANDLOCK_ALONE:
        lab.doctor_says("landlock", "degraded", f"ABI {abi}: too old for the wall", "cure: boot Linux ")
    else:
        lab.doctor_says("landlock", "ok", f"ABI {abi}")


# --- without user namespaces


@check(no_user_namespaces)
def without_user_namespaces_another_engine_or_an_error_with_each_attempt(lab):
    reason = r"/proc/sys/user/max_user_namespaces is 0"
    cure = "sudo sysctl -w user.max_user_namespaces=15000"
    without_namespaces(lab, reason, cure)


@check(none_for_ordinary_users)
def where_ordinary_users_may_make_none_root_still_can(lab):
    if lab.uid == 0:
        lab.is_enforced_by(ITSELF)
        Trial(lab).confined()
        return lab.doctor_says("sandbox", "ok")
    reason = r"/proc/sys/kernel/unprivileged_userns_clone is 0"
    without_namespaces(lab, reason, "sudo sysctl -w kernel.unprivileged_userns_clone=1")


@check(apparmor_s_restriction)
def under_apparmor_s_restriction_it_is_as_without_user_namespaces(lab):
    if lab.uid == 0:
        return
    reason = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns is 1"
    cure = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    without_namespaces(lab, reason, cure)
    lab.doctor_says("apparmor", "missing", "restricts user namespaces", f"cure: {cure}", works=alone_works())


@check(namespaces_without_capabilities)
def a_profile_that_takes_capabilities_is_an_error_of_the_step_that_makes_namespaces(lab):
    """No setting tells of it, so it is not looked for before it is met."""
    trial = Trial(lab)
    trial.outside()
    ran = lab.inside([], ["sh", "-c", trial.script])
    # Root's is stopped at a later step.
    ran.refused(*["create namespaces: Operation not permitted", "ringfence doctor"] if lab.uid else ["hint: "])
    assert not ran.out and not (lab.work / "made").exists() and not trial.beside.exists(), ran
    lab.doctor_says("sandbox", "missing", works=False)
    lab.doctor_says("apparmor", "ok", "profile ringfence-under-test", works=False)
    if alone_works():
        lab.engine = "landlock"
        trial.confined()


def alone_works():
    return landlock_abi() >= LANDLOCK_ALONE


def without_namespaces(lab, reason, cure):
    """Landlock alone where this kernel's is complete; a policy that it cannot keep, and an older kernel, get an error."""
    trial = Trial(lab)
    attempts = [f"native: {reason}", "bwrap: ", "landlock: "]
    complete = alone_works()
    if complete:
        lab.is_enforced_by(ALONE, f"not by native .*because {reason}", "not by bwrap .*because ")
        trial.confined()
    else:
        trial.refused([*attempts, f"needs ABI {LANDLOCK_ALONE}", f"this kernel has {landlock_abi()}", "ringfence doctor"])
    state = "degraded" if complete else "missing"
    lab.doctor_says("sandbox", state, "", f"cure: {cure}", works=complete)
    lab.doctor_says("user namespaces", "missing", "", f"cure: {cure}", works=complete)
    # Protected entries cannot be kept from being moved with the directory above them.
    git = lab.work / ".git"
    git.mkdir()
    os.chown(git, lab.uid, lab.uid)
    trial.refused(attempts)
    if landlock_abi():
        ran = trial.confined(["--landlock", "best-effort"])
        assert "best effort" in ran.err, ran
    else:
        trial.refused(attempts, ["--landlock", "best-effort"])
    for engine in ("native", "bwrap"):
        ran = lab.inside(["--backend", engine], ["echo", "ran"])
        ran.refused("hint: ")
        assert not ran.out, ran


# --- without control groups of version 2


@check(no_cgroups)
def without_control_groups_a_run_is_confined_and_doctor_tells(lab):
    lab.is_enforced_by(ITSELF)
    Trial(lab).confined()
    lab.doctor_says("cgroups", "degraded", "no control groups are mounted", "cure: sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup")


@check(cgroups_of_version_1)
def with_control_groups_of_version_1_a_run_is_confined_and_doctor_tells(lab):
    lab.is_enforced_by(ITSELF)
    Trial(lab).confined()
    lab.doctor_says("cgroups", "degraded", "the caller may make none", "cure: systemd-run --user --scope")


# --- without shared memory


SHARE = (
    "from multiprocessing.shared_memory import SharedMemory as Memory; made = Memory(create=True, size=9);"
    "made.buf[0] = 7; other = Memory(made.name); print(other.buf[0]); other.close(); made.close(); made.unlink()"
)


@check(no_shared_memory)
def without_shared_memory_a_run_is_confined_and_makes_nothing_on_the_host(lab):
    python = ["/usr/bin/python3", "-S", "-B", "-W", "ignore", "-c", SHARE]
    outside = lab.outside(python)
    assert outside.code == 1 and "FileNotFoundError" in outside.err, outside
    lab.is_enforced_by(ITSELF)
    Trial(lab).confined()
    # The sandbox has its own, where it has its own /dev.
    for engine in ("native", "bwrap"):
        lab.inside(["--backend", engine], python).prints("7")
    assert not SHARED_MEMORY.exists()
    if landlock_abi() >= LANDLOCK_ALONE:
        alone = lab.inside(["--backend", "landlock"], python)
        assert alone.code == 1 and "FileNotFoundError" in alone.err, alone


def main(ringfence, _parser, only=""):
    in_memory(ringfence)
    release = os.uname().release
    print(f"Linux {release}, Landlock ABI {landlock_abi()}", flush=True)
    results = []
    for variant, function in CHECKS:
        if re.search(only, function.__name__):
            with variant():
                results += [result(function, Machine(user), user) for user in USERS]
    assert results, f"no check has `{only}` in its name"
    count(results)


if __name__ == "__main__":
    main(*sys.argv[1:])
