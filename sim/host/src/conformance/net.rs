//! What a node may rely on from its connections while links are healthy: order, completeness, the
//! window, and how each kind of end looks from the other side. `n1` dials, `n2` listens.
//! Source: what TCP does, as far as both arms promise it.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_real::sync::oneshot;

use super::{Bench, Outcome, PATIENCE, Reply, Said, ask, ensure};
use crate::{Chunks, Class, Clock, Conn, Style, TrySendError};

const CLASS: Class = Class("conformance");
const PORT: u16 = 7000;
/// Frames of the cases that fill a window.
const BULK: usize = 64 << 10;

/// `n2` listens and does `work` with the first connection; `n1` dials it.
async fn connect<T, F>(
    bench: &Arc<dyn Bench>,
    style: Style,
    work: impl FnOnce(Conn, Clock) -> F + Send + 'static,
) -> Result<(Conn, Reply<T>), String>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let (far, addr) = (bench.host("n2"), bench.addr("n2", PORT));
    let (ready, listens) = oneshot::channel();
    let (net, clock, at) = (far.net(), far.clock(), addr.clone());
    let reply = ask(&far, "the listening end", async move {
        let listener = net.listen(&at).await.said("listen")?;
        let _ = ready.send(());
        let conn = listener.accept().await.said("accept")?;
        work(conn, clock).await
    });
    let near = bench.host("n1");
    let listens = near.clock().within(PATIENCE, listens).await;
    ensure!(matches!(listens, Some(Ok(()))), "n2 does not come to listen");
    let conn = near.net().dial(&addr, PATIENCE, style).await.said("dial")?;
    Ok((conn, reply))
}

/// A frame that can be told from others and shows damage: its number, and bytes that depend on it.
fn frame(number: u64, len: usize) -> Chunks {
    let mut rope = Chunks::from(number.to_le_bytes().to_vec());
    rope.push(Bytes::from(vec![number as u8 ^ 0x5a; len.saturating_sub(8)]));
    rope
}

fn number(frame: &Chunks) -> Result<u64, String> {
    let bytes = frame.to_bytes();
    let Some(head) = bytes.first_chunk::<8>() else {
        return Err(format!("a frame of {} bytes was never sent", bytes.len()));
    };
    let number = u64::from_le_bytes(*head);
    let sound = bytes[8..].iter().all(|byte| *byte == number as u8 ^ 0x5a);
    ensure!(sound, "frame {number} is damaged");
    Ok(number)
}

pub(super) async fn frames_arrive_once_and_in_order(bench: Arc<dyn Bench>) -> Outcome {
    const SIZES: [usize; 6] = [8, 100, 1 << 20, 9, 70_000, 8];
    let (conn, echo) = connect(&bench, Style::Stream, async |conn: Conn, _| {
        ensure!(!conn.peer().is_empty(), "the dialling end has no name");
        let (mut tx, mut rx) = conn.split();
        while let Some(frame) = rx.recv().await.said("recv")? {
            tx.send(CLASS, frame).await.said("echo")?;
        }
        Ok(())
    })
    .await?;
    let (mut tx, mut rx) = conn.split();
    // All are submitted before the first is awaited: the order is that of the calls.
    let sends: Vec<_> =
        SIZES.iter().zip(1..).map(|(len, n)| tx.send(CLASS, frame(n, *len))).collect();
    for send in sends {
        send.await.said("send")?;
    }
    tx.send(CLASS, Chunks::new()).await.said("send of an empty frame")?;
    tx.close();
    for (len, expected) in SIZES.iter().zip(1..) {
        let Some(frame) = rx.recv().await.said("recv")? else {
            return Err(format!("the stream ended before frame {expected}"));
        };
        let found = number(&frame)?;
        ensure!(found == expected, "frame {found} arrived instead of {expected}");
        ensure!(frame.len() == *len as u64, "frame {found} has {} bytes, not {len}", frame.len());
    }
    let empty = rx.recv().await.said("recv")?;
    ensure!(empty.as_ref().is_some_and(Chunks::is_empty), "the empty frame came as {empty:?}");
    let end = rx.recv().await.said("recv")?;
    ensure!(end.is_none(), "a frame arrived that nobody sent");
    echo.get(&bench.host("n1").clock()).await
}

pub(super) async fn half_close_delivers_everything(bench: Arc<dyn Bench>) -> Outcome {
    let (conn, far) = connect(&bench, Style::Stream, async |conn: Conn, clock| {
        let (mut tx, mut rx) = conn.split();
        let mut seen = Vec::new();
        loop {
            let next = clock.within(PATIENCE, rx.recv()).await;
            let Some(next) = next else { return Err("the half-close never arrives".to_string()) };
            match next.said("recv up to the half-close")? {
                Some(frame) => seen.push(number(&frame)?),
                None => break,
            }
        }
        ensure!(seen == [1, 2, 3], "before the half-close {seen:?} arrived instead of 1, 2, 3");
        // The other direction is still open.
        tx.send(CLASS, frame(4, 50_000)).await.said("answer after the peer's half-close")?;
        tx.send(CLASS, frame(5, 8)).await.said("answer after the peer's half-close")?;
        Ok(())
    })
    .await?;
    let (mut tx, mut rx) = conn.split();
    for n in 1..=3 {
        tx.send(CLASS, frame(n, 200_000)).await.said("send")?;
    }
    tx.close();
    let clock = bench.host("n1").clock();
    far.get(&clock).await?;
    let mut seen = Vec::new();
    while let Some(frame) = rx.recv().await.said("recv after the own half-close")? {
        seen.push(number(&frame)?);
    }
    ensure!(seen == [4, 5], "after the half-close {seen:?} came back instead of 4, 5");
    Ok(())
}

pub(super) async fn abort_is_seen_as_a_reset(bench: Arc<dyn Bench>) -> Outcome {
    let (conn, far) = connect(&bench, Style::Stream, async |conn: Conn, clock: Clock| {
        let (mut tx, mut rx) = conn.split();
        rx.recv().await.said("recv before the abort")?;
        tx.send(CLASS, frame(2, 8)).await.said("answer")?;
        let after = clock.within(PATIENCE, rx.recv()).await;
        let Some(after) = after else { return Err("the abort never arrives".to_string()) };
        let kind = after.map_err(|why| why.kind());
        ensure!(
            matches!(kind, Err(ErrorKind::ConnectionReset)),
            "after the abort recv says {kind:?}"
        );
        for _ in 0..100 {
            if tx.send(CLASS, frame(3, 8)).await.is_err() {
                return Ok(());
            }
            clock.sleep(Duration::from_millis(5)).await;
        }
        Err("sends into a broken connection go on and on".to_string())
    })
    .await?;
    let (mut tx, mut rx) = conn.split();
    tx.send(CLASS, frame(1, 8)).await.said("send")?;
    rx.recv().await.said("recv of the answer")?;
    tx.abort();
    let clock = bench.host("n1").clock();
    far.get(&clock).await?;
    let own = clock.within(PATIENCE, rx.recv()).await;
    ensure!(matches!(own, Some(Err(_))), "recv at the aborting end says {own:?}");
    Ok(())
}

pub(super) async fn a_full_window_makes_senders_wait(bench: Arc<dyn Bench>) -> Outcome {
    const MOST: u64 = 4096;
    let (go, gone) = oneshot::channel::<()>();
    let (conn, far) = connect(&bench, Style::Stream, async |conn: Conn, _| {
        let (_tx, mut rx) = conn.split();
        let _ = gone.await;
        let mut expected = 0;
        while let Some(frame) = rx.recv().await.said("recv")? {
            let found = number(&frame)?;
            ensure!(found == expected, "frame {found} arrived instead of {expected}");
            expected += 1;
        }
        Ok(expected)
    })
    .await?;
    let clock = bench.host("n1").clock();
    let (mut tx, _rx) = conn.split();
    let mut sent = 0;
    let mut waiting = loop {
        ensure!(sent < MOST, "{sent} frames of {BULK} bytes went to a peer that reads none");
        let mut send = Box::pin(tx.send(CLASS, frame(sent, BULK)));
        match clock.within(Duration::from_millis(100), send.as_mut()).await {
            Some(done) => done.said("send")?,
            None => break send,
        }
        sent += 1;
    };
    sent += 1;
    let full = tx.try_send(CLASS, frame(u64::MAX, BULK));
    ensure!(full == Err(TrySendError::Full), "try_send into a full window says {full:?}");
    let _ = go.send(());
    let waited = clock.within(PATIENCE, waiting.as_mut()).await;
    ensure!(matches!(waited, Some(Ok(()))), "once the peer reads, the send says {waited:?}");
    // There is room again, if not at once.
    for _ in 0..1000 {
        match tx.try_send(CLASS, frame(sent, BULK)) {
            Ok(()) => {
                sent += 1;
                break;
            }
            Err(TrySendError::Full) => clock.sleep(Duration::from_millis(5)).await,
            Err(TrySendError::Closed) => return Err("the connection closed itself".to_string()),
        }
    }
    tx.close();
    let arrived = far.get(&clock).await?;
    ensure!(arrived == sent, "{arrived} frames arrived of {sent}");
    Ok(())
}

pub(super) async fn a_dropped_recv_loses_nothing(bench: Arc<dyn Bench>) -> Outcome {
    const COUNT: u64 = 30;
    let (conn, far) = connect(&bench, Style::Stream, async |conn: Conn, clock: Clock| {
        let (mut tx, _rx) = conn.split();
        for n in 0..COUNT {
            tx.send(CLASS, frame(n, 300_000)).await.said("send")?;
            clock.sleep(Duration::from_micros(300)).await;
        }
        Ok(())
    })
    .await?;
    let clock = bench.host("n1").clock();
    let (_tx, mut rx) = conn.split();
    let (mut expected, deadline) = (0, clock.now() + PATIENCE);
    loop {
        match clock.within(Duration::from_micros(50), rx.recv()).await {
            None => ensure!(clock.now() < deadline, "after frame {expected} nothing arrives"),
            Some(next) => match next.said("recv")? {
                Some(frame) => {
                    let found = number(&frame)?;
                    ensure!(found == expected, "frame {found} arrived instead of {expected}");
                    expected += 1;
                }
                None => break,
            },
        }
    }
    ensure!(expected == COUNT, "{expected} frames arrived of {COUNT}");
    far.get(&clock).await
}

pub(super) async fn dialling_the_dead_ends_in_time(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (net, clock, limit) = (host.net(), host.clock(), Duration::from_millis(500));
    for addr in [bench.dead_addr(), bench.addr("n2", 7999)] {
        let dialled = clock.within(limit * 4, net.dial(&addr, limit, Style::Stream)).await;
        let Some(dialled) = dialled else {
            return Err(format!("dialling {addr} within {limit:?} did not end"));
        };
        let kind = dialled.map(drop).map_err(|why| why.kind());
        let honest = [Err(ErrorKind::ConnectionRefused), Err(ErrorKind::TimedOut)];
        ensure!(honest.contains(&kind), "dialling {addr}, where nobody is: {kind:?}");
    }
    // A host that lives refuses.
    let refused = net.dial(&bench.addr("n2", 7999), PATIENCE, Style::Stream).await;
    let kind = refused.map(drop).map_err(|why| why.kind());
    ensure!(kind == Err(ErrorKind::ConnectionRefused), "a living host without listener: {kind:?}");
    Ok(())
}

pub(super) async fn an_address_has_one_listener(bench: Arc<dyn Bench>) -> Outcome {
    let (host, addr) = (bench.host("n1"), bench.addr("n1", PORT));
    let (net, clock) = (host.net(), host.clock());
    let first = net.listen(&addr).await.said("listen")?;
    let second = net.listen(&addr).await.map(drop).map_err(|why| why.kind());
    ensure!(second == Err(ErrorKind::AddrInUse), "a second listener: {second:?}");
    drop(first);
    for _ in 0..100 {
        if net.listen(&addr).await.is_ok() {
            return Ok(());
        }
        clock.sleep(Duration::from_millis(5)).await;
    }
    Err("an address stays taken after its listener is gone".to_string())
}

pub(super) async fn datagrams_are_whole_and_never_wait(bench: Arc<dyn Bench>) -> Outcome {
    const COUNT: u64 = 600;
    let (go, gone) = oneshot::channel::<()>();
    let (conn, far) = connect(&bench, Style::Datagram, async |conn: Conn, clock: Clock| {
        let (_tx, mut rx) = conn.split();
        let _ = gone.await;
        let mut seen = vec![false; COUNT as usize];
        let quiet = Duration::from_secs(1);
        while let Some(Ok(Some(frame))) = clock.within(quiet, rx.recv()).await {
            let number = number(&frame)?;
            ensure!(number < COUNT, "datagram {number} was never sent");
            ensure!(frame.len() == BULK as u64, "datagram {number} has {} bytes", frame.len());
            let twice = std::mem::replace(&mut seen[number as usize], true);
            ensure!(!twice, "datagram {number} was sent once and arrived twice");
        }
        Ok(seen.into_iter().filter(|seen| *seen).count())
    })
    .await?;
    let clock = bench.host("n1").clock();
    let (mut tx, _rx) = conn.split();
    for n in 0..COUNT {
        // The receiver reads nothing meanwhile, and the window is full early on.
        let sent = clock.within(PATIENCE, tx.send(CLASS, frame(n, BULK))).await;
        let Some(sent) = sent else { return Err(format!("the send of datagram {n} waits")) };
        sent.said("send of a datagram")?;
    }
    let _ = go.send(());
    tx.close();
    let arrived = far.get(&clock).await?;
    ensure!(arrived > 0, "of {COUNT} datagrams over a healthy link none arrived");
    Ok(())
}
