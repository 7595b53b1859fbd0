//! TOML files: what is refused, and where it says so.

use super::*;

fn refused(text: &str) -> String {
    match parse(text, Path::new("agent.toml"), Path::new("/base"), None) {
        Ok(request) => panic!("accepted: {request:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unknown_keys_and_values_are_refused_with_file_and_line() {
    let table = [
        ("sandbox = \"read-only\"\nwirte = [\"/x\"]\n", "agent.toml:2: unknown field `wirte`: did you mean `write`?"),
        ("nothing_like_it = 1\n", "agent.toml:1: unknown field `nothing_like_it`, expected one of"),
        ("[paths]\n\"/a\" = \"wrte\"\n", "agent.toml:2: unknown variant `wrte`: did you mean `write`?"),
        ("\n\nsandbox = \"readonly\"\n", "agent.toml:3: unknown variant `readonly`"),
        ("net = 1\n", "agent.toml:1: "),
        ("gpu = 1.5\n", "agent.toml:1: gpu is"),
        ("timeout = \"soon\"\n", "agent.toml:1: `soon` is not a duration"),
        ("gpu = true\ngpu_passthrough = true\n", "agent.toml:2: gpu and gpu_passthrough"),
        ("[paths]\n\"/a\" = \"rw\"\n", "agent.toml:2: unknown variant `rw`"),
        ("read = [\n", "agent.toml:"),
    ];
    for (text, want) in table {
        let error = refused(text);
        assert!(error.starts_with(want), "{text:?}: {error}");
    }
}

#[test]
fn values_remember_their_line_and_relative_paths_belong_to_the_file() {
    let text = "write = [\n  \"out\",\n  \"~/data\",\n]\ngpu = [1, 0]\nenv = [\"A=b\", \"C\"]\n";
    let home = Some(Path::new("/home/u"));
    let request = parse(text, Path::new("agent.toml"), Path::new("/base"), home).expect("a good file");
    let lines: Vec<_> = request.write.iter().map(|said| (said.value.clone(), said.by.to_string())).collect();
    assert_eq!(lines[0], ("/base/out".into(), "agent.toml:2".to_owned()));
    assert_eq!(lines[1], ("/home/u/data".into(), "agent.toml:3".to_owned()));
    assert_eq!(request.gpu.expect("gpu").value, "1,0");
    assert_eq!(request.env[0].value, ("A".into(), Some("b".into())));
    assert_eq!(request.env[1].value, ("C".into(), None));
}

#[test]
fn durations_have_units() {
    for (text, millis) in [("90", 90_000), ("1.5m", 90_000), ("250ms", 250), ("2h", 7_200_000)] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "-1s", "0", "5 parsecs", "1e400", "NaN"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
