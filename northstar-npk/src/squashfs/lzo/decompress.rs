//! Decompression of LZO1X.

/// Decompresses `input` and appends the result to `out`, at most `limit` bytes.
///
/// `None` if the input is damaged, or the result would be larger.
pub(in crate::squashfs) fn decompress(input: &[u8], out: &mut Vec<u8>, limit: usize) -> Option<()> {
    let start = out.len();
    let mut stream = Stream {
        input,
        out,
        start,
        end: start.checked_add(limit)?,
    };
    stream.run()?;
    stream.input.is_empty().then_some(())
}

struct Stream<'a> {
    input: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Where the result begins in `out`: nothing before it may be copied.
    start: usize,
    /// Where it ends at the latest.
    end: usize,
}

impl Stream<'_> {
    fn run(&mut self) -> Option<()> {
        // How many literals came last, 4 for any larger number: low instructions depend on it.
        let mut state = 0;
        if let Some(&first @ 18..) = self.input.first() {
            self.byte()?;
            let count = usize::from(first - 17);
            self.literals(count)?;
            state = count.min(4);
        }
        loop {
            let instruction = usize::from(self.byte()?);
            if instruction < 16 && state == 0 {
                let count = self.length(instruction, 15)? + 3;
                self.literals(count)?;
                state = 4;
                continue;
            }
            let (length, distance, literals) = match instruction {
                0..16 => {
                    let distance = (self.byte_wide()? << 2) + (instruction >> 2 & 3);
                    match state {
                        4 => (3, distance + 2049, instruction & 3),
                        _ => (2, distance + 1, instruction & 3),
                    }
                }
                16..32 => {
                    let length = self.length(instruction & 7, 7)? + 2;
                    let (low, literals) = self.distance_and_literals()?;
                    let distance = (instruction & 8) << 11 | low;
                    if distance == 0 {
                        return Some(());
                    }
                    (length, distance + 16384, literals)
                }
                32..64 => {
                    let length = self.length(instruction & 31, 31)? + 2;
                    let (low, literals) = self.distance_and_literals()?;
                    (length, low + 1, literals)
                }
                _ => {
                    let length = match instruction {
                        64..128 => 3 + (instruction >> 5 & 1),
                        _ => 5 + (instruction >> 5 & 3),
                    };
                    let distance = (self.byte_wide()? << 3) + (instruction >> 2 & 7) + 1;
                    (length, distance, instruction & 3)
                }
            };
            self.copy(length, distance)?;
            self.literals(literals)?;
            state = literals;
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.input.split_first()?;
        self.input = rest;
        Some(byte)
    }

    fn byte_wide(&mut self) -> Option<usize> {
        self.byte().map(usize::from)
    }

    /// A length of the instruction's own bits, or, if they are zero, one that follows: `base`, 255
    /// for each zero byte, and the byte after those.
    fn length(&mut self, bits: usize, base: usize) -> Option<usize> {
        if bits != 0 {
            return Some(bits);
        }
        let mut length = base;
        loop {
            match self.byte_wide()? {
                0 => length += 255,
                last => return Some(length + last),
            }
        }
    }

    fn distance_and_literals(&mut self) -> Option<(usize, usize)> {
        let low = self.byte_wide()?;
        let both = self.byte_wide()? << 8 | low;
        Some((both >> 2, both & 3))
    }

    fn literals(&mut self, count: usize) -> Option<()> {
        let (literals, rest) = self.input.split_at_checked(count)?;
        self.room_for(count)?;
        self.out.extend_from_slice(literals);
        self.input = rest;
        Some(())
    }

    /// Repeats `length` bytes from `distance` bytes before the end; they may overlap.
    fn copy(&mut self, length: usize, distance: usize) -> Option<()> {
        self.room_for(length)?;
        let from = self.out.len().checked_sub(distance)?;
        if from < self.start {
            return None;
        }
        for at in from..from + length {
            let byte = *self.out.get(at)?;
            self.out.push(byte);
        }
        Some(())
    }

    fn room_for(&self, count: usize) -> Option<()> {
        (count <= self.end - self.out.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decompressed(input: &[u8], limit: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decompress(input, &mut out, limit).map(|()| out)
    }

    #[test]
    fn each_kind_of_instruction_does_what_the_kernel_documents() {
        let end = [0x11, 0, 0];
        for (stream, expected) in [
            // Four literals at the start.
            (vec![21, b'a', b'b', b'c', b'd'], b"abcd".to_vec()),
            // Five literals by an instruction: 3 + 2.
            (vec![2, b'a', b'b', b'c', b'd', b'e'], b"abcde".to_vec()),
            // 3 + 15 + 1 literals.
            ([vec![0, 1], vec![b'x'; 19]].concat(), vec![b'x'; 19]),
            // 5 bytes from distance 1, one literal.
            (
                vec![21, 1, 2, 3, 4, 0x81, 0, 9],
                vec![1, 2, 3, 4, 4, 4, 4, 4, 4, 9],
            ),
            // 3 bytes from distance 2, then 2 bytes from distance 1 after one literal.
            (
                vec![21, 1, 2, 3, 4, 0x45, 0, 7, 0x00, 0],
                vec![1, 2, 3, 4, 3, 4, 3, 7, 7, 7],
            ),
            // 2 + 31 + 255 + 1 bytes from distance 1.
            (vec![18, 5, 32, 0, 1, 0, 0], vec![5; 1 + 289]),
        ] {
            let stream = [stream.as_slice(), &end].concat();
            assert_eq!(decompressed(&stream, 4096), Some(expected), "{stream:?}");
        }
    }

    #[test]
    fn damage_is_refused() {
        for stream in [
            &[][..],
            // Cut off: no end, no literals, no length, no distance.
            &[21, 1, 2, 3, 4],
            &[21, 1],
            &[0, 0, 0],
            &[21, 1, 2, 3, 4, 32],
            // Distance before the start.
            &[21, 1, 2, 3, 4, 0x81, 1, 0x11, 0, 0],
            // Something after the end.
            &[21, 1, 2, 3, 4, 0x11, 0, 0, 0],
        ] {
            assert_eq!(decompressed(stream, 4096), None, "{stream:?}");
        }
    }

    #[test]
    fn the_limit_holds() {
        let stream = [18, 5, 32, 0, 1, 0, 0, 0x11, 0, 0];
        assert_eq!(decompressed(&stream, 290).unwrap().len(), 290);
        assert_eq!(decompressed(&stream, 289), None);
    }
}
