//! `wasi:io/poll`: waiting. Which pollables were ready, in the order the guest learnt it, is an event.

use std::time::Duration;

use reel_abi::types::{Resource as Kind, WallReading};
use reel_abi::vocabulary::{PollBlock, PollList, PollReady};
use wasmtime::component::Resource;

use super::bindings::wasi::io::poll;
use super::handles::number;
use super::session::{Pollable, Session};
use crate::gate::Halt;
use crate::port::Input;

/// Most pollables in one list; stops a guest from making the host look at millions of them.
const POLLABLES: usize = 100_000;

/// What there is to wait for: `None` is ready now, `Some` is a time from now.
enum Wait {
    Now,
    After(Duration),
    Stdin,
}

impl Session {
    /// What there is to wait for. Where the guest slept before, its first timer counts from when it was to wake.
    fn waits_of(&mut self, pollables: &[Resource<Pollable>]) -> Result<Vec<Wait>, Halt> {
        let slept = self.gate.slept()?;
        let mut waits = pollables.iter().map(|pollable| self.wait_of(pollable)).collect::<Result<Vec<_>, _>>()?;
        if let (Some(until), Some(first)) = (slept, first(&waits)) {
            let left = Duration::from_nanos(until.0.saturating_sub(self.gate.wall().0));
            for wait in &mut waits {
                if let Wait::After(duration) = wait {
                    *wait = Wait::After(left + duration.saturating_sub(first));
                }
            }
        }
        Ok(waits)
    }

    /// Lets the guest sleep if it would only wait, and for long.
    fn sleep_if_long(&mut self, waits: &[Wait]) -> Result<(), Halt> {
        let Some(long) = self.sleeps_after.filter(|_| !self.gate.replaying()) else { return Ok(()) };
        // What ends after the deadline of the call is waited for, until the deadline.
        let deadline = match self.gate.limits().deadline_millis {
            0 => u64::MAX,
            millis => millis.saturating_mul(1_000_000),
        };
        let only_timers = waits.iter().all(|wait| matches!(wait, Wait::After(_)));
        match first(waits).map(|first| u64::try_from(first.as_nanos()).unwrap_or(u64::MAX)) {
            Some(first) if only_timers && (long..deadline).contains(&first) => {
                let until = WallReading(self.gate.wall().0.saturating_add(first));
                Err(self.gate.sleep(until)?)
            }
            _ => Ok(()),
        }
    }

    fn wait_of(&self, pollable: &Resource<Pollable>) -> Result<Wait, Halt> {
        Ok(match *self.handles.get(pollable)? {
            Pollable::Ready => Wait::Now,
            Pollable::Stdin => Wait::Stdin,
            Pollable::Timer { deadline } => match deadline.saturating_sub(self.gate.monotonic().0) {
                0 => Wait::Now,
                nanos => Wait::After(Duration::from_nanos(nanos)),
            },
        })
    }
}

/// How long it takes until the first timer is ready; nothing if there is none.
fn first(waits: &[Wait]) -> Option<Duration> {
    waits.iter().filter_map(|wait| if let Wait::After(duration) = wait { Some(*duration) } else { None }).min()
}

/// Waits until something is ready and says what, by index.
async fn wait(waits: Vec<Wait>, stdin: &mut Option<Box<dyn Input>>) -> Vec<u32> {
    let begun = tokio::time::Instant::now();
    loop {
        let since = begun.elapsed();
        let stdin_ready = stdin.as_mut().is_none_or(|stdin| stdin.is_ready());
        let ready = |wait: &Wait| match wait {
            Wait::Now => true,
            Wait::After(duration) => *duration <= since,
            Wait::Stdin => stdin_ready,
        };
        let indexes: Vec<u32> = (0u32..).zip(&waits).filter(|(_, wait)| ready(wait)).map(|(index, _)| index).collect();
        if !indexes.is_empty() {
            return indexes;
        }
        let next = first(&waits);
        let wants_stdin = waits.iter().any(|wait| matches!(wait, Wait::Stdin));
        let typed = async {
            match stdin {
                Some(stdin) if wants_stdin => stdin.ready().await,
                _ => std::future::pending().await,
            }
        };
        let timed = async {
            match next {
                Some(duration) => tokio::time::sleep_until(begun + duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = typed => {}
            () = timed => {}
        }
    }
}

impl poll::Host for Session {
    async fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() || pollables.len() > POLLABLES {
            let message = format!("a list of {} pollables; it must have 1 to {POLLABLES}", pollables.len());
            return Err(Halt::Trap(message).into());
        }
        let waits = self.waits_of(&pollables)?;
        self.sleep_if_long(&waits)?;
        let call = PollList { pollables: pollables.iter().map(number).collect() };
        let stdin = &mut self.console.stdin;
        Ok(self.gate.pass_async(call, async { Ok(wait(waits, stdin).await) }).await?)
    }
}

impl poll::HostPollable for Session {
    fn ready(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<bool> {
        let wait = self.wait_of(&pollable)?;
        let stdin = &mut self.console.stdin;
        Ok(self.gate.pass(PollReady { pollable: number(&pollable) }, |_, _| {
            Ok(match wait {
                Wait::Now => true,
                Wait::After(_) => false,
                Wait::Stdin => stdin.as_mut().is_none_or(|stdin| stdin.is_ready()),
            })
        })?)
    }

    async fn block(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        let waits = self.waits_of(std::slice::from_ref(&pollable))?;
        self.sleep_if_long(&waits)?;
        let call = PollBlock { pollable: number(&pollable) };
        let stdin = &mut self.console.stdin;
        let live = async {
            wait(waits, stdin).await;
            Ok(())
        };
        Ok(self.gate.pass_async(call, live).await?)
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Pollable, &pollable)
    }
}
