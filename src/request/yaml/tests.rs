#![allow(clippy::unwrap_used, reason = "a test")]

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn show(node: &Node, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match &node.value {
        Value::Scalar(scalar) => {
            out.push_str(&format!("{indent}{} {:?} {:?}\n", node.place, scalar.kind(), scalar.text))
        }
        Value::List(items) => {
            out.push_str(&format!("{indent}{} list\n", node.place));
            items.iter().for_each(|item| show(item, depth + 1, out));
        }
        Value::Map(entries) => {
            out.push_str(&format!("{indent}{} map\n", node.place));
            for Entry { key, place, node } in entries {
                out.push_str(&format!("{indent}  {place} {key}:\n"));
                show(node, depth + 2, out);
            }
        }
    }
}

fn check(text: &str, want: &Expect) {
    let got = match parse(text) {
        Ok(node) => {
            let mut out = String::new();
            show(&node, 0, &mut out);
            out
        }
        Err(error) => error.to_string(),
    };
    want.assert_eq(&got);
}

#[test]
fn keys_and_values_know_their_places() {
    check(
        "# comment\na: 1\nb:\n  - x\n  - {c: 'y', \"d\": [2.5]}\né: ü # end\nf:\ng: ~\nh: |\n  one\n  two\n",
        &expect![[r#"
            2:1 map
              2:1 a:
                2:4 Integer "1"
              3:1 b:
                4:3 list
                  4:5 Text "x"
                  5:5 map
                    5:6 c:
                      5:9 Text "y"
                    5:14 d:
                      5:19 list
                        5:20 Float "2.5"
              6:1 é:
                6:4 Text "ü"
              7:1 f:
                7:1 Null ""
              8:1 g:
                8:4 Null "~"
              9:1 h:
                10:3 Text "one\ntwo\n"
        "#]],
    );
    check(
        "\u{feff}a: 1",
        &expect![[r#"
        1:1 map
          1:1 a:
            1:4 Integer "1"
    "#]],
    );
    check(
        "---\na: 1\n...\n",
        &expect![[r#"
        2:1 map
          2:1 a:
            2:4 Integer "1"
    "#]],
    );
    check(
        "%YAML 1.2\n---\na: 1\n",
        &expect![[r#"
        3:1 map
          3:1 a:
            3:4 Integer "1"
    "#]],
    );
}

#[test]
fn plain_words_have_the_meaning_of_the_core_schema() {
    let table = [
        (Kind::Null, "~ null Null NULL"),
        (Kind::Bool(true), "true True TRUE"),
        (Kind::Bool(false), "false False FALSE"),
        (Kind::Integer, "0 1500 -1 +7 0007 0x1F 0o17"),
        (Kind::Float, "1.5 .5 5. 1e3 -1.5E-3 .inf -.INF .nan"),
        (
            Kind::Text,
            "yes no on off y nULL 1.2.3 0x 0xg 0o8 1_000 e . - + .e1 1e 1e+ .infinity -.nan 12:30 4294967294x",
        ),
    ];
    for (kind, words) in table {
        for word in words.split(' ') {
            let plain = Scalar { text: word.to_owned(), quoted: false };
            assert_eq!(plain.kind(), kind, "{word}");
            assert_eq!(Scalar { quoted: true, ..plain }.kind(), Kind::Text, "{word}");
        }
    }
    assert_eq!(Scalar { text: String::new(), quoted: false }.kind(), Kind::Null);
}

#[test]
fn what_makes_yaml_surprising_is_refused() {
    for (text, want) in [
        ("a: &x 1", expect!["1:4: anchors are not allowed"]),
        ("a: &x {b: 1}", expect!["1:4: anchors are not allowed"]),
        ("a: &x [1]", expect!["1:4: anchors are not allowed"]),
        ("a: *x", expect!["1:4: aliases are not allowed"]),
        ("a: *.example.com", expect!["1:4: aliases are not allowed"]),
        ("a: !!str 1", expect!["1:4: tags are not allowed"]),
        ("a: ! 1", expect!["1:4: tags are not allowed"]),
        ("a: !x {b: 1}", expect!["1:4: tags are not allowed"]),
        ("a:\n  <<: {b: 1}", expect!["2:3: merge keys (`<<`) are not allowed"]),
        ("a: 1\nb: 2\n\"a\": 3", expect!["3:1: key `a` is there twice, first in line 1"]),
        ("a: {b: 1, c: 2, b: 3}", expect!["1:17: key `b` is there twice, first in line 1"]),
        ("a: 1\n---\nb: 2", expect!["2:1: a second document begins here"]),
        ("a: 1\n---\n", expect!["2:1: a second document begins here"]),
        ("? [a, b]\n: 1", expect!["1:3: a key must be a word, not a list or mapping"]),
        ("{a: 1}: 2", expect!["1:1: a key must be a word, not a list or mapping"]),
        (": 1", expect!["1:1: a key must be a word on one line"]),
        ("? |\n  a\n  b\n: 1", expect!["2:3: a key must be a word on one line"]),
    ] {
        check(text, &want);
    }
    // The control: the same characters as text.
    check(
        "a: '&x'\nb: \"*x\"\nc: '!!str'\n'<<': 1\n",
        &expect![[r#"
        1:1 map
          1:1 a:
            1:4 Text "&x"
          2:1 b:
            2:4 Text "*x"
          3:1 c:
            3:4 Text "!!str"
          4:1 <<:
            4:7 Integer "1"
    "#]],
    );
}

#[test]
fn what_is_no_mapping_of_sane_characters_is_refused() {
    for (text, want) in [
        ("", expect!["1:1: the file is empty"]),
        ("\n# nothing\n", expect!["1:1: the file is empty"]),
        ("---\n", expect!["1:1: the file is empty"]),
        ("~", expect!["1:1: the file is empty"]),
        ("- a\n- b\n", expect!["1:1: the top level is a list, a mapping of keys is expected"]),
        ("word", expect!["1:1: the top level is a single value, a mapping of keys is expected"]),
        ("a: b\0c", expect![[r#"1:5: control character \u{0}"#]]),
        ("a: 1 # \0\nb: 2", expect![[r#"1:8: control character \u{0}"#]]),
        ("a: \"b\\0c\"", expect![[r#"1:4: control character \u{0} in a value"#]]),
        ("a: \"b\\tc\"", expect![[r#"1:4: control character \u{9} in a value"#]]),
        ("a: 'b\tc'", expect![[r#"1:4: control character \u{9} in a value"#]]),
        ("a: \u{1b}[31m", expect![[r#"1:4: control character \u{1b}"#]]),
        ("a:\n\tb: 1", expect!["2:2: tabs disallowed within this context (block indentation)"]),
        ("a: [1", expect!["2:1: while parsing a flow sequence, expected ',' or ']'"]),
        ("a: 'x", expect!["1:4: while scanning a quoted scalar, found unexpected end of stream"]),
        ("a: b: c", expect!["1:5: mapping values are not allowed in this context"]),
    ] {
        check(text, &want);
    }
    check(
        "a: 1\t# a tab between value and comment\n",
        &expect![[r#"
        1:1 map
          1:1 a:
            1:4 Integer "1"
    "#]],
    );
}

#[test]
fn size_depth_and_number_are_limited() {
    let lists = |depth: usize| format!("a: {}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(parse(&lists(MAX_DEPTH)).is_ok());
    check(&lists(MAX_DEPTH + 1), &expect!["1:35: lists and mappings lie more than 32 deep in one another"]);
    check(&lists(5000), &expect!["1:259: recursion limit exceeded"]);
    check(
        &format!("{}a", "- ".repeat(5000)),
        &expect!["1:65: lists and mappings lie more than 32 deep in one another"],
    );

    let padded = |bytes: usize| format!("a: 1\n#{}", "x".repeat(bytes - 6));
    assert!(parse(&padded(MAX_BYTES)).is_ok());
    check(&padded(MAX_BYTES + 1), &expect!["1:1: the file has 1048577 bytes, 1048576 are allowed"]);

    let items = |nodes: usize| format!("a: [{}]", "1,".repeat(nodes - 3));
    assert!(parse(&items(MAX_NODES)).is_ok());
    check(&items(MAX_NODES + 1), &expect!["1:199999: more than 100000 keys and values"]);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(parse(&text).is_ok() || parse(&text).is_err());
    }

    #[test]
    fn no_yaml_makes_it_panic(text in "[-a-c:{}\\[\\],&*!|>'\"%#?~<@` \n\t\r0.\\\\]{0,60}") {
        prop_assert!(parse(&text).is_ok() || parse(&text).is_err());
    }
}
