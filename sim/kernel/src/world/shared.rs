//! What the tasks, arms and engine of a run share: the world and the history, each behind a lock that a
//! single thread takes, and the one madsim plugin through which they are found.
//! Lock order: the world before the history.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::Event;
use madsim::plugin::Simulator;
use madsim::rand::GlobalRng;
use madsim::task::NodeId;
use madsim::time::TimeHandle;

use super::{Due, World};
use crate::history::History;

/// World and history of one run, as arms, tasks and engine share them.
pub struct Shared {
    world: Mutex<Option<World>>,
    history: Mutex<Option<History>>,
}

impl Shared {
    pub(crate) fn install(&self, world: World, history: History) {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = Some(world);
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = Some(history);
    }

    pub(crate) fn take(&self) -> (World, History) {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner).take();
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner).take();
        (world.expect("installed"), history.expect("installed"))
    }

    pub(crate) fn world(&self) -> Locked<'_, World> {
        Locked(self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn history(&self) -> Locked<'_, History> {
        Locked(self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The world, unless the run has ended: handles may outlive it.
    pub(crate) fn world_if_any(&self) -> Option<Locked<'_, World>> {
        let guard = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        guard.is_some().then_some(Locked(guard))
    }

    /// Records a node's event.
    pub(crate) fn emit(&self, host: usize, event: &dyn Event) {
        let mut world = self.world();
        let mut history = self.history();
        history.record(&mut world, host, event);
        let now = world.now();
        for (line, there, after) in history.due.drain(..) {
            world.schedule(now + after, Due::Fire { line, there: Some(there) });
        }
        if world.stop {
            world.schedule(now, Due::Phase);
        }
    }
}

/// Access to a part of the run.
pub(crate) struct Locked<'a, T>(MutexGuard<'a, Option<T>>);

impl<T> std::ops::Deref for Locked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("the run is over")
    }
}

impl<T> std::ops::DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the run is over")
    }
}

/// The one plugin: it owns net, disk and cpu of the run.
pub struct Plugin {
    /// World and history.
    pub shared: Arc<Shared>,
}

impl Simulator for Plugin {
    fn new(_: &GlobalRng, _: &TimeHandle, _: &madsim::Config) -> Plugin {
        Plugin { shared: Arc::new(Shared { world: Mutex::new(None), history: Mutex::new(None) }) }
    }

    fn create_node(&self, _: NodeId) {}

    fn reset_node(&self, _: NodeId) {}
}
