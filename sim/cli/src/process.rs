//! A worker process as the sweep sees it: asked for one seed at a time, so that what it dies of is known. The
//! program is started again as it is in memory (`/proc/self/exe`), so a sweep survives that it is rebuilt
//! meanwhile. A worker is a process group of its own: Ctrl-C is meant for the sweep, which then ends its
//! workers.
//!
//! How it died is told in words that depend on the seed alone: the signal, and whether it was for want of
//! stack or memory, which Rust says on stderr. A seed without a result after the sweep's patience, in wall
//! time, is ended: that is a limit and no measurement, so it is generous.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::outcome::{Class, exit};

use crate::ledger::unseal;
use crate::session::Failure;
use crate::terminal::err;
use crate::worker::{Request, ready};

/// The interrupt is looked for this often.
const GLANCE: Duration = Duration::from_millis(50);

/// How workers of a sweep are started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Everything behind the program's name.
    pub arguments: Vec<String>,
    /// What the sweep read: a worker that read something else runs something else.
    pub contents: String,
    /// Wall time that a seed may take.
    pub patience: Duration,
}

/// Why there is no result.
#[derive(Debug)]
pub enum Lost {
    /// The sweep ends.
    Stopped,
    /// The worker is gone: the kind of failure, and how it died.
    Died(Class, String),
}

/// A worker.
pub struct Process {
    /// Different for every worker of a sweep.
    pub number: u64,
    /// Seeds that it was asked for.
    pub served: u32,
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<(u64, String)>,
    reason: Option<JoinHandle<Option<Reason>>>,
}

/// What a process says of its own death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Memory,
    Stack,
}

impl Process {
    /// Starts a worker and waits until it is ready.
    pub fn start(launch: &Launch, number: u64, stop: &AtomicBool) -> Result<Process, Failure> {
        let failure =
            |text: String| Failure { code: exit::IO, text: format!("worker process: {text}") };
        let mut command = Command::new("/proc/self/exe");
        command.arg0("worker").args(&launch.arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| failure(e.to_string()))?;
        let stdin = child.stdin.take().expect("piped");
        let (stdout, stderr) =
            (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (sender, answers) = channel();
        let named = |name: &str| std::thread::Builder::new().name(name.to_string());
        let threads = named("answers")
            .spawn(move || listen(stdout, &sender))
            .and_then(|_| named("stderr").spawn(move || forward(stderr)));
        let reason = match threads {
            Ok(reason) => Some(reason),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failure(error.to_string()));
            }
        };
        let mut process = Process { number, served: 0, child, stdin, answers, reason };
        let expected = ready(&launch.contents).to_string();
        match process.answer(0, stop, launch.patience) {
            Ok(text) if text == expected => Ok(process),
            Ok(_) => Err(Failure::data("the scenario or plan was changed during the sweep")),
            Err(Lost::Stopped) => Ok(process),
            Err(Lost::Died(_, why)) => Err(failure(format!("it did not start: {why}"))),
        }
    }

    /// The result of a seed.
    pub fn ask(
        &mut self,
        request: Request,
        stop: &AtomicBool,
        patience: Duration,
    ) -> Result<String, Lost> {
        self.send(&request.line(), 1)?;
        self.answer(request.seed, stop, patience)
    }

    /// Hands over a request for so many seeds.
    pub fn send(&mut self, line: &str, seeds: u32) -> Result<(), Lost> {
        self.served += seeds;
        let sent = self.stdin.write_all(line.as_bytes());
        sent.and_then(|()| self.stdin.flush()).map_err(|_| self.buried())
    }

    /// Waits for the answer about a seed, the next of those that were asked for.
    pub fn answer(
        &mut self,
        seed: u64,
        stop: &AtomicBool,
        patience: Duration,
    ) -> Result<String, Lost> {
        let asked = Instant::now();
        loop {
            match self.answers.recv_timeout(GLANCE) {
                Ok((of, text)) if of == seed => return Ok(text),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.buried()),
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                    return Err(Lost::Stopped);
                }
                Err(RecvTimeoutError::Timeout) if asked.elapsed() >= patience => {
                    self.end();
                    let limit = host::unit::show(patience);
                    let why = format!("no result after {limit} of wall time");
                    return Err(Lost::Died(Class::Time, why));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Ends the process; how it ended if it had before.
    fn end(&mut self) -> Option<ExitStatus> {
        // One that is dying already keeps its own status.
        let _ = self.child.kill();
        self.child.wait().ok()
    }

    fn buried(&mut self) -> Lost {
        let status = self.end();
        let reason = self.reason.take().and_then(|thread| thread.join().ok().flatten());
        let how = status.map_or("in some way".to_string(), told);
        match reason {
            Some(Reason::Memory) => Lost::Died(
                Class::Memory,
                format!("worker died ({how}): more memory than the sweep's --memory"),
            ),
            Some(Reason::Stack) => {
                Lost::Died(Class::Died, format!("worker died ({how}): stack overflow"))
            }
            None => Lost::Died(Class::Died, format!("worker died ({how})")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Hands over answers until the process closes its stdout; the rest is what a node printed.
fn listen(stdout: impl Read, answers: &Sender<(u64, String)>) {
    for line in BufReader::new(stdout).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line);
        match unseal(&line) {
            Some(answer) => {
                if answers.send(answer).is_err() {
                    return;
                }
            }
            None if line.is_empty() => {}
            None => err(&format!("{line}\n")),
        }
    }
}

/// Passes on what a worker says on stderr, and remembers what it says of its death.
fn forward(stderr: impl Read) -> Option<Reason> {
    let mut reason = None;
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        reason = reason_in(&line).or(reason);
        err(&format!("{line}\n"));
    }
    reason
}

fn reason_in(line: &str) -> Option<Reason> {
    let memory = line.starts_with("memory allocation of ") && line.contains("failed");
    let stack = line.contains("has overflowed its stack");
    if memory { Some(Reason::Memory) } else { stack.then_some(Reason::Stack) }
}

fn told(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return status.code().map_or(status.to_string(), |code| format!("exit code {code}"));
    };
    let name = match signal {
        4 => "illegal instruction",
        6 => "abort",
        7 => "bus error",
        8 => "arithmetic error",
        9 => "kill",
        11 => "segmentation fault",
        15 => "termination",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal}: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_have_words() {
        assert_eq!(told(ExitStatus::from_raw(6)), "signal 6: abort");
        assert_eq!(told(ExitStatus::from_raw(11 | 0x80)), "signal 11: segmentation fault");
        assert_eq!(told(ExitStatus::from_raw(64)), "signal 64");
        assert_eq!(told(ExitStatus::from_raw(3 << 8)), "exit code 3");
    }

    #[test]
    fn a_process_names_its_reason() {
        let stack = "thread 'seed 7' (123) has overflowed its stack";
        assert_eq!(reason_in(stack), Some(Reason::Stack));
        assert_eq!(reason_in("memory allocation of 99 bytes failed"), Some(Reason::Memory));
        assert_eq!(reason_in("fatal runtime error: stack overflow, aborting"), None);
    }
}
