//! Broken input is refused with a message that helps: file, line and column, the key, and the nearest word or
//! the allowed range where there is one; exit code 65 for a bad file, 74 for one that cannot be read, 64 for
//! wrong usage; never a panic. All messages together are `golden/broken.txt`, so a change of wording is seen.
//!
//! Then three hundred random mutations of a large scenario are read, and drawn from where they can be: they
//! may be refused or accepted, but each refusal has a place and a text, and nothing panics. What a strange
//! scenario that is accepted does when it runs is not tried here.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kernel::draw::Draws;
use kernel::library::{Library, LoadError};
use kernel::plan::Plan;
use kernel::registry::{Registry, node};
use kernel::run::leak;
use program::{command, golden, root, scratch};
use proptest::prelude::*;
use proptest::sample::Index;

const SOUND: &str = r#"title = "Sound"
profile = "ssd_lan"
duration = "2s"
settle = "5s"

[cluster]
node = "store"
hosts = 3

[cluster.config]
heartbeat = "50ms"
election_timeout = "150ms..300ms"

[[workload]]
kind = "kv_write"
clients = 2
value = "1KB"
count = 20

[[fault]]
kind = "crash"
on = "leader"
when = "1s"
lasts = "100ms..200ms"
chance = "50%"

[check]
always = ["election_safety"]
eventually = ["leader_within(5s)"]

[shows]
symptoms = ["elections >= 1"]
"#;

/// What is done to the sound file; where the message must point; what it must say.
struct Case {
    name: &'static str,
    old: &'static str,
    new: &'static str,
    place: &'static str,
    says: &'static [&'static str],
}

const fn case(
    name: &'static str,
    (old, new): (&'static str, &'static str),
    place: &'static str,
    says: &'static [&'static str],
) -> Case {
    Case { name, old, new, place, says }
}

const CASES: &[Case] = &[
    case("unknown_key", ("heartbeat =", "hartbeat ="), "11:12", &["hartbeat", "`heartbeat`"]),
    case("unknown_section", ("[shows]", "[show]"), "32:12", &["show.symptoms"]),
    case("bare_duration", ("\"50ms\"", "50"), "11:13", &["heartbeat", "\"50ms\"", "0ns to 1h"]),
    case(
        "beyond_128_bits",
        ("\"2s\"", "\"34028236692093846346337460743176821145.9s\""),
        "3:12",
        &["duration", "not a number this program can hold"],
    ),
    case("wrong_unit", ("\"50ms\"", "\"50MB\""), "11:13", &["heartbeat", "`MB`", "ns us ms s"]),
    case("wrong_type", ("\"50ms\"", "[\"50ms\"]"), "11:13", &["heartbeat", "not a list"]),
    case("date", ("\"50ms\"", "2026-01-01"), "11:13", &["heartbeat", "no meaning"]),
    case("negative", ("\"2s\"", "\"-2s\""), "3:12", &["duration", "1ms to 24h"]),
    case("no_duration", ("\"2s\"", "\"0s\""), "3:12", &["duration", "1ms to 24h"]),
    case("nan", ("\"2s\"", "nan"), "3:12", &["duration", "1ms to 24h"]),
    case("endless", ("\"2s\"", "\"99999999999999999999d\""), "3:12", &["duration"]),
    case("no_such_node", ("\"store\"", "\"stoer\""), "7:8", &["cluster.node", "`store`"]),
    case("no_such_workload", ("kv_write", "kv_wirte"), "15:8", &["workload.0.kind", "`kv_write`"]),
    case("no_such_fault", ("\"crash\"", "\"crahs\""), "21:8", &["fault.0.kind", "`crash`"]),
    case("no_such_check", ("election_safety", "election_saftey"), "28:10", &["`election_safety`"]),
    case("no_such_profile", ("ssd_lan", "ssd_lna"), "2:11", &["profile", "`ssd_lan`"]),
    case("profile_is_a_path", ("ssd_lan", "./ssd_lan"), "2:11", &["profile", "`ssd_lan`"]),
    case("five_billion_hosts", ("hosts = 3", "hosts = 5000000000"), "8:9", &["1 to 64"]),
    case("no_host", ("hosts = 3", "hosts = 0"), "8:9", &["cluster.hosts", "1 to 64"]),
    case("half_a_host", ("hosts = 3", "hosts = 2.5"), "8:9", &["cluster.hosts", "1 to 64"]),
    case("too_likely", ("\"50%\"", "1.5"), "25:10", &["fault.0.chance", "0% to 100%"]),
    case("nan_chance", ("\"50%\"", "nan"), "25:10", &["fault.0.chance", "25%"]),
    case("backwards", ("150ms..300ms", "300ms..150ms"), "12:20", &["\"150ms..300ms\""]),
    case("no_such_host", ("\"leader\"", "\"n4\""), "22:6", &["fault.0.on", "n1 to n3"]),
    case(
        "no_such_selector",
        ("\"leader\"", "\"king\""),
        "22:6",
        &["fault.0.on", "leader, follower"],
    ),
    case("wrong_list", ("leader_within(5s)", "log_matching"), "29:14", &["belongs to `always`"]),
    case("no_argument", ("leader_within(5s)", "leader_within"), "29:14", &["leader_within"]),
    case("much_argument", ("election_safety\"", "election_safety(3)\""), "28:10", &["no argument"]),
    case("no_symptom", ("elections >= 1", "many elections"), "32:12", &["NAME >= VALUE"]),
    case("symptom_of_words", ("elections >= 1", "elections >= many"), "32:12", &["`many`"]),
    case("twice", ("hosts = 3", "hosts = 3\nhosts = 3"), "9:1", &["duplicate"]),
    case("slow_heartbeat", ("\"50ms\"", "\"400ms\""), "10:10", &["heartbeat", "election timeout"]),
    case("no_workload", ("[[workload]]", "[[fault]]"), "1:1", &["at least one [[workload]]"]),
    case("syntax", ("hosts = 3", "hosts = = 3"), "8:9", &[]),
    case("half_a_string", ("\"ssd_lan\"", "\"ssd_lan"), "2:19", &[]),
];

/// Files that are no edit of the sound one: name, bytes, what the message must say.
fn monsters() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let deep = format!("x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let tables = format!("{SOUND}[{}x]\ny = 1\n", "a.".repeat(20_000));
    let large = format!("{SOUND}#{}\n", "x".repeat(1 << 20));
    vec![
        ("empty", Vec::new(), "a scenario needs `title`"),
        ("deep", deep.into_bytes(), "deep.toml:1:37: nested deeper than 32"),
        ("deep_keys", tables.into_bytes(), "deep_keys.toml:"),
        ("large", large.into_bytes(), "a file may have 1048576"),
        ("latin1", b"title = \"\xe9t\xe9\"\n".to_vec(), "not UTF-8 after byte 9"),
        ("zeros", vec![0; 100], "zeros.toml:1:1"),
    ]
}

/// All messages, and everything that is wrong with them.
#[derive(Default)]
struct Sheet {
    text: String,
    wrong: Vec<String>,
}

impl Sheet {
    /// Runs the program, which must refuse with this code and say all of this.
    fn refused(&mut self, dir: &Path, name: &str, arguments: &[&str], code: i32, says: &[&str]) {
        let output = command(dir, arguments).output().expect("the program runs");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        let mut wrong = |what: String| self.wrong.push(format!("{name}: {what}: {text}"));
        if output.status.code() != Some(code) {
            wrong(format!("{} instead of {code}", output.status));
        }
        if !output.stdout.is_empty() {
            wrong("printed a result".into());
        }
        if text.contains("panicked") || text.is_empty() || text.len() > 4_000 {
            wrong(format!("{} bytes that are no message", text.len()));
        }
        for word in says.iter().filter(|word| !text.contains(**word)) {
            wrong(format!("does not say `{word}`"));
        }
        self.text += &format!("{name}, exit {code}\n{text}\n");
    }

    fn compare(self, file: &str) {
        assert!(self.wrong.is_empty(), "\n{}", self.wrong.join("\n"));
        golden(file, &self.text);
    }
}

#[test]
fn broken_files_are_refused_with_place_key_and_way_out() {
    let dir = scratch("broken");
    fs::write(dir.join("sound.toml"), SOUND).unwrap();
    let sound = command(&dir, &["show", "sound.toml"]).output().unwrap();
    assert!(sound.status.success(), "{sound:?}");
    let mut sheet = Sheet::default();
    for Case { name, old, new, place, says } in CASES {
        let file = format!("{name}.toml");
        assert!(SOUND.contains(old), "{name}: `{old}` is not in the sound file");
        fs::write(dir.join(&file), SOUND.replacen(old, new, 1)).unwrap();
        let place = format!("{file}:{place}: ");
        sheet.refused(&dir, name, &["run", &file], 65, &[&[place.as_str()], *says].concat());
    }
    for (name, bytes, says) in monsters() {
        let file = format!("{name}.toml");
        fs::write(dir.join(&file), bytes).unwrap();
        sheet.refused(&dir, name, &["run", &file], 65, &[&file, says]);
    }
    fs::create_dir(dir.join("folder.toml")).unwrap();
    for name in ["missing.toml", "folder.toml"] {
        sheet.refused(&dir, name, &["run", name], 74, &[name]);
    }
    sheet.compare("broken.txt");
}

#[test]
fn broken_plans_are_refused_too() {
    let dir = scratch("broken-plans");
    let plans: [(&str, &[u8], &str); 8] = [
        ("scenario", b"[plan]\nscenario = \"swarm\"\nseed = 7\n", "a plan of `swarm`, not of"),
        ("garbage", b"not a plan", "garbage.toml:1:"),
        ("host", b"[[fired]]\nkind = \"crash\"\nhosts = [\"n99\"]\nat = \"1s\"\n", "n99"),
        ("key", b"[[fired]]\nkind = \"crash\"\nhost = [\"n1\"]\n", "did you mean `hosts`?"),
        ("fault", b"[[fired]]\nkind = \"crahs\"\n", "fired.0.kind: no fault `crahs`"),
        ("time", b"[[fired]]\nkind = \"crash\"\nat = 5\n", "\"5ms\""),
        ("skip", b"[[skip]]\nclient = -1\nop = 2\n", "skip.0"),
        ("bytes", b"\xff\xfe", "not UTF-8"),
    ];
    let mut sheet = Sheet::default();
    for (name, bytes, says) in plans {
        let file = format!("{name}.toml");
        fs::write(dir.join(&file), bytes).unwrap();
        let arguments = ["run", "leader_crash", "--plan", &file];
        sheet.refused(&dir, name, &arguments, 65, &[&file, says]);
    }
    let arguments = ["run", "leader_crash", "--plan", "missing.toml"];
    sheet.refused(&dir, "missing", &arguments, 74, &["missing.toml"]);
    sheet.compare("broken_plans.txt");
}

#[test]
fn slips_of_the_pen_are_wrong_usage() {
    let slips: [(&str, &str); 17] = [
        ("run swram", "`swarm`"),
        ("run", "SCENARIO"),
        ("swep swarm", "'sweep'"),
        ("run swarm --sed 7", "'--seed'"),
        ("run swarm --seed -1", "-1"),
        ("run swarm --seed 18446744073709551616", "18446744073709551615"),
        ("run swarm --set hartbeat=5ms", "`heartbeat`"),
        ("run swarm --set kind=crash", "may be"),
        ("run swarm --set heartbeat", "KEY=VALUE"),
        ("run swarm --plant vote_befor_fsync", "`vote_before_fsync`"),
        ("run swarm --mute electionsafety", "`election_safety`"),
        ("sweep swarm --seeds 5..5", "no seed"),
        ("sweep swarm --jobs 0", "1..=1024"),
        ("sweep swarm --shard 5/4", "from 1 to N"),
        ("sweep swarm --memory 1KB", "64MiB"),
        ("sweep swarm --unknown-max 101%", "0% to 100%"),
        ("merge here", "--out"),
    ];
    let mut sheet = Sheet::default();
    for (line, says) in slips {
        let arguments: Vec<&str> = line.split(' ').collect();
        sheet.refused(root(), line, &arguments, 64, &[says]);
    }
    let arguments = ["run", "swarm", "--set", "heartbeat=5"];
    sheet.refused(root(), "run swarm --set heartbeat=5", &arguments, 65, &["\"5ms\""]);
    sheet.compare("broken_usage.txt");
}

fn library() -> &'static (&'static Registry, Library) {
    static LIBRARY: OnceLock<(&'static Registry, Library)> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let validate = store::Config::validate;
        let registry = leak(Registry {
            nodes: vec![node(
                "store",
                "As in the program.",
                store::PLANTS,
                store::EVENTS,
                validate,
                store::run,
            )],
            workloads: workloads::words(),
            faults: faults::words(),
            checks: checks::words(),
            ..Registry::default()
        });
        (registry, Library::find(registry))
    })
}

/// A small damage to a file. Places are shares of its length.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Delete(Index),
    Insert(Index, &'static str),
    DeleteLine(Index),
    RepeatLine(Index),
    MoveLine(Index, Index),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let piece = prop::sample::select(vec![
        "9",
        "-",
        ".",
        "..",
        "\"",
        "'''",
        "[",
        "[[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "#",
        "\0",
        "é",
        "e999",
        "99999999999999999999",
        "|",
        "(",
        "\n",
        "_",
    ]);
    prop_oneof![
        4 => (at(), 0u8..8).prop_map(|(i, bit)| Damage::Flip(i, bit)),
        4 => at().prop_map(Damage::Delete),
        6 => (at(), piece).prop_map(|(i, piece)| Damage::Insert(i, piece)),
        3 => at().prop_map(Damage::DeleteLine),
        3 => at().prop_map(Damage::RepeatLine),
        3 => (at(), at()).prop_map(|(i, j)| Damage::MoveLine(i, j)),
        1 => at().prop_map(Damage::Cut),
    ]
}

impl Damage {
    fn on(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let mut lines: Vec<Vec<u8>> =
            bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        match self {
            Damage::Flip(i, bit) => {
                let i = i.index(bytes.len());
                bytes[i] ^= 1 << bit;
                return;
            }
            Damage::Delete(i) => {
                bytes.remove(i.index(bytes.len()));
                return;
            }
            Damage::Insert(i, piece) => {
                let i = i.index(bytes.len());
                bytes.splice(i..i, piece.bytes());
                return;
            }
            Damage::Cut(i) => {
                bytes.truncate(i.index(bytes.len()));
                return;
            }
            Damage::DeleteLine(i) => drop(lines.remove(i.index(lines.len()))),
            Damage::RepeatLine(i) => {
                let i = i.index(lines.len());
                lines.insert(i, lines[i].clone());
            }
            Damage::MoveLine(i, j) => {
                let line = lines.remove(i.index(lines.len()));
                lines.insert(j.index(lines.len() + 1), line);
            }
        }
        *bytes = lines.concat();
    }
}

/// Reads a file as the program would. True if it is a scenario.
fn read(path: &Path) -> bool {
    let (registry, library) = library();
    match library.load(path.to_str().expect("UTF-8"), &[]) {
        Ok(scenario) => {
            let draws = Draws::new(7);
            let _ = scenario.boot(registry, &draws);
            let _ = Plan::draw(&scenario.faults, &scenario.swarm, &draws);
            true
        }
        Err(LoadError::Data(problems)) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(!problem.text.is_empty() && !problem.place.is_empty(), "{problem}");
            }
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn mutant() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| scratch("broken-mutants").join("mutant.toml"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_mutation_panics(damages in prop::collection::vec(damage(), 0..5)) {
        let mut bytes = include_bytes!("../scenarios/swarm.toml").to_vec();
        for damage in &damages {
            damage.on(&mut bytes);
        }
        fs::write(mutant(), bytes).unwrap();
        let sound = read(mutant());
        prop_assert!(sound || !damages.is_empty(), "the original is refused");
    }
}
