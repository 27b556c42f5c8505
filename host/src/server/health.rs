//! Whether the server is well, and what it has counted: on a listener of its own, so that no guest's path is in the way.
//!
//! ```text
//! /healthz   200 as long as the process does its work; 503 when the database accepts nothing more
//! /readyz    200 while requests are taken; 503 before that and while those under way are waited for
//! /metrics   counters, for Prometheus
//! ```

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reel_store::Store;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::LocalSet;

use super::metrics::{self, Surveyed};
use super::tally::{GUESTS, Tally};
use crate::runtime::resident::Household;
use crate::world::process;

/// Connections at once; who comes beyond waits in the system's queue.
const CONNECTIONS: usize = 64;

/// How long a client may take for the head of a request, and a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a connection may last; stops one that never reads its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(300);

/// Bytes of a head.
const HEAD_BYTES: usize = 16 << 10;

/// Dead letters of a guest that are counted; stops a scrape from reading through millions.
const DEAD_LETTERS: usize = 1000;

const READY: u8 = 1;
const DRAINING: u8 = 2;

/// What is looked at.
pub struct Watched {
    store: Store,
    household: Arc<Household>,
    tally: Arc<Tally>,
    /// 0, [`READY`], [`DRAINING`]: where it is between its beginning and its end.
    phase: AtomicU8,
    /// Threads that took connections when everything was prepared.
    threads: AtomicUsize,
}

impl Watched {
    /// A server that begins.
    pub fn new(store: &Store, household: &Arc<Household>, tally: &Arc<Tally>) -> Self {
        let (phase, threads) = Default::default();
        Self { store: store.clone(), household: Arc::clone(household), tally: Arc::clone(tally), phase, threads }
    }

    /// Everything is prepared.
    pub fn ready(&self) {
        self.threads.store(self.tally.threads.load(Ordering::Acquire), Ordering::Release);
        self.phase.store(READY, Ordering::Release);
    }

    /// No more requests are taken.
    pub fn draining(&self) {
        self.phase.store(DRAINING, Ordering::Release);
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let said = |said: Result<&str, String>| match said {
            Ok(words) => plain(StatusCode::OK, words),
            Err(words) => plain(StatusCode::SERVICE_UNAVAILABLE, &words),
        };
        match request.uri().path() {
            "/healthz" => said(self.is_well().map(|()| "ok")),
            "/readyz" => said(self.is_ready().map(|()| "ready")),
            "/metrics" => {
                let text = metrics::text(&self.tally, &self.survey());
                let mut response = plain(StatusCode::OK, "");
                *response.body_mut() = text.into();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::MEDIA_TYPE));
                response
            }
            _ => plain(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics"),
        }
    }

    fn is_well(&self) -> Result<(), String> {
        self.store.accepts().map_err(|error| error.to_string())?;
        let (there, wanted) = (self.tally.threads.load(Ordering::Acquire), self.threads.load(Ordering::Acquire));
        match self.phase.load(Ordering::Acquire) {
            READY if there < wanted => Err(format!("{} of {wanted} threads have ended", wanted - there)),
            _ => Ok(()),
        }
    }

    fn is_ready(&self) -> Result<(), String> {
        self.is_well()?;
        match self.phase.load(Ordering::Acquire) {
            READY => Ok(()),
            DRAINING => Err("it is to stop: no more requests are taken".to_owned()),
            _ => Err("not everything is prepared yet".to_owned()),
        }
    }

    fn survey(&self) -> Surveyed {
        let messages = self.household.messages(GUESTS, DEAD_LETTERS).unwrap_or_else(|error| {
            tracing::warn!(%error, "the messages cannot be counted");
            Vec::new()
        });
        Surveyed {
            store: Some(self.store.tally()),
            awake: self.household.awake(),
            messages: messages.into_iter().map(|(name, all, dead)| (name.to_string(), all, dead)).collect(),
            resident_bytes: process::resident_bytes(),
            descriptors: process::open_descriptors(),
            ready: self.is_ready().is_ok(),
        }
    }
}

fn plain(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(format!("{words}\n").into());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A listener that tells how the server is, as long as this is there.
pub struct Health {
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    addresses: Vec<SocketAddr>,
}

impl Health {
    /// Begins to listen.
    pub fn new(listeners: Vec<TcpListener>, watched: &Arc<Watched>) -> io::Result<Self> {
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let watched = Arc::clone(watched);
        let thread = std::thread::spawn(move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async move {
                let seats = Arc::new(Semaphore::new(CONNECTIONS));
                for listener in listeners {
                    tokio::task::spawn_local(listen(listener, Arc::clone(&watched), Arc::clone(&seats)));
                }
                // Also when whoever holds the other end has gone.
                let _ = stopped.await;
            });
        });
        Ok(Self { thread: Some(thread), stop: Some(stop), addresses })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen(listener: TcpListener, watched: Arc<Watched>, seats: Arc<Semaphore>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a socket does not listen"),
    };
    let watched = Rc::new(watched);
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, perhaps: not at once again.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let watched = Rc::clone(&watched);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = watched.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(seat);
        });
    }
}
