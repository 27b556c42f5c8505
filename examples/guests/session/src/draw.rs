//! Draws that a seed decides (splitmix64).

/// The state of the draws.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// Those of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (mixed ^ (mixed >> 31)) % (high - low + 1)
    }
}
