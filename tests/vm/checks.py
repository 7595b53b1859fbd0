"""What is checked in a virtual machine; runs there, as root, and prints a line for each check and a count at the end.

    checks.py RINGFENCE FIXTURE [ONLY]

RINGFENCE is the program, FIXTURE a machine of tests/hosts with two GPUs, ONLY a part of the names of checks. A check
is a function below `@check`. It is called once for each engine and user, and fails by an exception.
"""

import errno
import json
import os
import re
import sys

from attacks import ATTACKS
from lab import CARD, CONTROL, GRANTED, HIDDEN, INHERITED, LAB, LANDLOCK_ALONE, LOG, RENDER_NODE, STAND_INS, USERS
from lab import Lab, Touched, holder, inherited, landlock_abi, prepare, script, show_gpus
from probe import VERSION
from report import count, result

ENGINES = ("native", "bwrap", "landlock")
# Kernels by the first two numbers of their release.
LANDLOCK_ABI = {"6.1": 2, "6.12": 6}
# The ABI from which on Landlock has the right for ioctl on devices.
IOCTL_DEV = 5

# How the checks ask for things.
ASK_RENDER_NODE = ["--gpu", "drm:" + os.path.basename(RENDER_NODE)]
ASK_NODES = ["--device", CONTROL, "--device", GRANTED]
# What covers a part of /proc keeps the kernel from giving a new one to a user namespace.
ASK_GPU = {"native": ["--no-proc", "--gpu", "0"], "bwrap": ["--no-proc", "--gpu", "0"], "landlock": ["--gpu", "0"]}
DENIED = {"native": "ENOENT", "bwrap": "ENOENT", "landlock": "EACCES"}

CHECKS = []


def check(engines=ENGINES, gpus=False):
    """A check on the bare machine, or on the one with the fixture's GPUs."""

    def add(function):
        CHECKS.append((function, engines, gpus))
        return function

    return add


# --- the kernel


@check(engines=(*ENGINES, None))
def a_plain_run_works(lab):
    lab.inside([], ["echo", "works"]).prints("works")
    assert lab.inside([], ["sh", "-c", "exit 3"]).code == 3


@check(engines=["landlock"])
def the_landlock_engine_wants_to_be_told_that_less_will_do(lab):
    touched = Touched()
    ran = lab.ask(["--landlock", "required", *ASK_NODES], f"touch:{GRANTED}")
    if landlock_abi() < LANDLOCK_ALONE:
        ran.refused(f"needs ABI {LANDLOCK_ALONE}", f"this kernel has {landlock_abi()}")
        assert not touched.anything()
    else:
        ran.prints(VERSION)
    lab.ask(["--landlock", "best-effort", *ASK_NODES], f"touch:{GRANTED}").prints(VERSION)


# What the engine says that it cannot keep, from which ABI on it can, and the proof.
LOSSES = [
    ("can be truncated", 3, "os.truncate(file, 0)"),
    ("ioctls of device nodes are not refused", IOCTL_DEV, "probe.version(os.open(node, os.O_RDWR))"),
    ("can be sent signals", 6, "os.kill(process, 0)"),
]


@check(engines=["landlock"])
def what_landlock_lacks_is_told_and_true(lab):
    node, file = make_node(lab), lab.home / "file"
    for words, abi, call in LOSSES:
        file.write_text("content")
        os.chown(file, lab.uid, lab.uid)
        with holder(lab, []) as aim:
            given = f"node, file, process = {str(node)!r}, {str(file)!r}, {aim['holder']}"
            command = python(f"{given}; print(probe.answer(lambda: {call} and None))")
            lab.outside(command).prints("None")
            ran = lab.inside(["--landlock", "best-effort"], command)
            ran.prints("None" if landlock_abi() < abi else "EPERM" if "kill" in call else "EACCES")
            assert (words in ran.err) == (landlock_abi() < abi), ran


@check(engines=[None])
def plan_and_doctor_know_the_landlock_of_this_kernel(lab):
    old = landlock_abi() < LANDLOCK_ALONE
    doctor = lab.outside([lab.ringfence, "doctor"])
    line = re.search(rf"^landlock +(\w+) +ABI {landlock_abi()}\b", doctor.out, re.M)
    assert doctor.code == 0 and line and line[1] == ("degraded" if old else "ok"), doctor
    plan = lab.outside([lab.ringfence, "plan", "--", "true"])
    assert plan.code == 0 and ("no Landlock wall" in plan.out) == old, plan


@check(engines=[None])
def a_file_as_standard_output_needs_the_landlock_wall(lab):
    to = lambda where: lab.outside(["sh", "-c", f'"$@" {where}', "sh", *lab.sandbox([]), "echo", "x"])
    to("| cat").prints("x")
    if landlock_abi() < LANDLOCK_ALONE:
        to("> file").refused("standard output")
    else:
        to("> file; cat file").prints("x")


# --- render nodes of a real driver


@check()
def a_granted_render_node_answers(lab):
    lab.ask_outside(f"drm:{RENDER_NODE}", f"open:{CARD}").prints("vgem", "ok")
    lab.ask(ASK_RENDER_NODE, f"drm:{RENDER_NODE}", f"open:{CARD}").prints("vgem", DENIED[lab.engine])


@check()
def a_render_node_that_was_not_granted_is_absent(lab):
    for options in ([], ASK_NODES):
        lab.ask(options, f"drm:{RENDER_NODE}", f"open:{CARD}").prints(*[DENIED[lab.engine]] * 2)


# --- stand-ins, granted by path


@check()
def a_granted_stand_in_answers_ioctls(lab):
    touched = Touched()
    questions = [f"touch:{CONTROL}:inside", f"touch:{GRANTED}:inside"]
    lab.ask(ASK_NODES, *questions).prints(VERSION, VERSION)
    assert all(("write", lab.uid, "inside") in touched.lines(node) for node in (CONTROL, GRANTED)), LOG.read_text()
    touched = Touched()
    lab.ask([], *questions).prints(*[DENIED[lab.engine]] * 2)
    assert not touched.anything()


@check()
def attacks_do_not_reach_a_stand_in_beside_granted_ones(lab):
    assert_unreachable(lab, ASK_NODES)


@check()
def a_stand_in_as_standard_input_is_refused(lab):
    for node in (HIDDEN, GRANTED):
        with open(node, "rb+", buffering=0) as stream:
            touched = Touched()
            ran = lab.inside(ASK_NODES, ["cat"], stdin=stream)
        if node == GRANTED:
            ran.prints()
            assert ("read", lab.uid, "") in touched.lines(node), LOG.read_text()
        else:
            ran.refused("standard input")
            assert not touched.lines(node)


@check()
def a_descriptor_is_left_open_only_if_asked_for(lab):
    command = python(f"print(probe.answer(lambda: probe.version({INHERITED})))")
    with inherited(HIDDEN) as fd:
        touched = Touched()
        lab.inside(ASK_NODES, command, pass_fds=[fd]).prints("EBADF")
        assert not touched.anything()
        lab.inside([*ASK_NODES, "--pass-fd", str(fd)], command, pass_fds=[fd]).prints(VERSION)


@check()
def a_node_outside_dev_answers_no_ioctl(lab):
    node = make_node(lab)
    questions = [f"open:{node}", f"touch:{node}"]
    lab.ask_outside(*questions).prints("ok", VERSION)
    touched = Touched()
    ran = lab.ask(ASK_NODES, *questions)
    if lab.engine == "landlock":
        # It knows no right for nodes as such: what lies where files may be opened can be opened (SECURITY.md).
        ran.prints("ok", "EACCES" if landlock_abi() >= IOCTL_DEV else VERSION)
    else:
        ran.prints("EACCES", "EACCES")
        assert not touched.anything()


# --- GPUs that are looked for


@check(engines=[None], gpus=True)
def plan_and_doctor_open_no_node(lab):
    touched = Touched()
    plan = lab.outside([lab.ringfence, "plan", "--gpu", "0", "--", "true"])
    nodes = set(re.findall(r"/dev/nvidia[\w-]*", plan.out))
    assert plan.code == 0 and nodes >= set(STAND_INS) - {HIDDEN} and HIDDEN not in nodes, plan
    doctor = lab.outside([lab.ringfence, "doctor"])
    assert VERSION in doctor.out and re.search(r"^gpu nodes +ok", doctor.out, re.M), doctor
    assert not touched.anything()
    lab.ask_outside(f"touch:{GRANTED}").prints(VERSION)
    assert touched.anything()


@check(gpus=True)
def a_chosen_gpu_answers_and_the_other_is_absent(lab):
    nodes = [node for node in STAND_INS if node != HIDDEN]
    questions = [*[f"touch:{node}" for node in nodes], f"touch:{HIDDEN}", f"open:{RENDER_NODE}"]
    lab.ask(ASK_GPU[lab.engine], *questions).prints(*[VERSION] * len(nodes), *[DENIED[lab.engine]] * 2)
    lab.ask([*ASK_GPU[lab.engine], "--device", HIDDEN], f"touch:{HIDDEN}").prints(VERSION)


@check(gpus=True)
def attacks_do_not_reach_a_gpu_that_was_not_chosen(lab):
    assert_unreachable(lab, ASK_GPU[lab.engine])


@check(engines=["native", "bwrap"], gpus=True)
def a_covered_proc_is_an_error(lab):
    lab.inside(["--gpu", "0"], ["true"]).refused("/proc")
    lab.inside(ASK_GPU[lab.engine], ["true"]).prints()


# --- what checks are made from


def make_node(lab):
    """A second node of the hidden device, in the workspace, for everybody."""
    node = lab.work / "node"
    os.mknod(node, 0o020000, os.makedev(*STAND_INS[HIDDEN]))
    os.chmod(node, 0o666)
    return node


def python(code):
    return ["/usr/bin/python3", "-S", "-B", "-c", f"import os, sys; sys.path[0] = '{LAB}'; import probe; {code}"]


def assert_unreachable(lab, options):
    """All attacks fail inside, and outside each one works for whom it can."""
    with holder(lab, options) as aim, inherited(HIDDEN) as fd:
        touched = Touched()
        ran = lab.inside(options, script("attacks.py", "attack", json.dumps(aim)), pass_fds=[fd])
        ends = dict(line.split(" ", 1) for line in ran.out.splitlines())
        assert ran.code == 0 and list(ends) == [name for name, *_ in ATTACKS], ran
        assert set(ends.values()) <= set(errno.errorcode.values()) and ends["path"] == DENIED[lab.engine], ran
        assert not touched.lines(HIDDEN), f"{touched.lines(HIDDEN)}\n{ran}"
        lab.ask(options, f"touch:{GRANTED}:control").prints(VERSION)
        assert touched.words(GRANTED) == {"control"}, LOG.read_text()

        touched = Touched()
        aim["outside"] = True
        ran = lab.outside(script("attacks.py", "attack", json.dumps(aim)), pass_fds=[fd])
        able = {name for name, _, who in ATTACKS if lab.user in who}
        assert touched.words(HIDDEN) == able, f"{able ^ touched.words(HIDDEN)}\n{ran}"


def this_kernel():
    """Tells about it; whether it is what it is taken for."""
    release, abi = os.uname().release, landlock_abi()
    print(f"Linux {release}, Landlock ABI {abi}", flush=True)
    wanted = LANDLOCK_ABI.get(".".join(re.split(r"[.+-]", release)[:2]))
    if wanted not in (None, abi):
        print(f"FAILED this kernel should have Landlock ABI {wanted}")
    return wanted in (None, abi)


def main(ringfence, fixture, only=""):
    prepare(ringfence, fixture)
    results = [this_kernel()]
    for covered in (False, True):
        if covered:
            show_gpus()
        for function, engines, gpus in CHECKS:
            wanted = gpus == covered and re.search(only, function.__name__)
            for engine in engines if wanted else ():
                results += [result(function, Lab(engine, user), f"{engine or 'chosen'}, {user}") for user in USERS]
    assert len(results) > 1, f"no check has `{only}` in its name"
    count(results)


if __name__ == "__main__":
    main(*sys.argv[1:])
