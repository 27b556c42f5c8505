//! The kernel's random bytes.

use std::io;

use crate::port::Entropy;

/// Bytes fetched from the kernel at a time, so that small draws cost no system call each.
const POOL_BYTES: usize = 512;

/// `getrandom(2)`, a little ahead of demand. A drawn byte is overwritten in the pool.
#[derive(Debug)]
pub struct KernelEntropy {
    pool: [u8; POOL_BYTES],
    left: usize,
}

impl KernelEntropy {
    /// An empty pool.
    pub fn new() -> Self {
        Self { pool: [0; POOL_BYTES], left: 0 }
    }
}

impl Default for KernelEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for KernelEntropy {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.len() > POOL_BYTES {
            return draw(buffer);
        }
        if buffer.len() > self.left {
            draw(&mut self.pool)?;
            self.left = POOL_BYTES;
        }
        let end = self.left;
        let taken = &mut self.pool[end - buffer.len()..end];
        buffer.copy_from_slice(taken);
        taken.fill(0);
        self.left = end - buffer.len();
        Ok(())
    }
}

fn draw(mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty())?;
        buffer = &mut buffer[count..];
    }
    Ok(())
}
