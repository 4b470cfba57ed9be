//! Connections that carry frames. A frame is a rope with a length in front; the receiver bounds that length
//! before it allocates. Each frame has a class word chosen by the node (`vote`, `append`), so that a fault
//! can select traffic without knowing the protocol.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::Chunks;
use crate::arm::{Arm, Class, Close, ConnId, Done, ListenerId, Op, OpFuture, Style, TrySendError};
use crate::disk::unexpected;

/// Where to dial or listen: `n3:7000` in simulation, `127.0.0.1:7000` in reality.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub String);

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Addr {
    fn from(s: &str) -> Addr {
        Addr(s.to_string())
    }
}

/// The host's network.
#[derive(Clone)]
pub struct Net {
    arm: Arc<dyn Arm>,
}

impl Net {
    pub(crate) fn new(arm: Arc<dyn Arm>) -> Net {
        Net { arm }
    }

    /// Listens; `AddrInUse` if somebody does already.
    pub async fn listen(&self, addr: &Addr) -> io::Result<Listener> {
        match OpFuture::new(self.arm.clone(), Op::Listen { addr: addr.clone() }).await? {
            Done::Number(id) => Ok(Listener { arm: self.arm.clone(), id }),
            other => Err(unexpected(&other)),
        }
    }

    /// Dials. `TimedOut` after `within`, `ConnectionRefused` if the host lives and nobody listens.
    pub async fn dial(&self, addr: &Addr, within: Duration, style: Style) -> io::Result<Conn> {
        let op = Op::Dial { addr: addr.clone(), within, style };
        conn(&self.arm, OpFuture::new(self.arm.clone(), op).await?)
    }
}

fn conn(arm: &Arc<dyn Arm>, done: Done) -> io::Result<Conn> {
    match done {
        Done::Conn(id, peer) => Ok(Conn {
            peer,
            tx: Sender { arm: arm.clone(), id, closed: false },
            rx: Receiver { arm: arm.clone(), id },
        }),
        other => Err(unexpected(&other)),
    }
}

/// A place where connections arrive. Dropping it stops listening.
pub struct Listener {
    arm: Arc<dyn Arm>,
    id: ListenerId,
}

impl Listener {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Conn> {
        let op = Op::Accept { listener: self.id };
        conn(&self.arm, OpFuture::new(self.arm.clone(), op).await?)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.arm.close_listener(self.id);
    }
}

/// A connection: two ends that can be split.
pub struct Conn {
    peer: String,
    tx: Sender,
    rx: Receiver,
}

impl Conn {
    /// The name of the other end.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The sending and the receiving end.
    pub fn split(self) -> (Sender, Receiver) {
        (self.tx, self.rx)
    }
}

/// The sending end. Dropping it half-closes: what was sent before still arrives.
pub struct Sender {
    arm: Arc<dyn Arm>,
    id: ConnId,
    closed: bool,
}

impl Sender {
    /// Sends a frame once the window has room for it. Frames are sent in the order of the calls.
    pub fn send(
        &mut self,
        class: Class,
        frame: Chunks,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let op = OpFuture::started(self.arm.clone(), Op::Send { conn: self.id, class, frame });
        async move { op.await.map(drop) }
    }

    /// Sends a frame if the window has room for it now.
    pub fn try_send(&mut self, class: Class, frame: Chunks) -> Result<(), TrySendError> {
        self.arm.try_send(self.id, class, frame)
    }

    /// Half-close: the peer's `recv` ends after the frames sent so far.
    pub fn close(mut self) {
        self.closed = true;
        self.arm.close(self.id, Close::Half);
    }

    /// Breaks the connection in both directions; the peer sees a reset.
    pub fn abort(mut self) {
        self.closed = true;
        self.arm.close(self.id, Close::Abort);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.closed {
            self.arm.close(self.id, Close::Half);
        }
    }
}

/// The receiving end.
pub struct Receiver {
    arm: Arc<dyn Arm>,
    id: ConnId,
}

impl Receiver {
    /// The next frame; `None` after an orderly close, an error after a reset.
    pub async fn recv(&mut self) -> io::Result<Option<Chunks>> {
        match OpFuture::new(self.arm.clone(), Op::Recv { conn: self.id }).await? {
            Done::Frame(frame) => Ok(frame),
            other => Err(unexpected(&other)),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.arm.close(self.id, Close::Reader);
    }
}
