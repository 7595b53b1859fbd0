//! Settings: each mode, who may say it, and whose word counts.

use expect_test::{expect, expect_file};
use ringfence::request::Source::{Admin, Image};
use ringfence::request::baseline::Conflict::{Keep, Promote, PromoteNarrow, Refuse};

use crate::defaults::table;
use crate::machine::{Case, Machine, level};
use crate::policies::*;

/// As in the specification.
const SAMPLE: &str = r#"
[baseline]
keep = ["/proc", "/sys/**"]
conflicts = [
  { match = "/dev/nvidia[0-9]*", mode = "keep" },
  { match = "/proc", sources = ["admin", "user"], mode = "promote-narrow", reason = "CUDA thread names" },
]
allow_cli_relax = false
allow_compat = false
"#;

fn rule(mode: &str) -> String {
    format!("[baseline]\nconflicts = [{{ match = \"/proc\", mode = \"{mode}\" }}]\n")
}

#[test]
fn each_mode_from_an_administrator_s_settings() {
    let two = &Machine::new("two-gpus");
    let [promote, narrow, keep, refuse] = ["promote", "promote-narrow", "keep", "refuse"].map(rule);
    let user = || Case::user(PROC_READ);
    let cases = [
        ("promote", two, user().admin(&promote)),
        ("promote-narrow", two, user().admin(&narrow)),
        ("keep", two, user().admin(&keep)),
        ("keep, although a gpu was named", two, user().admin(&keep).gpu("0")),
        ("refuse", two, user().admin(&refuse)),
        ("refuse, no gpu", two, user().admin(&refuse).gpu("off")),
        ("refuse, nothing in the way", two, Case::user(PLAIN).admin(&refuse)),
        (
            "promote shared memory",
            two,
            Case::user(NODES_READ).admin("[baseline]\nconflicts = [{ match = \"/dev/**\", mode = \"promote\" }]\n"),
        ),
        ("narrow, and a rule below", two, Case::user(BELOW_PROC_READ).admin(&narrow)),
    ];
    expect_file!["snapshots/modes.txt"].assert_eq(&table(&cases));
}

#[test]
fn each_mode_from_flags() {
    let two = &Machine::new("two-gpus");
    let user = || Case::user(PROC_READ);
    let relax = "[baseline]\nallow_cli_relax = true\n";
    let cases = [
        ("promote: not less strict than the default", two, user().flag(Promote, "/**")),
        ("promote, allowed", two, user().admin(relax).flag(Promote, "/**")),
        ("promote, allowed by whom it is not to allow", two, user().own(relax).flag(Promote, "/**")),
        ("promote-narrow", two, user().flag(PromoteNarrow, "/proc")),
        ("promote-narrow, allowed", two, user().admin(relax).flag(PromoteNarrow, "/proc")),
        ("keep, where a gpu was named", two, user().gpu("0").flag(Keep, "/proc")),
        ("refuse", two, user().flag(Refuse, "/proc")),
        ("refuse elsewhere", two, user().flag(Refuse, "/dev/**")),
        ("two: the stricter", two, user().gpu("0").flag(Refuse, "/proc").flag(Keep, "/**")),
    ];
    expect_file!["snapshots/flags.txt"].assert_eq(&table(&cases));
}

#[test]
fn keep_beats_everything() {
    let two = &Machine::new("two-gpus");
    let keep = "[baseline]\nkeep = [\"/proc\"]\nconflicts = [{ match = \"/proc\", mode = \"promote\" }]\nallow_cli_relax = true\n";
    let nodes = "[baseline]\nkeep = [\"/dev/nvidia*\", \"/dev/shm\"]\n";
    let cases = [
        ("built-in, auto", two, Case::built_in().admin(keep).flag(Promote, "/**")),
        ("built-in, a gpu is named", two, Case::built_in().admin(keep).gpu("0")),
        ("nobody names /proc", two, Case::user(PLAIN).admin(keep)),
        ("image", two, Case::of(Image, PROC_READ).admin(keep)),
        ("a user's own keep", two, Case::of(Image, PROC_READ).own("[baseline]\nkeep = [\"/proc\"]\n")),
        ("nodes, auto", two, Case::user(PLAIN).admin(nodes)),
        ("nodes, named", two, Case::user(PLAIN).admin(nodes).gpu("1")),
        ("without a gpu nothing is missed", two, Case::built_in().admin(keep).gpu("off")),
        ("core", two, Case::user(NET_ONLY).own("[baseline]\nkeep = [\"/etc\", \"/tmp/**\"]\n").gpu("off")),
    ];
    expect_file!["snapshots/keep.txt"].assert_eq(&table(&cases));
}

#[test]
fn whose_word_counts() {
    let two = &Machine::new("two-gpus");
    let [promote, narrow, keep, refuse] = ["promote", "promote-narrow", "keep", "refuse"].map(rule);
    let first = "[baseline]\nconflicts = [\n{ match = \"/p*\", mode = \"refuse\", sources = [\"image\"] },\n{ match = \"/p?oc\", mode = \"promote-narrow\" },\n{ match = \"/proc\", mode = \"refuse\" }]\n";
    let cases = [
        ("the first that fits", two, Case::user(PROC_READ).admin(first)),
        ("the first that fits, other source", two, Case::of(Image, PROC_READ).admin(first)),
        ("a user's file does not relax", two, Case::user(PROC_READ).own(&promote)),
        ("a user's file does not relax an image's", two, Case::of(Admin, PROC_READ).own(&narrow)),
        ("a user's file tightens", two, Case::of(Image, PROC_READ).own(&refuse)),
        ("the administrator's file is first", two, Case::user(PROC_READ).admin(&keep).own(&promote)),
        ("a flag tightens a setting", two, Case::user(PROC_READ).admin(&narrow).flag(Keep, "/**")),
        ("a flag does not relax a setting", two, Case::user(PROC_READ).admin(&refuse).flag(Keep, "/**")),
    ];
    expect_file!["snapshots/precedence.txt"].assert_eq(&table(&cases));
}

#[test]
fn a_user_s_file_never_stands_before_an_administrator_s() {
    let two = &Machine::new("two-gpus");
    let promote = rule("promote");
    let refuse = rule("refuse");
    // Files may be laid over one another in any order: with --config an administrator's can be the last.
    let case = Case::user(PROC_READ).gpu("0").own(&promote).admin(&refuse);
    let told = case.told(two);
    assert!(told.contains("error: /proc (p.yaml:4) is read"), "{told}");
}

#[test]
fn globs_that_are_none_are_refused() {
    let two = &Machine::new("two-gpus");
    let case = Case::built_in().admin(
        "[baseline]\nkeep = [\"proc\", \"/a/../b\", \"!/x\", \"/dev/{a,b}\"]\nconflicts = [{ match = \"/dev/[z\", mode = \"keep\" }]\n",
    );
    let case = case.flag(Keep, "dev");
    expect![[r#"
        error: /etc/ringfence/config.toml:2: pattern `proc` is not absolute
        error: /etc/ringfence/config.toml:2: pattern `/a/../b` has `..` in it
        error: /etc/ringfence/config.toml:2: pattern `!/x` is not absolute
        error: /etc/ringfence/config.toml:2: pattern `/dev/{a,b}` has braces, which mean nothing here: write one pattern for each
        error: /etc/ringfence/config.toml:3: pattern `/dev/[z` is no glob: unclosed character class; missing ']'
        error: --baseline-conflict: pattern `dev` is not absolute
    "#]].assert_eq(&case.told(two));
}

#[test]
fn the_stricter_of_two_names_of_a_path_counts() {
    // /bin is a link to /usr/bin, which a rule names.
    let machine = &Machine::new("no-gpu");
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/usr/bin/true]}\n";
    let with = |toml| Case { core: true, ..Case::user(yaml) }.admin(toml);
    let (_, plan) = with("[baseline]\nkeep = [\"/usr\", \"/usr/bin\"]\n").plan(machine).unwrap();
    assert_eq!(level(&plan, "/usr/bin"), None, "by where it leads");
    let (_, plan) = with("[baseline]\nkeep = [\"/usr\", \"/bin\"]\n").plan(machine).unwrap();
    assert_eq!(level(&plan, "/usr/bin"), None, "by its name");
    let (_, plan) = with("[baseline]\nkeep = [\"/usr\"]\n").plan(machine).unwrap();
    assert_eq!(level(&plan, "/usr/bin").as_deref(), Some("read"), "the control");
}

#[test]
fn the_sample_of_the_specification() {
    let two = &Machine::new("two-gpus");
    let cases = [
        ("user-ro-proc, auto", two, Case::user(RO_PROC).admin(SAMPLE)),
        ("user-ro-proc, 0", two, Case::user(RO_PROC).admin(SAMPLE).gpu("0")),
        ("gpu-train", two, gpu_train().admin(SAMPLE)),
    ];
    expect_file!["snapshots/sample.txt"].assert_eq(&table(&cases));
}

/// As the user that it names.
pub fn gpu_train() -> Case<'static> {
    let mut case = Case::user(GPU_TRAIN);
    case.who.uid = 1717;
    case
}
