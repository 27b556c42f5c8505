//! Taking what a resident is at rest: the pages of its memories that changed, its globals, its handles. The guest is asked nothing; it does not know.
//!
//! Globals are stored by an added function in a memory of their own, so that they are pages too. The table of handles is that of the session, which mirrors the
//! engine's; whether it does is tried each time, by a handle that is handed in and dropped again.

use std::collections::BTreeMap;

use reel_abi::id::Digest;
use reel_abi::resident::Residue;
use reel_abi::types::Nanos;
use reel_abi::wire::{Wire, Writer};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::instance::{Instance, Ready};
use crate::calls::named::Named;
use crate::calls::session::{Pollable, TerminalInput};
use crate::engine::image::{ImageError, PAGE, PageAt};
use crate::engine::instrument::{AdoptedResource, LOAD, Plan, SAVE};
use crate::engine::memory::GuestMemories;
use crate::engine::resident::Absorbed;
use crate::runtime::drive::Stop;

/// Changed pages from which on an image that is the guest's alone takes them over, so that they are not looked at again.
const ABSORBED_PAGES: usize = 64;

/// Changed pages from which on a guest gets an image of its own, however large it is; of a small one, a quarter of its pages.
const OWN_IMAGE_PAGES: usize = 8192;

/// Why a resident cannot be captured now.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// Its component is none that can be.
    #[error("{0}")]
    Component(String),
    /// Its memories cannot be looked at.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What was added to it did not do what it is for.
    #[error("{0}")]
    Added(String),
    /// The table of handles is another than the host takes it for.
    #[error(
        "handle {found} was given where {expected} was to come: the table of handles is not what the host takes it for"
    )]
    Handles {
        /// What was to come.
        expected: u32,
        /// What came.
        found: u32,
    },
    /// It has a handle of a kind that its component does not import.
    #[error("it has a handle of {0}, which its component does not import")]
    Stranger(&'static str),
}

impl From<Stop> for CaptureError {
    fn from(stop: Stop) -> Self {
        Self::Added(match stop {
            Stop::Outcome(outcome) => outcome.to_string(),
            Stop::Diverged(_) | Stop::LogEnds(_) | Stop::Until(_) | Stop::Asleep(_) => {
                "a function that was added asked the host".to_owned()
            }
        })
    }
}

/// What a resident is at rest.
pub(crate) struct Captured {
    /// Bytes of each memory.
    pub memories: Vec<u64>,
    /// Pages that are others than at the last capture.
    pub pages: Vec<(PageAt, Box<[u8; PAGE]>)>,
    /// Whether these are all that differ from birth, so that no other page is to stay in the space.
    pub anew: bool,
    /// What the host keeps for it.
    pub residue: Residue,
}

/// What is known of a resident's pages since its birth, or since its image took them over: digests of those that were captured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    captured: BTreeMap<PageAt, u64>,
    /// What was captured and is not in its space.
    owed: Vec<PageAt>,
    /// Whether pages may be in its space of which nothing is known here.
    strange: bool,
}

/// What a capture has taken that is to reach the space.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pages: Vec<PageAt>,
    anew: bool,
}

impl Pages {
    /// Takes note of a page that is in the space.
    pub fn note(&mut self, at: PageAt, bytes: &[u8; PAGE]) {
        self.captured.insert(at, xxh3_64(bytes));
    }

    /// Of a resident in whose space there are pages of checkpoints that it was not brought back from.
    pub fn among_strangers() -> Self {
        Self { strange: true, ..Self::default() }
    }

    /// Has an image hold what was changed, if it is much, so that a fork need not copy it. What the space does not have yet is owed to it.
    fn share(&mut self, memories: &GuestMemories) -> Result<(), ImageError> {
        let changed = memories.changed()?;
        if !leave_to_image(memories, changed.len())? {
            return Ok(());
        }
        let captured = std::mem::take(&mut self.captured);
        for at in changed.iter().chain(captured.keys()) {
            if self.strange || captured.get(at) != Some(&xxh3_64(&memories.read_page(*at)?)) {
                self.owed.push(*at);
            }
        }
        Ok(())
    }

    /// What was captured has not reached the space: it is to be captured again.
    pub fn owe(&mut self, taken: Taken) {
        self.owed.extend(taken.pages);
        self.strange |= taken.anew;
    }
}

impl Captured {
    /// What is owed if it does not reach the space.
    pub fn taken(&self) -> Taken {
        Taken { pages: self.pages.iter().map(|(at, _)| *at).collect(), anew: self.anew }
    }
}

impl Ready {
    /// How the state of an instance is got at.
    pub fn plan_for(&self, instance: &Instance) -> Result<&Plan, CaptureError> {
        let plan = self.plan.as_ref().map_err(|why| CaptureError::Component(why.clone()))?;
        let wanted = plan.memories.len() + usize::from(plan.globals > 0);
        let found = instance.memories().sizes().len();
        if wanted != found {
            let why = format!("it has {found} memories, and {wanted} were expected: it uses the engine's collector");
            return Err(CaptureError::Component(why));
        }
        Ok(plan)
    }
}

/// Takes what has changed since the last capture.
pub(crate) async fn capture(
    instance: &mut Instance,
    ready: &Ready,
    pages: &mut Pages,
) -> Result<Captured, CaptureError> {
    let plan = ready.plan_for(instance)?;
    prepare(instance, plan).await?;
    let residue = instance.session().residue();
    let memories = instance.memories();
    let changed = memories.changed()?;
    let mut taken = Vec::new();
    let owed = std::mem::take(&mut pages.owed);
    let anew = std::mem::take(&mut pages.strange);
    // A page that was captured may have become again what the image has: then it is not among the changed.
    let again: Vec<_> = pages.captured.keys().copied().collect();
    for at in changed.iter().chain(&owed).chain(&again) {
        let bytes = Box::new(memories.read_page(*at)?);
        let digest = xxh3_64(&*bytes);
        if pages.captured.insert(*at, digest) != Some(digest) || owed.contains(at) {
            taken.push((*at, bytes));
        }
    }
    taken.sort_by_key(|(at, _)| *at);
    taken.dedup_by_key(|(at, _)| *at);
    let sizes = memories.sizes().into_iter().map(|bytes| bytes as u64).collect();
    if leave_to_image(memories, changed.len())? {
        pages.captured.clear();
    }
    Ok(Captured { memories: sizes, pages: taken, anew, residue })
}

/// Makes the pages that were changed ones of the guest's image, if they are many. Says whether it did.
fn leave_to_image(memories: &GuestMemories, changed: usize) -> Result<bool, ImageError> {
    if changed < ABSORBED_PAGES {
        return Ok(false);
    }
    if let Absorbed::Pages(_) = memories.absorb()? {
        return Ok(true);
    }
    let quarter = memories.sizes().iter().sum::<usize>() / PAGE / 4;
    if changed < quarter.min(OWN_IMAGE_PAGES) {
        return Ok(false);
    }
    let own = memories.copy()?;
    memories.adopt(&own)?;
    Ok(true)
}

/// Gives an instance that was just born the state of another one, which stays as it is. After an error it is of no use.
pub(crate) async fn copy(
    from: &mut Instance,
    to: &mut Instance,
    ready: &Ready,
    pages: &mut Pages,
) -> Result<(), CaptureError> {
    let plan = ready.plan_for(from)?;
    prepare(from, plan).await?;
    pages.share(from.memories())?;
    let residue = from.session().residue();
    to.session().handles.restoring = true;
    let sizes: Vec<u64> = from.memories().sizes().into_iter().map(|bytes| bytes as u64).collect();
    grow(to, plan, &sizes).await?;
    to.memories().fork_from(from.memories())?;
    put_back_rest(to, plan, &residue).await
}

/// A digest of a resident at rest: of its memories, its globals and what the host keeps for it but its time; of its memories alone if it cannot be captured.
pub(crate) async fn digest(instance: &mut Instance, ready: &Ready) -> Result<Digest, CaptureError> {
    if let Ok(plan) = ready.plan_for(instance) {
        prepare(instance, plan).await?;
    }
    let memories = instance.memories().digest().unwrap_or_default();
    let mut writer = Writer::new();
    if ready.plan_for(instance).is_ok() {
        // Time passes between two calls whatever is done.
        Residue { monotonic: Nanos(0), ..instance.session().residue() }.put(&mut writer);
    }
    Ok(Digest::of(&[&memories.to_le_bytes(), writer.bytes()].concat()))
}

/// The same with the session told that nothing of it is the guest's doing.
async fn prepare(instance: &mut Instance, plan: &Plan) -> Result<(), CaptureError> {
    instance.session().handles.restoring = true;
    let asked = ask(instance, plan).await;
    instance.session().handles.restoring = false;
    asked
}

/// Has the globals stored in their memory, and tries the table of handles.
async fn ask(instance: &mut Instance, plan: &Plan) -> Result<(), CaptureError> {
    if plan.globals > 0 {
        instance.call_added(SAVE, 0, &[]).await?;
    }
    let handles = &instance.session().handles;
    for (_, named) in handles.named() {
        resource(plan, named).ok_or(CaptureError::Stranger(named.kind()))?;
    }
    let expected = handles.next() + 1;
    let Some((placeholder, resource)) = placeholder(plan) else { return Ok(()) };
    let found = instance.adopt(&resource.adopt, &placeholder, u32::MAX - 1).await?;
    instance.call_added(&resource.drop, 0, &[wasmtime::component::Val::U32(found)]).await?;
    if found == expected { Ok(()) } else { Err(CaptureError::Handles { expected, found }) }
}

/// What the component calls the type of a handle.
pub(super) fn resource<'a>(plan: &'a Plan, named: &Named) -> Option<&'a AdoptedResource> {
    let (package, name): (&str, &str) = match named {
        Named::Descriptor(_) => ("wasi:filesystem/", "descriptor"),
        Named::DirectoryStream(_) => ("wasi:filesystem/", "directory-entry-stream"),
        Named::InputStream(_) => ("wasi:io/", "input-stream"),
        Named::OutputStream(_) => ("wasi:io/", "output-stream"),
        Named::Pollable(_) => ("wasi:io/", "pollable"),
        Named::ErrorText(_) => ("wasi:io/", "error"),
        Named::Bucket(_) => ("wasi:keyvalue/", "bucket"),
        Named::Cas(_) => ("wasi:keyvalue/", "cas"),
        Named::Savepoint(_) => ("reel:guest/", "savepoint"),
        Named::TerminalInput(_) => ("wasi:cli/", "terminal-input"),
        Named::TerminalOutput(_) => ("wasi:cli/", "terminal-output"),
        Named::Fields(_) => ("wasi:http/", "fields"),
        Named::IncomingRequest(_) => ("wasi:http/", "incoming-request"),
        Named::OutgoingRequest(_) => ("wasi:http/", "outgoing-request"),
        Named::RequestOptions(_) => ("wasi:http/", "request-options"),
        Named::ResponseOutparam(_) => ("wasi:http/", "response-outparam"),
        Named::IncomingResponse(_) => ("wasi:http/", "incoming-response"),
        Named::IncomingBody(_) => ("wasi:http/", "incoming-body"),
        Named::FutureTrailers(_) => ("wasi:http/", "future-trailers"),
        Named::OutgoingResponse(_) => ("wasi:http/", "outgoing-response"),
        Named::OutgoingBody(_) => ("wasi:http/", "outgoing-body"),
        Named::FutureIncomingResponse(_) => ("wasi:http/", "future-incoming-response"),
        Named::Network(_) => ("wasi:sockets/", "network"),
        Named::TcpSocket(_) => ("wasi:sockets/", "tcp-socket"),
        Named::UdpSocket(_) => ("wasi:sockets/", "udp-socket"),
        Named::AddressStream(_) => ("wasi:sockets/", "resolve-address-stream"),
        Named::IncomingDatagrams(_) => ("wasi:sockets/", "incoming-datagram-stream"),
        Named::OutgoingDatagrams(_) => ("wasi:sockets/", "outgoing-datagram-stream"),
        Named::Client(_) => ("wasi:messaging/", "client"),
        Named::Post(_) => ("wasi:messaging/", "message"),
        Named::Refused(_) => return None,
    };
    plan.resources.iter().find(|resource| resource.interface.starts_with(package) && resource.name == name)
}

/// Something of a type that the component imports, to stand where nothing does.
pub(super) fn placeholder(plan: &Plan) -> Option<(Named, &AdoptedResource)> {
    use crate::calls::session::{Descriptor, ErrorText, InputStream, OutputStream, Savepoint, TerminalOutput};
    use crate::txn::buckets::Bucket;
    use crate::txn::files::Place;
    use reel_abi::types::{DescriptorFlags, FsCode, NodeKind};
    let place = Place { tree: 0, node: 0 };
    let all = [
        Named::Pollable(Pollable::Ready),
        Named::OutputStream(OutputStream::Stdout),
        Named::InputStream(InputStream::Stdin),
        Named::ErrorText(ErrorText::File(FsCode::Io)),
        Named::Descriptor(Descriptor { place, kind: NodeKind::File, flags: DescriptorFlags(0) }),
        Named::Bucket(Bucket::of_prefix(Vec::new())),
        Named::Savepoint(Savepoint { name: 0 }),
        Named::TerminalInput(TerminalInput),
        Named::TerminalOutput(TerminalOutput),
    ];
    all.into_iter().find_map(|named| resource(plan, &named).map(|resource| (named, resource)))
}

/// Puts what was captured over an instance that was just born: sizes, pages, globals, handles, and what the host keeps. After an error the instance is
/// of no use.
pub(crate) async fn put_back(
    instance: &mut Instance,
    ready: &Ready,
    memories: &[u64],
    pages: impl Iterator<Item = Result<(PageAt, Box<[u8; PAGE]>), CaptureError>>,
    residue: &Residue,
    known: &mut Pages,
) -> Result<(), CaptureError> {
    let plan = ready.plan_for(instance)?;
    instance.session().handles.restoring = true;
    grow(instance, plan, memories).await?;
    for page in pages {
        let (at, bytes) = page?;
        instance.memories().write_page(at, &bytes)?;
        known.note(at, &bytes);
    }
    put_back_rest(instance, plan, residue).await
}

/// Globals, handles, and what the host keeps.
async fn put_back_rest(instance: &mut Instance, plan: &Plan, residue: &Residue) -> Result<(), CaptureError> {
    if plan.globals > 0 {
        instance.call_added(LOAD, 0, &[]).await?;
    }
    super::table::rebuild(instance, plan, residue).await?;
    instance.session().handles.restoring = false;
    if !instance.session().restore(residue) {
        return Err(CaptureError::Added("its table of handles makes no sense".into()));
    }
    Ok(())
}

async fn grow(instance: &mut Instance, plan: &Plan, wanted: &[u64]) -> Result<(), CaptureError> {
    let sizes = instance.memories().sizes();
    if wanted.len() != sizes.len() {
        return Err(CaptureError::Added(format!("{} memories were captured, it has {}", wanted.len(), sizes.len())));
    }
    for ((wanted, now), memory) in wanted.iter().zip(sizes).zip(&plan.memories) {
        let more = wanted.saturating_sub(now as u64) / memory.page_bytes;
        if more == 0 {
            continue;
        }
        let (arg, done) = match memory.memory64 {
            true => (wasmtime::component::Val::U64(more), wasmtime::component::Val::S64(-1)),
            false => (wasmtime::component::Val::U32(more as u32), wasmtime::component::Val::S32(-1)),
        };
        if instance.call_added(&memory.grow, 1, &[arg]).await?.first() == Some(&done) {
            return Err(CaptureError::Added(format!("a memory could not grow to {wanted} bytes")));
        }
    }
    Ok(())
}
