//! Random draws, from `wasi:random` by way of wasi-libc.

#![allow(unsafe_code, reason = "one call of the C library, so that the example needs no dependency")]

unsafe extern "C" {
    fn getentropy(buffer: *mut u8, len: usize) -> i32;
}

/// A number from 0 up to, not including, 1.
pub fn draw() -> f64 {
    let mut bytes = [0u8; 4];
    // SAFETY: the buffer is as long as it says.
    let done = unsafe { getentropy(bytes.as_mut_ptr(), bytes.len()) };
    assert_eq!(done, 0, "the system gives no random bytes");
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
