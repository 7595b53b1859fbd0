//! Device nodes, and what is done with terminals.

use super::{NONE, alone, check, labs};
use crate::lab::Need;

#[test]
fn only_granted_nodes_open() {
    for lab in labs(&[]) {
        check(
            &lab,
            &[],
            &[
                ("otrunc:/dev/null", "yes"),
                ("write:/dev/zero", "yes"),
                ("read:/dev/zero", "yes"),
                ("read:/dev/urandom", "yes"),
                ("read:/dev/random", "yes"),
                ("read:/dev/ptmx", "EACCES"),
                ("write:/dev/ptmx", "EACCES"),
                ("make:/dev/new", "EACCES"),
                ("make:/dev/shm/new", "EACCES"),
                ("list:/dev/shm", "EACCES"),
            ],
        );
        alone(&lab, NONE)
            .sh("echo x > /dev/null && echo x >> /dev/null && head -c 3 /dev/zero | wc -c")
            .assert_prints("3");
        super::check_outside(&lab, &["write:/dev/ptmx", "list:/dev/shm"]);
    }
}

#[test]
fn nothing_is_typed_into_a_terminal_that_was_not_granted() {
    let script = r"
import fcntl, os, sys, termios
try: fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
except OSError as error: print('closed', error.errno); sys.exit()
try: fcntl.ioctl(fd, termios.TIOCGWINSZ, b'12345678'); print('ioctl')
except OSError as error: print('refused', error.errno)
";
    for lab in labs(&[]) {
        // A terminal of the same user, held open outside.
        let hold = format!(
            "import os, pty, sys\nmaster, slave = pty.openpty()\nname = os.ttyname(slave)\nos.system('chown {} ' + name) if os.geteuid() == 0 else 0\nprint(name, flush=True)\nsys.stdin.read()",
            lab.outside("id -u").stdout()
        );
        let holder = lab.sandbox(NONE).without().waiting().start(["python3", "-c", &hold]);
        holder.wait_for("/dev/pts/");
        crate::lab::until("a line", || holder.printed().ends_with('\n'));
        let name = holder.printed().trim().to_owned();
        alone(&lab, NONE).run(["python3", "-c", script, &name]).assert_prints("closed 13");
        lab.sandbox(NONE).without().run(["python3", "-c", script, &name]).assert_prints("ioctl");
        drop(holder.finish());
    }
}

#[test]
fn the_private_terminal_is_one() {
    for lab in labs(&[Need::Tool("script")]) {
        let inside = "test -t 0 && test -t 1 && stty size > /dev/null && echo x > /dev/tty && python3 -c 'import os; print(os.isatty(0))'";
        let by = "script -qec \"$(printf '%q ' \"$@\")\" /dev/null";
        let ran = alone(&lab, NONE).by(by).bash(inside);
        assert!(ran.code() == 0 && ran.stdout().contains("True"), "{ran}");
        let typed = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')";
        let ran = alone(&lab, NONE).python(typed);
        assert_ne!(ran.code(), 0, "{ran}");
    }
}
