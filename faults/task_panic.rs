//! One task of the node panics when it is polled next: a bug in a corner of the program, an assertion
//! that some input trips. The node contains that or ends; here a panic that leaves a task ends the
//! process. It must not leave a node that limps on without the task. A supervisor starts the node
//! again after 100 ms, so a run does not fail over the panic itself.
//!
//! The task is one of the name `task`, or of a name drawn among those that the host's tasks have. It
//! does not panic if it is not polled before the fault ends. An effect is a panic.
//!
//! Left out: panics inside `Drop`, which the kernel's own tests have; aborts, which are `crash`.

use std::sync::Arc;

use host::settings::Text;
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `task_panic`.
    pub struct Params {
        /// The task's name, as the node spawned it; empty: drawn among those that there are.
        task: Text = "";
    }
}

struct TaskPanic {
    task: String,
}

/// The word `task_panic`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "One task of the node panics when it is polled next, `task` or a drawn one; a node that \
                 ends over it is started again after 100 ms.";
    fault("task_panic", about, |p: Params| TaskPanic { task: p.task.0 })
}

impl Fault for TaskPanic {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let one = |host: &usize| {
            let task = control.panic_task(*host, &self.task).unwrap_or("no task");
            format!("{} {task}", control.name(*host))
        };
        hosts.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.spare_tasks(*host);
        }
    }
}
