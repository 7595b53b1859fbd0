//! The managed proxy of the helper that Codex starts.

use crate::lab::Lab;
use crate::proxy_lab::{PYTHON, Server};

const WORKSPACE: &str = r#"{"type":"workspace-write","exclude_slash_tmp":true,"exclude_tmpdir_env_var":true}"#;

/// Python that says something to the proxy that a variable names, and prints the answer.
fn through(variable: &str) -> String {
    format!(
        "import os, socket, urllib.parse; u = urllib.parse.urlsplit(os.environ['{variable}']); \
         s = socket.create_connection((u.hostname, u.port), 5); s.send(b'hello'); print(s.recv(9), u.username)"
    )
}

#[test]
fn both_generations_lead_through_the_proxy_and_nowhere_else() {
    for lab in Lab::every_user(&[PYTHON]) {
        let (proxy, other) = (Server::echo().port(), Server::echo().port());
        let address = format!("http://me:secret@localhost:{proxy}");
        let ports = format!(r#"{{"loopbackPorts":[{proxy}]}}"#);
        for generation in
            [&["--managed-network", "{}"][..], &["--allow-network-for-proxy"], &["--managed-network", &ports]]
        {
            let sandbox = |script: &str| {
                let arguments = [&["--sandbox-policy", WORKSPACE], generation].concat();
                lab.codex(arguments).env("HTTPS_PROXY", &address).python(script)
            };
            sandbox(&through("HTTPS_PROXY")).assert_prints("b'hello' me");
            let direct = format!("import socket; socket.create_connection(('127.0.0.1', {other}), 5)");
            sandbox(&direct).assert_says("ConnectionRefused");
            lab.outside(&format!("python3 -c \"{direct}\"")).assert_works();
            sandbox("import socket; socket.socket(socket.AF_UNIX)").assert_says("PermissionError");
            sandbox("import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))").assert_prints("b'x'");
        }
    }
}

#[test]
fn without_a_proxy_or_with_a_wrong_one_nothing_starts() {
    for lab in Lab::every_user(&[]) {
        let managed = |network: &str| lab.codex(["--sandbox-policy", WORKSPACE, "--managed-network", network]);
        for (sandbox, word) in [
            (managed("{}"), "HTTP_PROXY HTTPS_PROXY"),
            (managed("{}").env("HTTP_PROXY", "http://proxy.example:3128"), "HTTP_PROXY does not name"),
            (managed(r#"{"loopbackPorts":[1]}"#).env("HTTP_PROXY", "http://127.0.0.1:3128"), "port 3128"),
        ] {
            let ran = sandbox.run(["touch", "made"]);
            assert!(ran.code() == 1 && ran.stderr().contains(word) && !lab.exists("work/made"), "{word}: {ran}");
        }
        managed("{}").env("HTTP_PROXY", "http://127.0.0.1:3128").run(["touch", "made"]).assert_works();
        assert!(lab.exists("work/made"), "the control");
    }
}

#[test]
fn unix_sockets_can_be_made_where_all_are_allowed() {
    for lab in Lab::every_user(&[PYTHON]) {
        let network = r#"{"dangerouslyAllowAllUnixSockets":true}"#;
        let sandbox = lab.codex(["--sandbox-policy", WORKSPACE, "--managed-network", network]);
        sandbox
            .env("HTTP_PROXY", "http://127.0.0.1:3128")
            .python("import socket; socket.socket(socket.AF_UNIX)")
            .assert_works();
    }
}
