//! A reset that is lost on a cut link must not leave its connection half-open for ever: whoever goes on
//! sending is told again, by whatever arrives next at the end that is no more. A node that aborts while the
//! way back is cut, and a peer that hears of it once the way is whole.
//! Left out: who gives up by himself, which takes seconds (`link_half_open`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Addr, Class, Host, Members, Style};

use super::{outcome, registry};
use crate::world::Plugin;

const TALK: Class = Class("talk");

/// Cuts or heals the way from the second host to the first.
fn way_back(whole: bool) {
    let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
    let mut world = shared.world();
    if whole { world.heal(1, 0, 0) } else { world.cut(1, 0, 0) }
}

async fn listen(host: &Host, at: &Addr) -> std::io::Result<()> {
    let listener = host.net().listen(at).await?;
    let (tx, mut rx) = listener.accept().await?.split();
    rx.recv().await?;
    way_back(false);
    tx.abort();
    host.clock().sleep(Duration::from_millis(100)).await;
    way_back(true);
    std::future::pending().await
}

/// How long a sender that goes on and on takes to learn that nobody listens any more.
async fn talk(host: &Host, to: &Addr) -> std::io::Result<Duration> {
    let conn = host.net().dial(to, Duration::from_secs(1), Style::Stream).await?;
    let (mut tx, _rx) = conn.split();
    let from = host.clock().now();
    while tx.send(TALK, vec![7; 10].into()).await.is_ok() {
        host.clock().sleep(Duration::from_millis(5)).await;
    }
    Ok(host.clock().now().since(from))
}

#[test]
fn a_lost_reset_is_sent_again() {
    let took: Arc<Mutex<Option<Duration>>> = Arc::default();
    let told = took.clone();
    let node = move |host: Host, members: Members| {
        let told = told.clone();
        async move {
            let second = members.all[1].peer_addr.clone();
            if members.me == 2 {
                return listen(&host, &second).await;
            }
            host.clock().sleep(Duration::from_millis(50)).await;
            let took = talk(&host, &second).await?;
            told.lock().unwrap().replace(took);
            std::future::pending().await
        }
    };
    let text = "duration = \"1s\"\n[cluster]\nnode = \"subject\"\nhosts = 2\n\
                [[workload]]\nkind = \"waits\"\n";
    outcome(registry(node), text, 3);
    let took = took.lock().unwrap().expect("the sender was told");
    let (least, most) = (Duration::from_millis(100), Duration::from_millis(150));
    assert!(took >= least && took <= most, "{took:?}");
}
