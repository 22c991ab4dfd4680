//! Numbers that look random and come again with the same seed.

/// A generator by the name of SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and with no
/// seed that is a bad one.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of the sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, and 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        match bound {
            0 => 0,
            // The remainder fits wherever the bound did.
            _ => (self.draw() % bound as u64) as usize,
        }
    }

    /// True once in `count` calls.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of `choices`, unless there are none.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }
}
