//! `wasi:io/poll`: waiting. Which pollables were ready, in the order the guest learnt it, is an event.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reel_abi::limits::LimitKind;
use reel_abi::net::Side;
use reel_abi::types::{Resource as Kind, WallReading};
use reel_abi::vocabulary::{PollBlock, PollList, PollReady};
use wasmtime::component::Resource;

use super::bindings::wasi::io::poll;
use super::handles::number;
use super::http::state::Http;
use super::session::{Pollable, Session};
use crate::gate::{Gate, Halt};
use crate::net::grants::Grants;
use crate::port::{Clock, Input};
use crate::sockets::table::Sockets;

/// Most pollables in one list; stops a guest from making the host look at millions of them.
const POLLABLES: usize = 100_000;

/// How often those who answer from the log are waited for, before time passes.
const LOOKS: u32 = 4;

/// What there is to wait for: `None` is ready now, `Some` is a time from now.
enum Wait {
    Now,
    After(Duration),
    Stdin,
    Body(u32),
    Response(u32),
    Socket(u32, Side),
}

/// Where what is waited for comes from.
struct Sources<'a> {
    stdin: &'a mut Option<Box<dyn Input>>,
    http: &'a mut Http,
    sockets: &'a mut Sockets,
    grants: &'a Grants,
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

    /// What waits for the log to be durable leaves before anything waits for its effect.
    async fn let_leave(&mut self) -> Result<(), Halt> {
        self.send_what_is_complete().await?;
        self.release_sockets().await
    }

    /// Lets the guest sleep if it would only wait, and for long.
    fn sleep_if_long(&mut self, waits: &[Wait]) -> Result<(), Halt> {
        let Some(long) = self.sleeps_after.filter(|_| !self.gate.replaying() && !self.sockets.is_any()) else {
            return Ok(());
        };
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
            Pollable::Body { number } => Wait::Body(number),
            Pollable::Response { number } => Wait::Response(number),
            Pollable::Socket { socket, side } => Wait::Socket(socket, side),
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
async fn wait(waits: Vec<Wait>, mut sources: Sources<'_>, clock: &dyn Clock, limit: u64) -> Result<Vec<u32>, Halt> {
    let (begun, mut skipped, mut looked) = (tokio::time::Instant::now(), Duration::ZERO, 0);
    loop {
        let since = if clock.moved_by().is_some() { skipped } else { begun.elapsed() };
        let mut ready = |wait: &Wait| is_ready(wait, since, &mut sources);
        let indexes: Vec<u32> = (0u32..).zip(&waits).filter(|(_, wait)| ready(wait)).map(|(index, _)| index).collect();
        if !indexes.is_empty() {
            return Ok(indexes);
        }
        let next = first(&waits);
        if let Some(time) = clock.moved_by() {
            looked += 1;
            if looked <= LOOKS {
                // Whoever answers from the log does so at once.
                tokio::task::yield_now().await;
                continue;
            }
            let next = next.ok_or_else(|| Halt::Host("it waits for what did not come then".into()))?;
            if !time.skip(u64::try_from(next.saturating_sub(skipped).as_nanos()).unwrap_or(u64::MAX)) {
                return Err(Halt::Limit { kind: LimitKind::Deadline, limit });
            }
            skipped = skipped.max(next);
            continue;
        }
        let wants_stdin = waits.iter().any(|wait| matches!(wait, Wait::Stdin));
        let Sources { stdin, http, sockets, grants } = &mut sources;
        let typed = async {
            match stdin {
                Some(stdin) if wants_stdin => stdin.ready().await,
                _ => std::future::pending().await,
            }
        };
        let came = came(&waits, http);
        let moved = moved(&waits, sockets, grants);
        let timed = async {
            match next {
                Some(duration) => tokio::time::sleep_until(begun + duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = typed => {}
            () = timed => {}
            () = came => {}
            () = moved => {}
        }
    }
}

/// Whether what is waited for is there, `since` after the wait began.
fn is_ready(wait: &Wait, since: Duration, sources: &mut Sources<'_>) -> bool {
    let Sources { stdin, http, sockets, grants } = sources;
    match wait {
        Wait::Now => true,
        Wait::After(duration) => *duration <= since,
        Wait::Stdin => stdin.as_mut().is_none_or(|stdin| stdin.is_ready()),
        Wait::Body(number) => http.incoming(*number).is_none_or(|body| body.is_ready()),
        Wait::Response(number) => http.is_back(*number),
        Wait::Socket(socket, side) => sockets.is_ready(*socket, *side, grants, &mut Context::from_waker(Waker::noop())),
    }
}

/// Ends when something of HTTP that is waited for has come.
async fn came(waits: &[Wait], http: &mut Http) {
    let Http { incoming, sent, .. } = http;
    let wanted = |number: u32| waits.iter().any(|wait| matches!(wait, Wait::Body(body) if *body == number));
    let bodies = (0u32..).zip(incoming).filter(|(number, _)| wanted(*number));
    let mut bodies: Vec<_> = bodies.filter_map(|(_, body)| Some(body.as_mut()?.ready())).collect();
    std::future::poll_fn(|context| {
        let mut came = bodies.iter_mut().any(|body| body.as_mut().poll(context).is_ready());
        for wait in waits {
            if let Wait::Response(number) = wait {
                came |= sent.get_mut(*number as usize).is_none_or(|sent| sent.is_back(Some(context)));
            }
        }
        if came { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Ends when a socket that is waited for is ready. Meanwhile what was written over others leaves.
async fn moved(waits: &[Wait], sockets: &mut Sockets, grants: &Grants) {
    std::future::poll_fn(|context| {
        sockets.pump(context);
        let mut ready = false;
        for wait in waits {
            if let Wait::Socket(socket, side) = wait {
                ready |= sockets.is_ready(*socket, *side, grants, context);
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Session {
    fn sources(&mut self) -> (&mut Gate, Sources<'_>) {
        let (stdin, http) = (&mut self.console.stdin, &mut self.http);
        (&mut self.gate, Sources { stdin, http, sockets: &mut self.sockets, grants: &self.setup.net })
    }
}

impl poll::Host for Session {
    async fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() || pollables.len() > POLLABLES {
            let message = format!("a list of {} pollables; it must have 1 to {POLLABLES}", pollables.len());
            return Err(Halt::Trap(message).into());
        }
        self.let_leave().await?;
        let waits = self.waits_of(&pollables)?;
        self.sleep_if_long(&waits)?;
        let call = PollList { pollables: pollables.iter().map(number).collect() };
        if self.gate.leave_unless(&call)? {
            self.let_leave().await?;
        }
        let (clock, limit) = (self.gate.clock(), self.gate.limits().deadline_millis);
        let (gate, sources) = self.sources();
        Ok(gate.pass_async(call, wait(waits, sources, &*clock, limit)).await?)
    }
}

impl poll::HostPollable for Session {
    async fn ready(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<bool> {
        self.let_leave().await?;
        let wait = self.wait_of(&pollable)?;
        let (gate, mut sources) = self.sources();
        let call = PollReady { pollable: number(&pollable) };
        Ok(gate.pass(call, |_, _| Ok(is_ready(&wait, Duration::ZERO, &mut sources)))?)
    }

    async fn block(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.let_leave().await?;
        let waits = self.waits_of(std::slice::from_ref(&pollable))?;
        self.sleep_if_long(&waits)?;
        let call = PollBlock { pollable: number(&pollable) };
        if self.gate.leave_unless(&call)? {
            self.let_leave().await?;
        }
        let (clock, limit) = (self.gate.clock(), self.gate.limits().deadline_millis);
        let (gate, sources) = self.sources();
        let live = async { wait(waits, sources, &*clock, limit).await.map(drop) };
        Ok(gate.pass_async(call, live).await?)
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Pollable, &pollable)
    }
}
