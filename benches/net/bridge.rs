//! What the bridge itself takes: memory and descriptors, with many connections at once and after many of them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::ways::Way;
use crate::{MIB, SMALL, setting, url};

/// What proc(5) says of the process.
struct Taken {
    resident: f64,
    proportional: f64,
    peak: f64,
    descriptors: usize,
}

/// The process outside that has a runtime: the only child of the supervisor that waits by epoll.
fn find(supervisor: u32) -> PathBuf {
    let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
    let is_bridge = |process: &PathBuf| {
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut to = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        to.any(|to| to.as_os_str() == "anon_inode:[eventpoll]")
    };
    children.split_whitespace().map(|child| PathBuf::from("/proc").join(child)).find(is_bridge).unwrap()
}

fn look(process: &Path) -> Taken {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(process.join(file)).unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB")?.trim().parse::<f64>().ok());
        line.unwrap() * 1024.0 / MIB
    };
    Taken {
        resident: field("smaps_rollup", "Rss:"),
        proportional: field("smaps_rollup", "Pss:"),
        peak: field("status", "VmHWM:"),
        descriptors: std::fs::read_dir(process.join("fd")).unwrap().count(),
    }
}

/// Hears a line of the client.
fn hear(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn go_on(client: &mut Child) {
    client.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
}

/// Prints what the bridge of each of our ways takes.
pub(crate) fn memory(ways: &[Way], server: SocketAddr) {
    let (held, again) = (setting("HELD", 1000), setting("AGAIN", 100_000));
    println!("{:36} {:>8} {:>8} {:>8} {:>8}", "the bridge, in MiB", "RSS", "PSS", "peak RSS", "fds");
    let show = |name: &str, what: &str, taken: &Taken| {
        let Taken { resident, proportional, peak, descriptors } = taken;
        println!("{:36} {resident:>8.2} {proportional:>8.2} {peak:>8.2} {descriptors:>8}", format!("{name}: {what}"));
    };
    for way in ways.iter().filter(|way| way.is_ours()) {
        let mut client = way.start(&["hold", &url(server, "drip"), &held.to_string()]);
        let mut lines = BufReader::new(client.stdout.take().unwrap());
        assert_eq!(hear(&mut lines), "held");
        let bridge = find(client.id());
        go_on(&mut client);
        let moved = hear(&mut lines);
        show(way.name, &format!("{moved} of {held} move"), &look(&bridge));
        go_on(&mut client);
        assert!(client.wait().unwrap().success());

        let (warm_up, again) = ((again / 10).to_string(), again.to_string());
        let mut client = way.start(&["again", &url(server, SMALL), &warm_up, &again]);
        let mut lines = BufReader::new(client.stdout.take().unwrap());
        for count in [&warm_up, &again] {
            assert_eq!(hear(&mut lines), "done");
            show(way.name, &format!("{count} one by one"), &look(&find(client.id())));
            go_on(&mut client);
        }
        assert!(client.wait().unwrap().success());
    }
}
