//! The real program: `cargo real store --me 1 ...` runs the node code that the simulator runs, on
//! real sockets and a real disk. It reads its arguments, starts one machine, runs one node on it,
//! and turns SIGINT and SIGTERM into a graceful stop. It knows nothing of what a node does.
//!
//! Exit codes: 0 stopped as asked, 3 a task panicked, 64 usage, 74 input/output, 130 a second
//! signal. Log lines go to stderr; `WAVETANK_LOG` selects them (default `wavetank=info,warn`).
//!
//! This file is the shell around the nodes, so the ban list of `nodes/clippy.toml` does not bind
//! it: somebody has to print, read arguments and wait for signals.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

#[cfg(madsim)]
fn main() {
    eprintln!("wavetank-node is the real program: use `cargo real`");
    std::process::exit(64);
}

#[cfg(not(madsim))]
use real::main;

#[cfg(not(madsim))]
mod real {
    use std::io;
    use std::path::PathBuf;
    use std::process::ExitCode;
    use std::time::Duration;

    use host::real::Machine;
    use host::settings::{Settings, nearest};
    use host::{Addr, Member, Members};
    use tokio_real::signal::unix::{SignalKind, signal};
    use tokio_real::sync::oneshot;
    use tracing_subscriber::EnvFilter;

    /// How long a node may take to stop, and its last frames to leave.
    const GRACE: Duration = Duration::from_secs(10);

    const USAGE: &str = "\
Runs one node of a cluster on real sockets and a real disk.

usage: wavetank-node store --me N --peers ADDR,... --clients ADDR,... --data DIR [--set KEY=VALUE]

  --me N               which of the peers this node is, counted from 1
  --peers ADDR,...     where the members listen for each other, in the order of their ids
  --clients ADDR,...   where the members listen for clients, in the same order
  --data DIR           the node's folder; created if missing
  --set KEY=VALUE ...  settings of the node

example: cargo real store --me 1 --peers 127.0.0.1:7001,127.0.0.1:7002 \\
           --clients 127.0.0.1:8001,127.0.0.1:8002 --data /tmp/n1";

    const OPTIONS: [&str; 6] = ["--me", "--peers", "--clients", "--data", "--set", "--help"];

    type Order = (Members, PathBuf, store::Config);

    pub fn main() -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        if args.iter().any(|arg| arg == "--help" || arg == "-h") {
            println!("{USAGE}\n\nsettings of store:");
            for field in store::Config::fields() {
                println!("  {} = {}\n      {}", field.name, field.default, field.about);
            }
            return ExitCode::SUCCESS;
        }
        let order = match parse(&args) {
            Ok(order) => order,
            Err(why) => {
                eprintln!("wavetank-node: {why}\n`wavetank-node --help` lists what it takes");
                return ExitCode::from(64);
            }
        };
        let filter = EnvFilter::try_from_env("WAVETANK_LOG")
            .unwrap_or_else(|_| EnvFilter::new("wavetank=info,warn"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
        run(order).unwrap_or_else(|why| {
            eprintln!("wavetank-node: {why}");
            ExitCode::from(74)
        })
    }

    fn run((members, data, config): Order) -> io::Result<ExitCode> {
        let name = format!("n{}", members.me);
        let machine = Machine::builder(&name, data).start()?;
        let shell = tokio_real::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = shell.block_on(watch(&machine, config, members));
        machine.settle(GRACE);
        let panics = machine.panics();
        machine.shutdown();
        panics.iter().for_each(|panic| eprintln!("wavetank-node: {panic}"));
        if panics.is_empty() { outcome.map(|()| ExitCode::SUCCESS) } else { Ok(ExitCode::from(3)) }
    }

    /// Runs the node until it ends, or until it was asked to and did not for too long.
    async fn watch(machine: &Machine, config: store::Config, members: Members) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tx, mut ended) = oneshot::channel();
        let host = machine.host();
        let node = host.clone();
        host.thread("main").spawn("store", async move {
            let _ = tx.send(store::run(node, config, members).await);
        });
        let mut asked = false;
        // A signal asks for the stop, or a panic does.
        let overdue = async { (host.stopping().await, tokio_real::time::sleep(GRACE).await) };
        let mut overdue = std::pin::pin!(overdue);
        loop {
            tokio_real::select! {
                outcome = &mut ended => {
                    return outcome.unwrap_or_else(|_| Err(io::Error::other("the node panicked")));
                }
                _ = &mut overdue => {
                    return Err(io::Error::other(format!("the node did not stop within {GRACE:?}")));
                }
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if std::mem::replace(&mut asked, true) {
                std::process::exit(130);
            }
            machine.stop();
        }
    }

    fn parse(args: &[String]) -> Result<Order, String> {
        match args.first().map(String::as_str) {
            Some("store") => {}
            Some(other) => return Err(format!("there is no node `{other}`; there is `store`")),
            None => return Err("which node? there is `store`".to_string()),
        }
        let (mut me, mut peers, mut clients, mut data) = (None, None, None, None);
        let mut config = store::Config::default();
        let mut rest = args[1..].iter().peekable();
        while let Some(option) = rest.next() {
            known("option", option, &OPTIONS)?;
            let value = rest.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--me" => me = Some(value.parse::<u64>().map_err(|_| bad(option, value))?),
                "--peers" => peers = Some(addresses(option, value)?),
                "--clients" => clients = Some(addresses(option, value)?),
                "--data" => data = Some(PathBuf::from(value)),
                _ => {
                    set(&mut config, value)?;
                    while let Some(more) = rest.next_if(|arg| !arg.starts_with("--")) {
                        set(&mut config, more)?;
                    }
                }
            }
        }
        let (peers, clients) =
            (peers.ok_or("--peers is missing")?, clients.ok_or("--clients is missing")?);
        let members = members(me.ok_or("--me is missing")?, peers, clients)?;
        Ok((members, data.ok_or("--data is missing")?, config))
    }

    fn members(me: u64, peers: Vec<Addr>, clients: Vec<Addr>) -> Result<Members, String> {
        let count = peers.len();
        if clients.len() != count {
            return Err(format!("--peers names {count} members, --clients {}", clients.len()));
        }
        if me == 0 || me > count as u64 {
            return Err(format!("--me {me} is none of the {count} peers; allowed: 1 to {count}"));
        }
        let member = |(id, (peer_addr, client_addr))| Member {
            id,
            name: format!("n{id}"),
            peer_addr,
            client_addr,
        };
        Ok(Members { me, all: (1..).zip(peers.into_iter().zip(clients)).map(member).collect() })
    }

    fn addresses(option: &str, list: &str) -> Result<Vec<Addr>, String> {
        let good = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
        let addr = |text: &str| match text.rsplit_once(':').is_some_and(good) {
            true => Ok(Addr::from(text)),
            false => Err(bad(option, text)),
        };
        list.split(',').map(str::trim).map(addr).collect()
    }

    fn bad(option: &str, value: &str) -> String {
        let example = if option == "--me" { "1" } else { "127.0.0.1:7001,127.0.0.1:7002" };
        format!("{option} does not take `{value}`; write for example {option} {example}")
    }

    fn set(config: &mut store::Config, pair: &str) -> Result<(), String> {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("--set takes KEY=VALUE, not `{pair}`"));
        };
        let names: Vec<&str> = store::Config::fields().iter().map(|field| field.name).collect();
        known("setting of store", key, &names)?;
        config.set(key, value).map_err(|why| format!("{key}: {why}"))
    }

    fn known(what: &str, word: &str, words: &[&str]) -> Result<(), String> {
        if words.contains(&word) {
            return Ok(());
        }
        let near = nearest(word, words.iter().copied()).map(|n| format!("; did you mean `{n}`?"));
        Err(format!("`{word}` is no {what}{}", near.unwrap_or_default()))
    }
}
