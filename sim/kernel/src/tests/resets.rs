//! An end that was aborted behind a cut link: its reset is lost, and the other end, which goes on
//! sending, is told as soon as something gets through to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Addr, Chunks, Class, Host, Style};

use super::{outcome, registry};
use crate::world::Plugin;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Sends to n2 every millisecond; how long (ms) until it is told that nobody is there.
async fn sends(host: Host) -> Option<u64> {
    host.clock().sleep(ms(10)).await;
    let conn = host.net().dial(&Addr("n2:1".into()), ms(50), Style::Stream).await.unwrap();
    let (mut tx, mut rx) = conn.split();
    for n in 0..300 {
        tx.try_send(Class("beat"), Chunks::from(vec![7])).ok()?;
        if host.clock().within(ms(1), rx.recv()).await.is_some() {
            return Some(n);
        }
    }
    None
}

#[test]
fn who_sends_to_an_end_that_is_no_more_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let node = move |host: Host, _| {
        let tells = tells.clone();
        async move {
            let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
            if host.name() == "n1" {
                let after = sends(host).await;
                tells.lock().unwrap().push(after);
            } else {
                let listener = host.net().listen(&Addr("n2:1".into())).await?;
                let (tx, mut rx) = listener.accept().await?.split();
                rx.recv().await?;
                shared.world().effects = vec![0; 1];
                shared.world().cut(1, 0, 0);
                tx.abort();
                host.clock().sleep(ms(100)).await;
                shared.world().heal(1, 0, 0);
            }
            std::future::pending::<std::io::Result<()>>().await
        }
    };
    let text = "duration = \"500ms\"\nsettle = \"1ms\"\n[cluster]\nnode = \"subject\"\nhosts = 2\n\
                [[workload]]\nkind = \"waits\"\n";
    outcome(registry(node), text, 1);
    let told = told.lock().unwrap();
    let [Some(after)] = told[..] else { panic!("{told:?}") };
    // Not through the cut, and soon after it.
    assert!((90..130).contains(&after), "{after}");
}
