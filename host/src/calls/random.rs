//! `wasi:random`.

use reel_abi::types::{DATA_INLINE_BYTES, Data, Draw};
use reel_abi::vocabulary::{InsecureBytes, InsecureSeed, InsecureU64, RandomBytes, RandomU64};
use reel_store::Blobs;

use super::bindings::wasi::random::{insecure, insecure_seed, random};
use super::session::Session;
use crate::gate::Halt;
use crate::port::Entropy;
use crate::txn::lower::blob;

/// Most random bytes in one call; stops a guest from making the host allocate without end.
const RANDOM_BYTES: u64 = 64 << 20;

impl random::Host for Session {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        refuse_too_many(len)?;
        let (entropy, blobs) = (&mut self.entropy, self.store.blobs());
        let data = self.gate.pass(RandomBytes { len }, |_, _| bytes(entropy, blobs, len))?;
        Ok(read(data, blobs)?)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let entropy = &mut self.entropy;
        Ok(self.gate.pass(RandomU64 {}, |_, _| draw(entropy))?.0)
    }
}

impl insecure::Host for Session {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        refuse_too_many(len)?;
        let (entropy, blobs) = (&mut self.entropy, self.store.blobs());
        let data = self.gate.pass(InsecureBytes { len }, |_, _| bytes(entropy, blobs, len))?;
        Ok(read(data, blobs)?)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        let entropy = &mut self.entropy;
        Ok(self.gate.pass(InsecureU64 {}, |_, _| draw(entropy))?.0)
    }
}

impl insecure_seed::Host for Session {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let (entropy, known) = (&mut self.entropy, self.insecure_seed);
        // The specification means this to be one value for a program, however often it asks.
        let seed = self.gate.pass(InsecureSeed {}, |_, _| match known {
            Some(seed) => Ok(seed),
            None => Ok((draw(entropy)?, draw(entropy)?)),
        })?;
        self.insecure_seed = Some(seed);
        Ok((seed.0.0, seed.1.0))
    }
}

fn fill(entropy: &mut Option<Box<dyn Entropy>>, buffer: &mut [u8]) -> Result<(), Halt> {
    let Some(entropy) = entropy else { return Err(Halt::Host("a replay wanted to draw random bytes".into())) };
    entropy.fill(buffer).map_err(|e| Halt::host("drawing random bytes", &e))
}

fn draw(entropy: &mut Option<Box<dyn Entropy>>) -> Result<Draw, Halt> {
    let mut buffer = [0; 8];
    fill(entropy, &mut buffer)?;
    Ok(Draw(u64::from_le_bytes(buffer)))
}

/// A trap before the question: it depends on nothing that a log would have to hold.
fn refuse_too_many(len: u64) -> Result<(), Halt> {
    if len > RANDOM_BYTES {
        return Err(Halt::Trap(format!("{len} random bytes asked for at once, at most {RANDOM_BYTES} are given")));
    }
    Ok(())
}

fn bytes(entropy: &mut Option<Box<dyn Entropy>>, blobs: &Blobs, len: u64) -> Result<Data, Halt> {
    let mut buffer = vec![0; len as usize];
    fill(entropy, &mut buffer)?;
    if buffer.len() <= DATA_INLINE_BYTES {
        return Ok(Data::Inline { bytes: buffer.into() });
    }
    let digest = blobs.put(buffer).map_err(|e| Halt::host("keeping random bytes", &e))?;
    Ok(Data::Blob { digest, len })
}

/// The bytes that an event stands for.
fn read(data: Data, blobs: &Blobs) -> Result<Vec<u8>, Halt> {
    match data {
        Data::Inline { bytes } => Ok(bytes.0),
        Data::Blob { digest, .. } => blob(blobs, &digest),
    }
}
