//! Compression to LZO1X.
//!
//! A greedy search over chains of positions with the same four bytes. The result is larger than
//! that of the slowest variants of the reference implementation, and every decompressor reads it.

/// Shortest match that is looked for.
const SHORTEST: usize = 4;
/// A match no candidate has to beat any more.
const LONG_ENOUGH: usize = 256;
/// How many candidates are looked at for each position.
const TRIES: usize = 24;
/// Largest distance of each of the three forms of a match.
const NEAR: usize = 2048;
const MIDDLE: usize = 16384;
const FAR: usize = MIDDLE + 0x7fff;
/// Longest match of the near form.
const NEAR_LENGTH: usize = 8;

const HASH_BITS: u32 = 15;
/// No position.
const NONE: u32 = u32::MAX;

/// Compresses `input`, which is at most a few MiB long.
pub(in crate::squashfs) fn compress(input: &[u8]) -> Vec<u8> {
    let mut out = Output::new(input.len());
    let mut chains = Chains::new(input);
    let mut literals = 0;
    let mut at = 0;
    while at < input.len() {
        let (length, distance) = chains.longest(at).unwrap_or_default();
        if length == 0 {
            chains.insert(at);
            at += 1;
            continue;
        }
        out.literals(input.get(literals..at).unwrap_or_default());
        out.copy(length, distance);
        (at..at + length).for_each(|position| chains.insert(position));
        at += length;
        literals = at;
    }
    out.literals(input.get(literals..).unwrap_or_default());
    out.end()
}

/// For each position, where the same four bytes were last.
struct Chains<'a> {
    input: &'a [u8],
    heads: Vec<u32>,
    previous: Vec<u32>,
}

impl<'a> Chains<'a> {
    fn new(input: &'a [u8]) -> Chains<'a> {
        Chains {
            input,
            heads: vec![NONE; 1 << HASH_BITS],
            previous: vec![NONE; input.len()],
        }
    }

    fn head(&mut self, at: usize) -> Option<&mut u32> {
        let bytes = self.input.get(at..)?.first_chunk::<SHORTEST>()?;
        let hash = u32::from_le_bytes(*bytes).wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS);
        self.heads.get_mut(hash as usize)
    }

    fn insert(&mut self, at: usize) {
        let Some(head) = self.head(at) else { return };
        let before = std::mem::replace(head, at as u32);
        if let Some(previous) = self.previous.get_mut(at) {
            *previous = before;
        }
    }

    /// Length and distance of the longest match before `at`.
    fn longest(&mut self, at: usize) -> Option<(usize, usize)> {
        let mut candidate = *self.head(at)?;
        let wanted = self.input.get(at..)?;
        let mut best = None;
        let mut best_length = SHORTEST - 1;
        for _ in 0..TRIES {
            // The marker of no position is beyond any input.
            let from = candidate as usize;
            let Some(distance) = at.checked_sub(from).filter(|&distance| distance <= FAR) else {
                break;
            };
            let found = self.input.get(from..).unwrap_or_default();
            // The byte that decides whether this is longer than the best one.
            if found.get(best_length) == wanted.get(best_length) {
                let same = |(a, b): (&u8, &u8)| a == b;
                let length = found
                    .iter()
                    .zip(wanted)
                    .take_while(|&pair| same(pair))
                    .count();
                if length > best_length {
                    best_length = length;
                    best = Some((length, distance));
                }
            }
            if best_length >= LONG_ENOUGH {
                break;
            }
            candidate = *self.previous.get(from)?;
        }
        best
    }
}

struct Output {
    bytes: Vec<u8>,
    /// Where the last match has its two bits for the number of up to three literals.
    short_run: Option<usize>,
}

impl Output {
    fn new(expected: usize) -> Output {
        Output {
            bytes: Vec::with_capacity(expected),
            short_run: None,
        }
    }

    /// Literals that follow a match, or begin the stream.
    fn literals(&mut self, literals: &[u8]) {
        let count = literals.len();
        match (count, self.short_run) {
            (0, _) => {}
            (1..4, Some(at)) => {
                if let Some(byte) = self.bytes.get_mut(at) {
                    *byte |= count as u8;
                }
            }
            (1..239, None) => self.bytes.push(count as u8 + 17),
            _ => self.instruction(0, count - 3, 15),
        }
        self.bytes.extend_from_slice(literals);
    }

    fn copy(&mut self, length: usize, distance: usize) {
        if length <= NEAR_LENGTH && distance <= NEAR {
            let distance = distance - 1;
            self.short_run = Some(self.bytes.len());
            self.bytes
                .push(((length - 1) << 5 | (distance & 7) << 2) as u8);
            self.bytes.push((distance >> 3) as u8);
            return;
        }
        let low = if distance <= MIDDLE {
            self.instruction(32, length - 2, 31);
            distance - 1
        } else {
            let distance = distance - MIDDLE;
            self.instruction(16 | distance >> 11 & 8, length - 2, 7);
            distance & 0x3fff
        };
        self.short_run = Some(self.bytes.len());
        self.bytes.extend(((low as u16) << 2).to_le_bytes());
    }

    /// An instruction with a length of at least one that has room up to `most` in the instruction,
    /// and else zero bytes for 255 each and one for the rest after it.
    fn instruction(&mut self, code: usize, length: usize, most: usize) {
        if length <= most {
            self.bytes.push((code | length) as u8);
            return;
        }
        self.bytes.push(code as u8);
        // The last byte is not zero.
        let rest = length - most - 1;
        self.bytes.resize(self.bytes.len() + rest / 255, 0);
        self.bytes.push((rest % 255) as u8 + 1);
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.extend([17, 0, 0]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decompress;
    use super::*;

    fn round_trip(input: &[u8]) -> usize {
        let compressed = compress(input);
        let mut out = Vec::new();
        assert_eq!(decompress(&compressed, &mut out, input.len()), Some(()));
        assert!(out == input, "{} bytes", input.len());
        compressed.len()
    }

    fn noise(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..size)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    #[test]
    fn literal_runs_of_every_length_come_back() {
        for size in (0..600).chain([65_536, 200_000]) {
            round_trip(&noise(size));
        }
    }

    #[test]
    fn matches_of_every_length_at_the_limits_of_every_form_come_back() {
        let noise = noise(60_000);
        for distance in [
            1, 2, 2047, 2048, 2049, 16383, 16384, 16385, 32767, 32768, 32769, 49151,
        ] {
            for length in (4..12).chain([31, 32, 33, 34, 35, 263, 264, 265, 520]) {
                let length = length.min(distance);
                let repeated = &noise[..length];
                let tail = &noise[50_000..50_000 + length % 6];
                round_trip(&[&noise[..distance], repeated, tail].concat());
            }
        }
    }

    #[test]
    fn what_repeats_gets_smaller() {
        assert!(round_trip(&[7; 1 << 20]) < 5000);
        let text: Vec<u8> = (0..20_000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        assert!(round_trip(&text) < text.len() / 2);
    }

    proptest! {
        #[test]
        fn everything_comes_back(input in proptest::collection::vec(0_u8..4, 0..3000)) {
            round_trip(&input);
        }
    }
}
