//! Which variant of a guest this is: the same code with other bytes in its data, so that a test has changed components without building each of them
//! (`reel_tests::guests::variant`).

#[used]
static VARIANT: [u8; 32] = *b"variant of this guest: as it was";

/// Whether this is the variant with that name.
pub fn is(name: &str) -> bool {
    // So that no compiler knows what will stand there.
    let bytes = unsafe { std::ptr::read_volatile(&raw const VARIANT) };
    std::str::from_utf8(&bytes[23..]).is_ok_and(|variant| variant.trim_end() == name)
}
