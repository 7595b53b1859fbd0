"""Tasks on a cluster of three nodes: unfenced, in fenced workers, and as fenced functions. Called by `run`."""

import errno
import functools
import os
import statistics
import sys
import time

import ray
from ray.cluster_utils import Cluster

print = functools.partial(print, flush=True)
BIN = sys.argv[1]
SECRET = os.path.expanduser("~/.ssh/ringfence-ray-secret")
passed = failed = 0


def check(name, got, want):
    global passed, failed
    if got == want:
        passed += 1
        print(f"ok: {name}")
    else:
        failed += 1
        print(f"FAILED: {name}\n  want: {want!r}\n  got:  {got!r}")


def square(number):
    return number * number


def what_a_task_reaches(secret, elsewhere):
    """Whether it reads a secret and writes elsewhere, and which stand-in GPUs answer: ENXIO is the driver that is missing."""
    import errno
    import os
    import socket

    def tried(action):
        try:
            return action() or "yes"
        except OSError as error:
            return errno.errorcode[error.errno]

    def opened(path, flags):
        os.close(os.open(path, flags))

    store = os.environ.get("RAY_RAYLET_PID") and ray_is_near(socket)
    reached = [n for n in range(3) if tried(lambda: opened(f"/dev/nvidia{n}", os.O_RDWR)) == "ENXIO"]
    return {
        "secret": tried(lambda: open(secret).read()),
        "elsewhere": tried(lambda: opened(elsewhere, os.O_WRONLY | os.O_CREAT)),
        "gpus": reached,
        "network": store,
    }


def ray_is_near(socket):
    """Whether the node's own address answers on any port: the global control store's is told in the worker's words."""
    import os

    port = int(os.environ.get("GCS_PORT", "0"))
    try:
        socket.create_connection(("192.0.2.1", port), timeout=2).close()
        return True
    except OSError:
        return False


def cluster():
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "num_gpus": 2, "include_dashboard": False, "object_store_memory": 80 << 20,
                        "node_ip_address": "192.0.2.1"},
    )
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=80 << 20, node_ip_address="192.0.2.1")
    made.wait_for_nodes()
    return made


def hundred(task):
    began = time.perf_counter()
    answers = ray.get([task.remote(number) for number in range(100)], timeout=120)
    return time.perf_counter() - began, answers


def cost(bare, fenced, what):
    """How many times as long they take. Blocks in turns, so that what else the machine does meets both. The first rounds of a block are left
    out: Ray has ended idle workers of the other sort's runtime environment, and starts them anew.
    """
    blocks = int(os.environ.get("RAY_BLOCKS", "3"))
    times = {bare: [], fenced: []}
    for _ in range(blocks):
        for task in times:
            hundred(task), hundred(task), time.sleep(1), hundred(task)
            times[task] += [hundred(task)[0] for _ in range(7)]
    ratios = {}
    for how, of in [("medians", statistics.median), ("least", min)]:
        one, other = of(times[bare]), of(times[fenced])
        ratios[how] = other / one
        print(f"cost of {what}, {how} of {len(times[bare])} rounds: 100 tasks take {other * 1000:.0f} ms fenced, "
              f"{one * 1000:.0f} ms bare, ratio {other / one:.3f}")
    return ratios["medians"]


def worked(number):
    import time

    until = time.process_time() + 0.005
    while time.process_time() < until:
        pass
    return number * number


def main():
    os.makedirs(os.path.dirname(SECRET), mode=0o700, exist_ok=True)
    with open(SECRET, "w") as file:
        file.write("42")
    try:
        checks()
    finally:
        os.remove(SECRET)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


def checks():
    sys.path.insert(0, BIN)
    from ringfence_ray import Fenced, fenced

    made = cluster()
    port = made.address.split(":")[1]
    worker = {"py_executable": f"{BIN}/fenced-worker {sys.executable}"}
    variables = {"GCS_PORT": port, "PYTHONPATH": BIN, "PATH": os.environ["PATH"]}
    ray.init(address=made.address, runtime_env={"env_vars": variables})
    elsewhere = os.path.abspath("elsewhere")
    all_gpus = [0, 1, 2]

    bare = ray.remote(square)
    in_worker = ray.remote(square).options(runtime_env={**worker, "env_vars": variables})
    for name, task in [("bare", bare), ("in fenced workers", in_worker)]:
        check(f"100 tasks {name} return", hundred(task)[1], [number * number for number in range(100)])

    # The control: what a bare task reaches.
    probe = ray.remote(what_a_task_reaches)
    args = (SECRET, elsewhere)
    check("a bare task reaches everything", ray.get(probe.remote(*args)),
          {"secret": "42", "elsewhere": "yes", "gpus": all_gpus, "network": True})
    told = ray.get(probe.options(runtime_env={**worker, "env_vars": variables}).remote(*args))
    check("in a fenced worker it reads no secret, writes nowhere, reaches no GPU, but Ray",
          told, {"secret": "EACCES", "elsewhere": "EACCES", "gpus": [], "network": True})

    # Objects through the store, in and out, and an actor.
    @ray.remote
    def length(data):
        return data, len(data)

    data = ray.put(b"x" * (20 << 20))
    fenced_length = length.options(runtime_env={**worker, "env_vars": variables})
    check("objects come and go", [len(part) if isinstance(part, bytes) else part
                                  for part in ray.get(fenced_length.remote(data))], [20 << 20, 20 << 20])

    @ray.remote(num_cpus=0)
    class Counter:
        def __init__(self):
            self.count = 0

        def add(self, secret):
            self.count += 1
            try:
                return self.count, open(secret).read()
            except OSError as error:
                return self.count, errno.errorcode[error.errno]

    counter = Counter.options(runtime_env={**worker, "env_vars": variables}).remote()
    check("an actor keeps its state and is fenced", ray.get([counter.add.remote(SECRET) for _ in range(3)]),
          [(1, "EACCES"), (2, "EACCES"), (3, "EACCES")])

    functions(fenced, Fenced, variables, args)
    bare_work = ray.remote(worked)
    worker_work = ray.remote(worked).options(runtime_env={**worker, "env_vars": variables})
    cost(bare, in_worker, "fenced workers, for tasks that do nothing")
    ratio = cost(bare_work, worker_work, "fenced workers, for tasks of 5 ms")
    check("a fenced worker costs less than 10 %", ratio < 1.1, True)
    function_work = ray.remote(fenced()(worked))
    took = hundred(function_work)
    print(f"cost of fenced functions: 100 tasks of 5 ms take {took[0] * 1000:.0f} ms, each in a Python of its own")
    check("100 fenced functions return", took[1], [number * number for number in range(100)])
    ray.shutdown()
    made.shutdown()


def functions(fenced, Fenced, variables, args):
    """The fence around the function alone: no Ray inside, and the GPUs that Ray assigned."""
    reach = fenced()(what_a_task_reaches)

    def both(*args):
        return reach(*args), os.environ.get("CUDA_VISIBLE_DEVICES")

    task = ray.remote(num_gpus=1)(both)
    nothing = {"secret": "EACCES", "elsewhere": "EROFS", "network": False}
    told, visible = ray.get(task.remote(*args))
    check("a fenced function reaches its GPU and nothing else", told, {**nothing, "gpus": [int(visible)]})

    @ray.remote(num_gpus=1, num_cpus=0)
    def together(*args):
        time.sleep(1)
        return reach(*args)["gpus"]

    check("two at once reach one GPU each", sorted(ray.get([together.remote(*args) for _ in range(2)])), [[0], [1]])
    told = ray.get(ray.remote(reach).remote(*args))
    check("without GPUs it reaches none", told, {**nothing, "gpus": []})
    granted = fenced("--read", args[0])(what_a_task_reaches)
    check("a grant more, and the secret is read", ray.get(ray.remote(granted).remote(*args))["secret"], "42")

    class Evil:
        def __reduce__(self):
            return (os.system, ("touch /tmp/unpickled",))

    def fails(function, *options):
        try:
            return fenced(*options)(function)()
        except Fenced as error:
            return str(error)

    check("an exception is told", fails(lambda: 1 // 0), "ZeroDivisionError: integer division or modulo by zero")
    check("a result is read without running it", fails(Evil), "the result cannot be read: posix.system is not a plain value")
    check("and nothing ran", os.path.exists("/tmp/unpickled"), False)
    check("values come back", fails(lambda: {"a": [1, (2.5, b"x")], "s": {1}}), {"a": [1, (2.5, b"x")], "s": {1}})


main()
