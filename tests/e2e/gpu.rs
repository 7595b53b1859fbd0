//! Chosen GPUs and no others, on every engine. The driver is a fake, as in `caches.rs`: its files over /proc, nodes without
//! hardware behind them over /dev. What a node answers tells that it can be reached: `ENXIO`, for want of a driver.

use std::os::linux::net::SocketAddrExt;

use crate::caches::{fake_driver, undo};
use crate::lab::{Lab, Need, Sandbox, in_private_mounts};

const NONE: [&str; 0] = [];

/// For every engine and user: a machine with two GPUs.
fn with_gpus(needs: &[Need], body: impl Fn(&Lab, &'static str)) {
    for lab in Lab::every_user(&[&[Need::NoGpu, Need::Tool("python3")], needs].concat()) {
        fake_driver(&lab);
        for backend in lab.engines() {
            body(&lab, backend);
        }
        undo(&lab);
    }
}

/// The nodes of GPUs that can be opened, in the order of their numbers.
const REACHED: &str = "
import os, errno
reached = []
for node in ['nvidiactl', 'nvidia0', 'nvidia1', 'nvidia-uvm', 'nvidia-uvm-tools']:
    try: os.open('/dev/' + node, os.O_RDWR)
    except OSError as error:
        if error.errno == errno.ENXIO: reached.append(node)
        elif error.errno not in (errno.ENOENT, errno.EACCES): reached.append(errno.errorcode[error.errno])
print(' '.join(reached), os.environ.get('CUDA_VISIBLE_DEVICES', 'unset'))
";

fn reached(sandbox: Sandbox<'_>) -> String {
    let ran = sandbox.python(REACHED);
    ran.assert_works();
    ran.stdout()
}

const SHARED: &str = "nvidia-uvm nvidia-uvm-tools";

#[test]
fn a_chosen_gpu_can_be_reached_and_the_other_one_cannot() {
    in_private_mounts(|| {
        with_gpus(&[], |lab, backend| {
            let with = |options: &[&str]| reached(lab.sandbox(options).backend(backend));
            let both = format!("nvidiactl nvidia0 nvidia1 {SHARED} unset");
            for all in [&["--gpu", "all"][..], &["--gpu", "nvidia:all"], &["--gpu", "1,0"], &[]] {
                assert_eq!(with(all), both, "{all:?} by {backend}");
            }
            for (selector, minor) in [("0", 0), ("pci:ca:00.0", 1), ("minor:1", 1), ("nvidia:0", 0)] {
                assert_eq!(
                    with(&["--gpu", selector]),
                    format!("nvidiactl nvidia{minor} {SHARED} unset"),
                    "{selector} by {backend}"
                );
            }
            assert_eq!(with(&["--gpu", "0", "--gpu-class", "utility"]), "nvidiactl nvidia0 unset", "{backend}");
            assert_eq!(with(&["--gpu", "off"]), " unset", "{backend}");
        })
    });
}

#[test]
fn what_a_scheduler_allotted_is_all_that_can_be_reached() {
    in_private_mounts(|| {
        with_gpus(&[], |lab, backend| {
            let with = |options: &[&str], variables: &[(&str, &str)]| {
                let sandbox = lab.sandbox(options).backend(backend);
                reached(variables.iter().fold(sandbox, |sandbox, (name, value)| sandbox.env(name, value)))
            };
            let one = |minor: u32| format!("nvidiactl nvidia{minor} {SHARED} unset");
            for wish in [&["--gpu", "visible"][..], &["--gpu", "auto"], &[]] {
                assert_eq!(with(wish, &[("CUDA_VISIBLE_DEVICES", "1")]), one(1), "{wish:?} by {backend}");
                assert_eq!(with(wish, &[("SLURM_JOB_GPUS", "1"), ("CUDA_VISIBLE_DEVICES", "0")]), one(1), "{wish:?}");
                assert_eq!(with(wish, &[("SLURM_STEP_GPUS", "0"), ("SLURM_JOB_GPUS", "0,1")]), one(0), "{wish:?}");
                assert_eq!(with(wish, &[("CUDA_VISIBLE_DEVICES", "")]), "", "{wish:?} by {backend}");
            }
            lab.sandbox(["--gpu", "visible"])
                .backend(backend)
                .env("CUDA_VISIBLE_DEVICES", "7")
                .run(["true"])
                .assert_error("CUDA_VISIBLE_DEVICES=7 cannot be followed");
            // What was named is not narrowed, and a list of the host's indices means nothing inside.
            assert_eq!(with(&["--gpu", "0"], &[("CUDA_VISIBLE_DEVICES", "1")]), one(0), "{backend}");
        })
    });
}

#[test]
fn a_hidden_gpu_is_not_reached_by_another_way() {
    in_private_mounts(|| {
        with_gpus(&[], |lab, backend| {
            let other = "
import os, errno, stat, glob
def reach(path):
    try: os.open(path, os.O_RDWR); return True
    except OSError as error: return error.errno == errno.ENXIO
ways = glob.glob('/proc/*/roo[t]/dev/nvidia1') + glob.glob('/proc/*/cwd/nvidia1') + ['/dev/char/195:1']
for place in ['.', '/tmp', os.environ.get('TMPDIR', '/tmp'), '/dev/shm', '/dev']:
    node = place + '/made'
    try: os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(195, MINOR))
    except OSError: continue
    ways.append(node)
for fd in os.listdir('/proc/self/fd'):
    try:
        if 'nvidia' in os.readlink('/proc/self/fd/' + fd): ways.append('/proc/self/fd/' + fd)
    except OSError: pass
print([way for way in ways if reach(way)])
";
            let hidden = lab.sandbox(["--gpu", "0"]).backend(backend);
            hidden.python(&other.replace("MINOR", "1")).assert_prints("[]");
            // The control: the chosen one, by its own name.
            let own = "import os\ntry: os.open('/dev/nvidia0', os.O_RDWR)\nexcept OSError as error: print(error.errno)";
            lab.sandbox(["--gpu", "0"]).backend(backend).python(own).assert_prints("6");
        })
    });
}

#[test]
fn what_was_asked_for_and_is_not_there_stops_the_start() {
    in_private_mounts(|| {
        with_gpus(&[], |lab, backend| {
            for (selector, says) in [
                ("2", "no such GPU, this machine has 0, 1"),
                ("GPU-77", "no UUID matches"),
                ("0,nvidia:0", "it was named before"),
                ("mig:0/1/0", "there is no such instance"),
                ("amd:0", "no GPU of `amd` found"),
            ] {
                lab.sandbox(["--gpu", selector]).backend(backend).run(["true"]).assert_error(says);
            }
            for (selector, says) in
                [("0,0", "stands in the list twice"), ("0:1", "is a MIG device index"), ("x y", "is no GPU")]
            {
                lab.sandbox(["--gpu", selector]).backend(backend).run(["true"]).assert_error(says);
            }
            lab.outside("rm /dev/nvidiactl");
            let ran = lab.sandbox(["--gpu", "0"]).backend(backend).run(["true"]);
            if lab.exists("dev/nvidiactl") {
                ran.assert_works();
            } else {
                ran.assert_error("`/dev/nvidiactl` does not exist");
                lab.outside("mknod -m 666 /dev/nvidiactl c 195 255").assert_works();
            }
        })
    });
}

#[test]
fn a_class_opens_its_system_calls_and_no_others() {
    in_private_mounts(|| {
        with_gpus(&[Need::Tool("strace")], |lab, backend| {
            let with = |class: &str| lab.sandbox(["--gpu", "0", "--gpu-class", class]).backend(backend);
            with("compute").run(["strace", "-o", "/dev/null", "true"]).assert_says("Operation not permitted");
            with("debug").run(["strace", "-o", "/dev/null", "true"]).assert_works();
            // perf_event_open, io_uring_setup, process_vm_readv with arguments that the kernel itself refuses.
            let call = |number: u32| {
                format!(
                    "import ctypes\nctypes.CDLL(None, use_errno=True).syscall({number}, 0, 0, 0, 0, 0, 0)\nprint(ctypes.get_errno())"
                )
            };
            if std::env::consts::ARCH == "x86_64" {
                for (class, number) in [("profiling", 298), ("gds", 425), ("ipc", 310)] {
                    with("compute").python(&call(number)).assert_prints("1");
                    let errno = with(class).python(&call(number)).stdout();
                    assert!(errno != "1" || class == "gds", "{class} by {backend}: {errno}");
                }
            }
        })
    });
}

/// What of a machine is looked at for GPUs.
#[test]
fn nothing_is_read_where_no_gpu_is_wished_for_and_little_where_there_is_none() {
    for lab in Lab::native(&[Need::NoGpu, Need::Tool("strace")]) {
        let looked_at = |gpu: &str| -> Vec<String> {
            let binary = lab.sandbox(NONE).binary().display().to_string();
            let traced =
                format!("strace -f -o {0} -e trace=%file {binary} run --gpu {gpu} -- true; cat {0}", lab.path("trace"));
            let ran = lab.outside(&traced);
            ran.assert_works();
            let places =
                ["driver/nvidia", "/dev/dxg", "/kfd", "class/drm", "class/accel", "neuron", "habana", "tegra", "/cdi"];
            let lines = ran.stdout().lines().map(str::to_owned).collect::<Vec<_>>();
            assert!(lines.len() > 20, "{ran}");
            lines.into_iter().filter(|line| places.iter().any(|place| line.contains(place))).collect()
        };
        assert_eq!(looked_at("off"), Vec::<String>::new());
        let auto = looked_at("auto");
        assert!((5..=16).contains(&auto.len()) && auto.iter().all(|line| line.contains("= -1 E")), "{auto:#?}");
    }
}

/// A node whose mode lets it be opened, and which something else keeps from it: here its mount, elsewhere a device cgroup.
#[test]
fn a_node_that_cannot_be_opened_stops_the_start() {
    in_private_mounts(|| {
        with_gpus(&[], |lab, backend| {
            let run = || lab.sandbox(["--gpu", "0"]).backend(backend).run(["true"]);
            run().assert_works();
            let node = lab.path("dev/nvidiactl");
            let outside = |script: &str| {
                let done = std::process::Command::new("sh").args(["-c", script]).status().unwrap();
                assert!(done.success(), "{script}");
            };
            outside(&format!("mount --bind {node} /dev/nvidiactl && mount -o remount,bind,nodev /dev/nvidiactl"));
            run()
                .assert_error("`/dev/nvidiactl` cannot be opened, although its mode allows it")
                .assert_says("device cgroup");
            // Nobody asked for a GPU by name.
            for options in [&["--gpu", "auto"][..], &[]] {
                lab.sandbox(options).backend(backend).run(["true"]).assert_works();
            }
            outside("umount /dev/nvidiactl");
            run().assert_works();
            // The first open of this one would start the GPU: it is not tried.
            let node = lab.path("dev/nvidia0");
            outside(&format!("mount --bind {node} /dev/nvidia0 && mount -o remount,bind,nodev /dev/nvidia0"));
            run().assert_works();
            outside("umount /dev/nvidia0");
        });
    });
}

/// libcuda fails with error 304 where it may not listen; what it makes is its own, and nobody else's can be reached.
#[test]
fn a_socket_can_be_listened_on_where_cuda_runs_and_none_of_the_host_s_connected_to() {
    in_private_mounts(|| {
        with_gpus(&[], |lab, backend| {
            let listen = "import socket, os
own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
own.bind('\\0cuda-uvmfd-probe-%d' % os.getpid())
own.listen(1)
print('listens')";
            lab.sandbox(["--gpu", "0"]).backend(backend).python(listen).assert_prints("listens");
            let without = lab.sandbox(["--gpu", "off"]).backend(backend).python(listen);
            if backend == "landlock" {
                without.assert_says("Operation not permitted");
            } else {
                without.assert_prints("listens");
            }
            let name = format!("ringfence-e2e-{}", std::process::id());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name);
            let _host = std::os::unix::net::UnixListener::bind_addr(&address.unwrap()).unwrap();
            let connect =
                format!("import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('reached')");
            lab.outside(&format!("python3 -c \"{}\"", connect.replace('\\', "\\\\"))).assert_prints("reached");
            lab.sandbox(["--gpu", "0"]).backend(backend).python(&connect).assert_says("Error");
        });
    });
}
