//! Guests that do one step when they are told to, so that a test decides how several runs take turns.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;

use reel_host::port::{Input, Waiting};
use reel_host::runtime::RunReport;

use crate::lab::{KeptOutput, Lab, Trial};

/// A run of `kvtool` on a thread of its own, fed line by line.
pub struct Puppet {
    strings: Arc<Strings>,
    output: KeptOutput,
    thread: Option<JoinHandle<RunReport>>,
}

#[derive(Default)]
struct Strings {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<u8>,
    ended: bool,
    /// Whether the guest waits for a line.
    idle: bool,
    over: bool,
    waker: Option<Waker>,
}

impl Strings {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Puppet {
    /// Begins a run in the space `main` and returns when it waits for its first line. `hold` lets it be executed again unnoticed.
    pub fn begin(lab: &Lab, bytes: &[u8], hold: bool) -> Self {
        Self::begin_with(lab, bytes, &Trial { hold_output: hold, ..Trial::default() })
    }

    /// The same with other settings.
    pub fn begin_with(lab: &Lab, bytes: &[u8], trial: &Trial) -> Self {
        let strings = Arc::new(Strings::default());
        let output = KeptOutput::default();
        let mut surroundings = lab.surroundings(trial, &output);
        surroundings.console.stdin = Some(Box::new(Fed(Arc::clone(&strings))));
        let request = lab.request(bytes, trial);
        let (store, engines, ended) = (lab.store.clone(), lab.engines.clone(), Arc::clone(&strings));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
            let interrupt = std::future::pending();
            let run = reel_host::runtime::run(&store, &engines, request, surroundings, interrupt, &|| ());
            let report = runtime.block_on(run);
            ended.lock().over = true;
            ended.changed.notify_all();
            report.expect("run")
        });
        let puppet = Self { strings, output, thread: Some(thread) };
        puppet.wait();
        puppet
    }

    /// Has the guest do a line, and returns when it is done.
    pub fn step(&self, line: &str) -> &Self {
        let mut state = self.strings.lock();
        state.lines.extend(line.bytes().chain([b'\n']));
        state.idle = false;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        drop(state);
        self.wait();
        self
    }

    /// What it has shown so far.
    pub fn said(&self) -> String {
        self.output.text()
    }

    /// Lets the run come to its end.
    pub fn end(mut self) -> (RunReport, String) {
        let mut state = self.strings.lock();
        state.ended = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        drop(state);
        let report = self.thread.take().expect("once").join().expect("no panic");
        (report, self.output.text())
    }

    fn wait(&self) {
        let state = self.strings.lock();
        let busy = |state: &mut State| !(state.over || (state.idle && state.lines.is_empty()));
        drop(self.strings.changed.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Standard input whose lines come when the test says so.
struct Fed(Arc<Strings>);

impl Input for Fed {
    fn ready(&mut self) -> Waiting<'_, ()> {
        Box::pin(std::future::poll_fn(|context| {
            let mut state = self.0.lock();
            if !state.lines.is_empty() || state.ended {
                return Poll::Ready(());
            }
            state.idle = true;
            state.waker = Some(context.waker().clone());
            self.0.changed.notify_all();
            Poll::Pending
        }))
    }

    fn is_ready(&mut self) -> bool {
        let state = self.0.lock();
        !state.lines.is_empty() || state.ended
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.0.lock();
        if state.lines.is_empty() {
            return Ok(if state.ended { None } else { Some(Vec::new()) });
        }
        let count = max.min(state.lines.len());
        Ok(Some(state.lines.drain(..count).collect()))
    }

    fn is_terminal(&self) -> bool {
        false
    }
}
