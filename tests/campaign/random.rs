//! Pseudo-random numbers from a seed, so that a failing run can be repeated.

use std::time::Duration;

/// Its next number depends on its seed and on how many were taken.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Every family has a stream of its own, so that one runs alone as it runs among others.
    pub(crate) fn new(seed: u64, family: &str) -> Self {
        let mixed = family.bytes().fold(seed, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
        Self(mixed | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64* (Vigna, 2014)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    pub(crate) fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(u64::try_from(from.len()).unwrap());
        &from[usize::try_from(index).unwrap()]
    }
}
