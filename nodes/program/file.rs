//! From flags and a file to what a node or a client needs. A file is read with the reader that scenarios
//! use: bounded in size and depth, unknown keys refused with the nearest one, every problem with
//! file, line and column. A relative folder in it is relative to the file, one that is typed is
//! relative to where it was typed.
//!
//! Left out: other files named by a file, and anything from the environment.

use std::io::Read;
use std::path::{Path, PathBuf};

use host::doc::{Doc, FILE_MAX, Problem, Reader};
use host::settings::Field;
use host::{Addr, Member, Members};

use super::args::{Serve, Whom};
use super::{Config, Failure, NODES, Node};

/// What there is to run.
pub struct Order {
    pub(super) node: &'static Node,
    pub(super) config: Box<dyn Config>,
    pub(super) members: Members,
    pub(super) data: PathBuf,
}

/// What a file says besides settings.
#[derive(Default)]
struct Said {
    me: Option<u64>,
    data: Option<PathBuf>,
    members: Vec<Member>,
}

/// What flags and file come to.
pub fn order(node: &'static Node, given: &Serve) -> Result<Order, Failure> {
    let filed = match &given.config {
        Some(path) => document(path)?,
        None => Doc::default(),
    };
    let mut doc = filed.clone();
    for (key, value) in &given.sets {
        doc.set(&format!("config.{key}"), value);
    }
    let mut config = (node.config)();
    let said = read(&doc, given.config.as_deref(), &(node.fields)(), config.as_mut())?;
    config.validate().map_err(|why| blame(node, &filed, given, &why))?;
    let typed = flagged(&given.peers, &given.clients)?;
    let all = if typed.is_empty() { said.members } else { typed };
    if all.is_empty() {
        if let Some(path) = &given.config {
            return Err(no_members(path));
        }
        let text = "who are the members? give --config FILE, or --peers and --clients";
        return Err(Failure::usage(text));
    }
    let me =
        given.me.or(said.me).ok_or_else(|| Failure::usage("which member is this? give --me N"))?;
    let members = Members { me, all };
    if members.get(me).is_none() {
        let text =
            format!("member {me} is not among the members; there are 1 to {}", members.all.len());
        return Err(if given.me.is_some() {
            Failure::usage(text)
        } else {
            let name = given.config.as_deref().unwrap_or(Path::new("")).display();
            Failure::bad_file(format!("{name}: {text}"))
        });
    }
    let data = given.data.clone().or(said.data);
    let data = data.ok_or_else(|| Failure::usage("where are its files? give --data DIR"))?;
    Ok(Order { node, config, members, data })
}

/// Settings that each can be had, but not together: the typist's if the file's alone would do.
fn blame(node: &Node, filed: &Doc, given: &Serve, why: &str) -> Failure {
    let mut config = (node.config)();
    let alone = read(filed, given.config.as_deref(), &(node.fields)(), config.as_mut());
    match &given.config {
        Some(path) if alone.is_err() || config.validate().is_err() => {
            Failure::bad_file(format!("{}: {why}", path.display()))
        }
        _ => Failure::usage(format!("--set: {why}")),
    }
}

fn no_members(path: &Path) -> Failure {
    let text = "it names no members; write a [[member]] with id, peer and client for each";
    Failure::bad_file(format!("{}: {text}", path.display()))
}

/// Whom a client may ask; typed addresses are numbered as they come.
pub fn members(whom: &Whom) -> Result<Members, Failure> {
    let all = match &whom.config {
        Some(path) => {
            let doc = document(path)?;
            let node = &NODES[0];
            read(&doc, Some(path), &(node.fields)(), (node.config)().as_mut())?.members
        }
        None => flagged(&whom.clients, &whom.clients)?,
    };
    if all.is_empty() {
        if let Some(path) = &whom.config {
            return Err(no_members(path));
        }
        let text = "whom to ask? give --clients ADDR,... or --config FILE with its members";
        return Err(Failure::usage(text));
    }
    Ok(Members { me: 0, all })
}

fn document(path: &Path) -> Result<Doc, Failure> {
    let name = path.display().to_string();
    let cannot = |why: std::io::Error| Failure::io(format!("{name}: {why}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    // A byte beyond the bound is enough to be refused.
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::bad_file(format!("{name}: the file is not text")))?;
    Doc::parse(&name, &text, "").map_err(|problems| refuse(&problems))
}

/// Problems of a file are the file's, those of `--set` the typist's.
fn refuse(problems: &[Problem]) -> Failure {
    let text = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
    let typed = problems.iter().all(|problem| problem.place == "--set");
    if typed { Failure::usage(text) } else { Failure::bad_file(text) }
}

fn read(
    doc: &Doc,
    file: Option<&Path>,
    fields: &[Field],
    config: &mut dyn Config,
) -> Result<Said, Failure> {
    let mut reader = Reader::new(doc);
    let mut said = Said::default();
    if let Some(text) = reader.one("", "me") {
        match text.parse() {
            Ok(me) => said.me = Some(me),
            Err(_) => reader.problem("me", format!("`{text}` is not a member's id, such as 1")),
        }
    }
    if let Some(text) = reader.one("", "data") {
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        said.data = Some(folder.join(text));
    }
    reader.expect("", "member");
    for at in 0..doc.count("member") {
        said.members.extend(member(&mut reader, &format!("member.{at}")));
    }
    reader.fields("config", "", fields, &mut |name, text| config.set(name, text));
    reader.finish();
    if reader.problems.is_empty() {
        said.members.sort_by_key(|member| member.id);
        if let Err(text) = consistent(&said.members) {
            reader.problem("member", text);
        }
    }
    if reader.problems.is_empty() { Ok(said) } else { Err(refuse(&reader.problems)) }
}

fn member(reader: &mut Reader<'_>, section: &str) -> Option<Member> {
    let texts = ["id", "peer", "client"].map(|name| {
        let text = reader.one(section, name);
        if text.is_none() {
            reader.problem(section, format!("`{name}` is missing"));
        }
        text
    });
    let [Some(id), Some(peer), Some(client)] = texts else { return None };
    let id = id.parse().ok().filter(|id| *id > 0).or_else(|| {
        reader.problem(&format!("{section}.id"), "ids are counted from 1");
        None
    });
    let peer = address(&peer).map_err(|why| reader.problem(&format!("{section}.peer"), why)).ok();
    let client =
        address(&client).map_err(|why| reader.problem(&format!("{section}.client"), why)).ok();
    Some(named(id?, peer?, client?))
}

/// A member under its usual name.
pub fn named(id: u64, peer_addr: Addr, client_addr: Addr) -> Member {
    Member { id, name: format!("n{id}"), peer_addr, client_addr }
}

/// Members as flags give them: the first is 1.
fn flagged(peers: &[String], clients: &[String]) -> Result<Vec<Member>, Failure> {
    if peers.len() != clients.len() {
        let text = format!("--peers names {} members, --clients {}", peers.len(), clients.len());
        return Err(Failure::usage(text));
    }
    let pairs = (1..).zip(peers.iter().zip(clients));
    let member = |(id, (peer, client)): (u64, (&String, &String))| {
        Ok(named(id, address(peer)?, address(client)?))
    };
    pairs.map(member).collect::<Result<_, String>>().map_err(Failure::usage)
}

fn address(text: &str) -> Result<Addr, String> {
    let text = text.trim();
    let good = |(host, port): (&str, &str)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match text.rsplit_once(':').is_some_and(good) {
        true => Ok(Addr::from(text)),
        false => Err(format!("`{text}` is not an address; write for example 127.0.0.1:7001")),
    }
}

/// Ids 1 to the number of members, and no address twice.
fn consistent(members: &[Member]) -> Result<(), String> {
    let gap = (1..).zip(members).find(|(id, member)| member.id != *id);
    if let Some((id, member)) = gap {
        return Err(match member.id < id {
            true => format!("there are two members {}", member.id),
            false => format!("there is a member {}, but none is {id}", member.id),
        });
    }
    let mut addrs: Vec<&Addr> =
        members.iter().flat_map(|m| [&m.peer_addr, &m.client_addr]).collect();
    addrs.sort();
    match addrs.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} is given twice", pair[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "me = 2\ndata = \"n2\"\n\
        [[member]]\nid = 1\npeer = \"a:1\"\nclient = \"a:2\"\n\
        [[member]]\nid = 2\npeer = \"b:1\"\nclient = \"b:2\"\n\
        [config]\nheartbeat = \"60ms\"\n";

    fn parse(text: &str) -> Result<Said, Failure> {
        let doc = Doc::parse("dir/x.toml", text, "").map_err(|problems| refuse(&problems))?;
        let mut config = store::Config::default();
        read(&doc, Some(Path::new("dir/x.toml")), &(NODES[0].fields)(), &mut config)
    }

    fn says(text: &str) -> String {
        let failure = parse(text).err().expect("a problem");
        assert_eq!(failure.code, 65);
        failure.text
    }

    #[test]
    fn the_readmes_file_works() {
        let readme = include_str!("../../README.md");
        let block = readme.split("```toml\n").nth(1).and_then(|b| b.split("```").next());
        let said = parse(block.expect("a file in the README")).ok().unwrap();
        assert_eq!((said.me, said.members.len()), (Some(1), 3));
    }

    #[test]
    fn a_file_says_who_where_and_how() {
        let said = parse(GOOD).ok().unwrap();
        assert_eq!((said.me, said.data), (Some(2), Some(PathBuf::from("dir/n2"))));
        assert_eq!(said.members[1], named(2, Addr::from("b:1"), Addr::from("b:2")));
        let absolute = parse("data = \"/var/n\"").ok().unwrap();
        assert_eq!(absolute.data, Some(PathBuf::from("/var/n")));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let changed = |from: &str, to: &str| says(&GOOD.replace(from, to));
        assert_eq!(
            changed("me = 2", "mee = 2"),
            "dir/x.toml:1:7: mee: unknown key; did you mean `me`?"
        );
        assert_eq!(
            changed("heartbeat", "heartbaet"),
            "dir/x.toml:12:13: config.heartbaet: unknown key; did you mean `heartbeat`?"
        );
        assert!(
            changed("\"60ms\"", "60").starts_with("dir/x.toml:12:13: config.heartbeat: `60` has")
        );
        assert!(changed("peer = \"b:1\"", "pier = \"b:1\"").contains("did you mean `peer`?"));
        assert!(
            changed("\"b:1\"", "\"b\"").starts_with("dir/x.toml:9:8: member.1.peer: `b` is not")
        );
        assert!(changed("b:1", "a:2").contains("a:2 is given twice"));
        assert!(changed("id = 2", "id = 1").contains("two members 1"));
        assert!(changed("id = 2", "id = 7").contains("none is 2"));
        assert!(changed("[[member]]\nid = 1", "[[membre]]\nid = 1").contains("`member`"));
        assert!(says(&"x".repeat(FILE_MAX + 1)).contains("a file may have"));
    }

    #[test]
    fn a_wrong_set_is_the_typists() {
        let mut doc = Doc::parse("x.toml", GOOD, "").unwrap();
        doc.set("config.hartbeat", "1ms");
        let mut config = store::Config::default();
        let failure = read(&doc, None, &(NODES[0].fields)(), &mut config).err().unwrap();
        assert_eq!(failure.code, 64);
        assert!(failure.text.contains("did you mean `heartbeat`?"), "{}", failure.text);
    }

    fn ordered(text: &str, sets: &[(&str, &str)]) -> Failure {
        let dir = std::env::temp_dir();
        let path = dir.join(format!("wavetank-{}-{:016x}.toml", std::process::id(), sets.len()));
        std::fs::write(&path, text).unwrap();
        let given = Serve {
            config: Some(path.clone()),
            me: None,
            data: None,
            peers: Vec::new(),
            clients: Vec::new(),
            sets: sets.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        };
        let failure = order(&NODES[0], &given).err().expect("a problem");
        let _ = std::fs::remove_file(path);
        failure
    }

    #[test]
    fn who_is_to_blame_is_said() {
        let typed = ordered(GOOD, &[("heartbeat", "30s")]);
        assert_eq!((typed.code, typed.text.starts_with("--set: ")), (64, true), "{}", typed.text);
        let both = ordered(&GOOD.replace("60ms", "30s"), &[("reads", "index"), ("reads", "lease")]);
        assert_eq!((both.code, both.text.contains(".toml: ")), (65, true), "{}", both.text);
        let empty = ordered("", &[("reads", "index"), ("reads", "lease"), ("reads", "index")]);
        let named = empty.text.contains(".toml: it names no members");
        assert_eq!((empty.code, named), (65, true), "{}", empty.text);
    }

    proptest! {
        #[test]
        fn no_file_panics(text in ".{0,200}", cut in 0usize..300) {
            let _ = parse(&text);
            let _ = parse(&GOOD.chars().take(cut).collect::<String>());
            let _ = address(&text);
        }
    }
}
