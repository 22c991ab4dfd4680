//! Keys and signatures that a lenient verifier would accept.

use northstar_fuzz::keys::{PUBLIC, SECRET};
use northstar_npk::key::{KeyError, PublicKey};

/// Order of the group that Ed25519 signs in, little endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    std::array::from_fn(|index| digit(2 * index))
}

/// The eight points of small order as RFC 8032 encodes them, and the other encodings of some of them:
/// with a coordinate that is not reduced, or the sign of a zero.
fn small_order_keys() -> Vec<[u8; 32]> {
    let mut keys = Vec::new();
    let with_both_signs = [
        // Order 1 and 2: y is 1 and -1.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // Order 4: y is 0.
        "0000000000000000000000000000000000000000000000000000000000000000",
        // Order 8.
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        // y is p and p + 1.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for key in with_both_signs {
        let key: [u8; 32] = bytes(key);
        let mut negative = key;
        negative[31] |= 0x80;
        keys.extend([key, negative]);
    }
    keys
}

#[test]
fn keys_of_small_order_are_refused_in_every_encoding() {
    let keys = small_order_keys();
    assert_eq!(keys.len(), 14);
    for (index, key) in keys.into_iter().enumerate() {
        let result = PublicKey::from_bytes(key);
        let is_refused = matches!(result, Err(KeyError::Weak | KeyError::Invalid(_)));
        assert!(is_refused, "{index}: {result:?}");
        // The canonical encodings are points, so it is their order that they are refused for.
        if index < 10 && ![1, 3].contains(&index) {
            assert!(matches!(result, Err(KeyError::Weak)), "{index}: {result:?}");
        }
    }
}

#[test]
fn the_vectors_of_rfc_8032_verify() {
    // Section 7.1, tests 1 and 2.
    for (key, message, signature) in [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let key = PublicKey::from_bytes(bytes(key)).unwrap();
        assert!(key.verifies(message, &bytes(signature)));
        assert!(!key.verifies(b"another", &bytes(signature)));
    }
}

/// Adds the group's order to the second half of a signature: an equation modulo the order holds as before.
fn malleated(signature: &[u8; 64]) -> [u8; 64] {
    let mut changed = *signature;
    let mut carry = 0;
    for (byte, add) in changed[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    changed
}

#[test]
fn a_message_has_one_signature() {
    for message in [&b""[..], b"a", &[7; 1000]] {
        let good = SECRET.sign(message);
        assert!(PUBLIC.verifies(message, &good));
        assert!(!PUBLIC.verifies(message, &malleated(&good)));
        assert!(!PUBLIC.verifies(&[message, b"x"].concat(), &good));
        for bit in 0..512 {
            let mut changed = good;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!PUBLIC.verifies(message, &changed), "bit {bit}");
        }
    }
}

#[test]
fn signatures_at_the_edges_are_refused() {
    let message = b"message";
    let good = SECRET.sign(message);
    let mut cases = vec![[0; 64], [0xff; 64]];
    let mut push = |first: [u8; 32], second: [u8; 32]| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&first);
        signature[32..].copy_from_slice(&second);
        cases.push(signature);
    };
    let halves: ([u8; 32], [u8; 32]) = (
        good[..32].try_into().unwrap(),
        good[32..].try_into().unwrap(),
    );
    let mut below = ORDER;
    below[0] -= 1;
    let mut above = ORDER;
    above[0] += 1;
    for scalar in [[0; 32], ORDER, below, above, [0xff; 32], halves.0] {
        push(halves.0, scalar);
        // A commitment of small order, with which a lenient check of a weak key holds for any message.
        for point in small_order_keys() {
            push(point, scalar);
            push(point, halves.1);
        }
    }
    push(halves.1, halves.0);
    push(*PUBLIC.as_bytes(), halves.1);
    for (index, signature) in cases.iter().enumerate() {
        assert!(!PUBLIC.verifies(message, signature), "case {index}");
    }
}
