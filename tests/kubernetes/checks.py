"""The pods of examples/kubernetes: valid, as restricted as they say, and fenced where they run. Called by `run`."""

import json
import os
import subprocess
import sys

import kubernetes_validate
import yaml

BASE = sys.argv[1]
EXAMPLES = "examples/kubernetes"
VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
passed = failed = 0


def check(name, got, want):
    global passed, failed
    if got == want:
        passed += 1
        print(f"ok: {name}")
    else:
        failed += 1
        print(f"FAILED: {name}\n  want: {want!r}\n  got:  {got!r}")


def contains(name, text, part):
    check(name, part if part in text else text, part)


def valid(manifest):
    """The versions that take it, with no word that they do not know."""
    taken = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
            taken.append(version)
        except kubernetes_validate.ValidationError as error:
            print(f"  {version}: {error.message}")
    return taken


def beyond_restricted(pod):
    """What the Pod Security Standard `restricted` does not allow, by its own list of fields."""
    spec, found = pod["spec"], []
    around = spec.get("securityContext", {})
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += ["hostPath" for volume in spec.get("volumes", []) if "hostPath" in volume]
    if around.get("appArmorProfile", {}).get("type", "RuntimeDefault") == "Unconfined":
        found.append("appArmorProfile")
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        merged = {**around, **own}
        if own.get("privileged"):
            found.append("privileged")
        if own.get("allowPrivilegeEscalation", True):
            found.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("add") or own.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append("capabilities")
        if own.get("procMount", "Default") != "Default":
            found.append("procMount")
        if not merged.get("runAsNonRoot") or merged.get("runAsUser") == 0:
            found.append("runAsNonRoot")
        if merged.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccompProfile")
    return sorted(found)


def default_filter():
    """Debian's default filter, without what containerd's gives only to CAP_SYS_ADMIN."""
    with open("/usr/share/containers/seccomp.json") as file:
        profile = json.load(file)
    administers = {
        "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount", "mount_setattr",
        "move_mount", "open_tree", "perf_event_open", "pivot_root", "setdomainname", "sethostname", "setns", "umount",
        "umount2", "unshare", "clone", "clone3",
    }
    namespaces = 0x7E020000
    calls = []
    for entry in profile["syscalls"]:
        wants = entry.get("includes") or {}
        if wants.get("caps") or ("arches" in wants and "amd64" not in wants["arches"]) or entry["action"] != "SCMP_ACT_ALLOW":
            continue
        names = [name for name in entry["names"] if name not in administers]
        calls.append({"names": names, "action": "SCMP_ACT_ALLOW", "args": entry.get("args") or []})
    without = [{"index": 0, "value": namespaces, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    calls.append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": without})
    # So that the C library takes clone.
    calls.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": calls}


MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def bundle(pod, name, command):
    """What a container runtime makes of the pod's only container, with this machine's programs as its image."""
    spec = pod["spec"]
    container = spec["containers"][0]
    context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
    place = f"{BASE}/{name}"
    root = f"{place}/rootfs"
    for directory in ["usr", "etc", "proc", "sys", "dev", "tmp", "run", "opt", "var/tmp", "root", "home"]:
        os.makedirs(f"{root}/{directory}")
    for link in ["bin", "lib", "lib64", "sbin"]:
        os.symlink(f"usr/{link}", f"{root}/{link}")
    os.symlink("../run", f"{root}/var/run")
    with open(f"{root}/etc/passwd", "w") as file:
        file.write("root:x:0:0::/root:/bin/sh\n")
    # Files of the image are root's; in a user namespace of the pod's, root there.
    first = 0 if spec.get("hostUsers", True) else 200000
    subprocess.run(["chown", "-hR", f"{first}:{first}", root], check=True)
    bind = lambda source, to, *options: {"destination": to, "type": "bind", "source": source,
                                         "options": ["rbind", "nosuid", *options]}
    token = f"{place}/token"
    with open(token, "w") as file:
        file.write("cluster-token")
    os.chmod(token, 0o644)
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
        {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "nosuid", "nodev", "ro"]},
        {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"]},
        bind("/usr", "/usr", "ro"),
        bind(f"{BASE}/ringfence", "/opt/ringfence", "ro"),
        bind(token, "/run/secrets/kubernetes.io/serviceaccount/token", "ro"),
    ]
    for mount in container["volumeMounts"]:
        volume = f"{place}/volume-{mount['name']}"
        os.makedirs(volume)
        # fsGroup.
        os.chown(volume, first, first + context["fsGroup"])
        os.chmod(volume, 0o2777)
        mounts.append(bind(volume, mount["mountPath"], "rw"))
        os.makedirs(root + mount["mountPath"], exist_ok=True)
    kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"] + ([] if first == 0 else ["user"])
    linux = {"namespaces": [{"type": kind} for kind in kinds]}
    if first:
        mapping = [{"containerID": 0, "hostID": first, "size": 65536}]
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    if context.get("procMount", "Default") == "Default":
        linux |= {"maskedPaths": MASKED, "readonlyPaths": READ_ONLY}
    if context["seccompProfile"]["type"] == "RuntimeDefault":
        linux["seccomp"] = default_filter()
    config = {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": context["readOnlyRootFilesystem"]},
        "mounts": mounts,
        "linux": linux,
        "process": {
            "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"]},
            "args": command,
            "cwd": "/",
            "env": ["PATH=/opt:/usr/local/bin:/usr/bin:/bin", "HOME=/"],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "noNewPrivileges": not context["allowPrivilegeEscalation"],
        },
    }
    with open(f"{place}/config.json", "w") as file:
        json.dump(config, file)
    return place


def ran(pod, name, command):
    """Code, and what was printed with errors."""
    place = bundle(pod, name, command)
    words = ["runc", "--root", f"{BASE}/state", "run", "--bundle", place, f"ringfence-{os.getpid()}-{name}"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def fences(pod, engine, kind):
    """The manifest's own command, and what its fence holds, next to the same without it."""
    container = pod["spec"]["containers"][0]
    check(f"{kind}: its command works", ran(pod, f"{kind}-own", container["command"] + container["args"]), (0, "hello\n"))
    plan = ["ringfence", "plan"] + container["command"][2:] + ["true"]
    contains(f"{kind}: the engine", ran(pod, f"{kind}-plan", plan)[1], f"enforced by {engine}")
    automatic = ["ringfence", "plan", "--cd", "/work", "--", "true"]
    contains(f"{kind}: found by itself", ran(pod, f"{kind}-auto", automatic)[1], f"enforced by {engine}")
    script = f"cat {TOKEN} 2>/dev/null; cat /dev/shm/x 2>/dev/null; (echo > /var/tmp/x) 2>/dev/null && echo written; " \
             "grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; " \
             "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((\"127.0.0.1\", 9)); print(\"network\")' 2>/dev/null; exit 7"
    inside = [*container["command"], "sh", "-c", script]
    status = "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    want = status if engine == "Landlock" else status + "network\n"
    check(f"{kind}: no token is read, nothing written elsewhere", ran(pod, f"{kind}-held", inside), (7, want))
    code, said = ran(pod, f"{kind}-bare", ["sh", "-c", script])
    check(f"{kind}: without the fence the token is read", (code, "cluster-token" in said, "network" in said), (7, True, True))


def main():
    manifests = {}
    for name in ["landlock", "native"]:
        with open(f"{EXAMPLES}/pod-{name}.yaml") as file:
            manifests[name] = yaml.safe_load(file)
        check(f"pod-{name} is valid", valid(manifests[name]), VERSIONS)
    landlock, native = manifests["landlock"], manifests["native"]
    check("a misspelt field is found", valid({**landlock, "spec": {**landlock["spec"], "hostUser": False}}), [])
    check("pod-landlock keeps to the standard `restricted`", beyond_restricted(landlock), [])
    check("pod-native asks for three things more", beyond_restricted(native),
          ["appArmorProfile", "procMount", "seccompProfile"])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    fences(landlock, "Landlock", "landlock")
    fences(native, "ringfence itself", "native")
    # What each of the three is for.
    native["spec"]["containers"][0]["securityContext"]["procMount"] = "Default"
    command = native["spec"]["containers"][0]["command"] + ["ls", "/proc"]
    contains("without procMount: Unmasked there is no /proc", ran(native, "masked", command)[1], "going without /proc")
    native["spec"]["securityContext"]["seccompProfile"] = {"type": "RuntimeDefault"}
    code, said = ran(native, "filtered", command)
    check("with the default filter there are no namespaces", (code, "hint" in said or "error" in said), (125, True))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
