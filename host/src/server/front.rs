//! Threads that take connections.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::connection::answer;
use super::homes::{Errands, Homes, execute};
use super::routes::Routes;
use super::secure::secure;
use super::tally::{Counted, Tally};
use super::traces::Traces;
use crate::runtime::handlers::Handlers;
use crate::world::certificates::Certificates;
use crate::world::clock::HostClock;
use crate::world::entropy::KernelEntropy;

/// How long a client may take for the head of a request, and a connection may be idle; stops those that send a byte now and then.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Bytes of a head; stops a header bomb.
const HEAD_BYTES: usize = 128 << 10;

/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 100;

/// Connections at once; who comes beyond waits in the system's queue.
const CONNECTIONS: usize = 20_000;

/// How long requests under way may take when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Who answers which requests; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Signposts(Arc<RwLock<Arc<Routes>>>);

impl Signposts {
    /// The routes as they are now.
    pub fn now(&self) -> Arc<Routes> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Requests that come from now on go by these routes.
    pub fn set(&self, routes: Routes) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }
}

/// How a front is set up.
pub struct FrontSettings {
    /// Who answers.
    pub signposts: Signposts,
    /// Sockets that listen, each with the address it was asked for.
    pub listeners: Vec<TcpListener>,
    /// Threads.
    pub threads: usize,
    /// Requests under way at once; more are told to come again.
    pub at_once: usize,
    /// What speaks TLS on all of them; without it they do not.
    pub certificates: Option<Arc<Certificates>>,
    /// Where it is counted.
    pub tally: Arc<Tally>,
}

/// Why there is no front.
#[derive(Debug, Error)]
pub enum FrontError {
    /// The system refuses.
    #[error("cannot take connections: {0}")]
    System(#[from] io::Error),
}

/// What the threads share.
pub struct Shared {
    /// Who answers.
    pub handlers: Arc<Handlers>,
    signposts: Signposts,
    /// Where requests are executed.
    pub homes: Homes,
    /// What is counted.
    pub tally: Arc<Tally>,
    /// Most requests under way.
    pub at_once: usize,
    /// To which traces requests belong.
    pub traces: Arc<Traces>,
    /// Time.
    pub clock: HostClock,
    certificates: Option<Arc<Certificates>>,
}

impl Shared {
    /// The routes as they are now.
    pub fn routes(&self) -> Arc<Routes> {
        self.signposts.now()
    }
}

/// Connections are taken as long as this is there.
pub struct Front {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
}

impl Front {
    /// Begins to take connections.
    pub fn new(settings: FrontSettings, handlers: &Arc<Handlers>) -> Result<Self, FrontError> {
        let (stop, stopped) = watch::channel(false);
        let FrontSettings { signposts, at_once, certificates, tally, .. } = &settings;
        let traces = Arc::new(Traces::new(&mut KernelEntropy::new())?);
        let addresses = settings.listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let mut threads = Vec::new();
        for (homes, errands) in Homes::new(settings.threads.max(1)) {
            let listeners = settings.listeners.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>()?;
            let (handlers, signposts, traces) = (Arc::clone(handlers), signposts.clone(), Arc::clone(&traces));
            let (at_once, certificates, tally) = (*at_once, certificates.clone(), Arc::clone(tally));
            let (clock, stopped) = (HostClock::new(), stopped.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (here, _) = Counted::new(&tally, |tally| &tally.threads);
            threads.push(std::thread::spawn(move || {
                let tasks = LocalSet::new();
                let shared = Shared { handlers, signposts, homes, tally, at_once, traces, clock, certificates };
                tasks.block_on(&runtime, take_connections(Rc::new(shared), listeners, errands, stopped));
                drop(here);
            }));
        }
        Ok(Self { threads, stop, addresses })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections, and waits for the requests under way.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

async fn take_connections(
    shared: Rc<Shared>,
    listeners: Vec<TcpListener>,
    mut errands: Errands,
    mut stopped: watch::Receiver<bool>,
) {
    let open = Rc::<Cell<usize>>::default();
    let handlers = Arc::clone(&shared.handlers);
    tokio::task::spawn_local(async move {
        while let Some(errand) = errands.recv().await {
            execute(&handlers, errand);
        }
    });
    for listener in listeners {
        let (shared, open, stopped) = (Rc::clone(&shared), Rc::clone(&open), stopped.clone());
        tokio::task::spawn_local(listen(shared, listener, open, stopped));
    }
    let _ = stopped.wait_for(|stopped| *stopped).await;
    let drained = async {
        while open.get() > 0 || shared.tally.under_way.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
}

/// Takes the connections of a listener, which is closed when it is to stop: who comes then is refused by the system.
async fn listen(shared: Rc<Shared>, listener: TcpListener, open: Rc<Cell<usize>>, mut stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a socket does not listen"),
    };
    loop {
        let taken = async {
            while shared.tally.connections.load(Ordering::Relaxed) >= CONNECTIONS {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            listener.accept().await
        };
        let taken = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            taken = taken => taken,
        };
        let stream = match taken {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, perhaps: not at once again.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        shared.tally.taken.fetch_add(1, Ordering::Relaxed);
        let (counted, _) = Counted::new(&shared.tally, |tally| &tally.connections);
        let here = Here::new(&open);
        let (shared, mut stopped) = (Rc::clone(&shared), stopped.clone());
        tokio::task::spawn_local(async move {
            let _ = stream.set_nodelay(true);
            match shared.certificates.as_ref().map(|certificates| certificates.acceptor()) {
                None => serve(shared, stream, "http", stopped).await,
                Some(acceptor) => {
                    let secured = tokio::select! {
                        secured = secure(&acceptor, stream) => secured,
                        // Nothing was asked yet.
                        _ = stopped.wait_for(|stopped| *stopped) => None,
                    };
                    match secured {
                        Some(stream) => serve(shared, stream, "https", stopped).await,
                        None => drop(shared.tally.unsecured.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            }
            drop((counted, here));
        });
    }
}

/// One of the connections of a thread.
struct Here(Rc<Cell<usize>>);

impl Here {
    fn new(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn serve(
    shared: Rc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    scheme: &'static str,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = Builder::new(LocalExecutor);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(HEAD_TIME)
        .keep_alive_timeout(HEAD_TIME);
    let service = service_fn(move |request| {
        let shared = Rc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(answer(shared, request, scheme).await) }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.wait_for(|stopped| *stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's affair.
        tracing::debug!(error = %error, "a connection ended");
    }
}

/// Tasks stay on the thread of their connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: std::future::Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
