//! Tokens: what one client creates, hands to another and lets the daemon confirm.
//!
//! A token is 40 opaque bytes: the time of its creation in whole seconds since the daemon's start (8 bytes, big
//! endian) and an HMAC-SHA256 over creator, target, shared secret and that time, each preceded by its length so that
//! no two different tuples make the same message. The key is drawn at the daemon's start and never leaves this file:
//! a token of another daemon, or of this one before its restart, is just invalid.

use hmac::{Hmac, KeyInit, Mac};
use rustix::time::{ClockId, clock_gettime};
use sha2::Sha256;
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// A block of SHA-256: a key of this length is used as it is.
const KEY_LENGTH: usize = 64;
const TIME_LENGTH: usize = 8;
/// Length of a token in bytes.
pub const TOKEN_LENGTH: usize = TIME_LENGTH + 32;

/// The random number generator of the kernel gave no key (getrandom(2)).
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a key for tokens")]
pub struct TokenKeyError(#[source] getrandom::Error);

/// A name for this run of the daemon that no other run has had: 128 random bits in hexadecimal digits.
pub(super) fn instance() -> Result<String, TokenKeyError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(TokenKeyError)?;
    Ok(hex::encode(bytes))
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// Created by this daemon for exactly this creator, target and shared secret, and not too long ago.
    Ok,
    /// Not created by this daemon for them.
    Invalid,
    /// Created too long ago.
    Expired,
    /// Created later than now.
    Future,
}

/// Whom a token speaks about.
#[derive(Clone, Copy)]
pub(super) struct Parties<'a> {
    /// The name of who created it.
    pub creator: &'a str,
    /// The name of who may verify it.
    pub target: &'a str,
    /// What only those who use the token know.
    pub shared: &'a [u8],
}

/// Creates and verifies tokens.
pub(super) struct Tokens {
    key: Zeroizing<[u8; KEY_LENGTH]>,
    started: Duration,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new() -> Result<Tokens, TokenKeyError> {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        getrandom::fill(key.as_mut_slice()).map_err(TokenKeyError)?;
        let started = boot_time();
        Ok(Tokens { key, started })
    }

    pub(super) fn create(&self, parties: Parties<'_>) -> [u8; TOKEN_LENGTH] {
        self.create_at(self.now(), parties)
    }

    pub(super) fn verify(
        &self,
        token: &[u8],
        parties: Parties<'_>,
        validity: Duration,
    ) -> Verification {
        self.verify_at(self.now(), token, parties, validity)
    }

    /// Whole seconds since the start. The clock goes on while the machine sleeps: so does a token's age.
    fn now(&self) -> u64 {
        boot_time().saturating_sub(self.started).as_secs()
    }

    fn create_at(&self, now: u64, parties: Parties<'_>) -> [u8; TOKEN_LENGTH] {
        let time = now.to_be_bytes();
        let tag = self.mac(&time, parties).finalize().into_bytes();
        let mut token = [0; TOKEN_LENGTH];
        let (head, tail) = token.split_at_mut(TIME_LENGTH);
        head.copy_from_slice(&time);
        tail.copy_from_slice(&tag);
        token
    }

    fn verify_at(
        &self,
        now: u64,
        token: &[u8],
        parties: Parties<'_>,
        validity: Duration,
    ) -> Verification {
        let Some((time, tag)) = token.split_first_chunk::<TIME_LENGTH>() else {
            return Verification::Invalid;
        };
        // Compares in constant time, and refuses a tag of another length.
        if self.mac(time, parties).verify_slice(tag).is_err() {
            return Verification::Invalid;
        }
        let Some(age) = now.checked_sub(u64::from_be_bytes(*time)) else {
            return Verification::Future;
        };
        // Ages are whole seconds: rounding the validity up never ends a token early.
        let validity = validity.as_secs() + u64::from(validity.subsec_nanos() > 0);
        if age > validity {
            Verification::Expired
        } else {
            Verification::Ok
        }
    }

    fn mac(&self, time: &[u8; TIME_LENGTH], parties: Parties<'_>) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&(*self.key).into());
        for field in [
            parties.creator.as_bytes(),
            parties.target.as_bytes(),
            parties.shared,
            time,
        ] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac
    }
}

fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const PARTIES: Parties<'static> = Parties {
        creator: "alice",
        target: "bob",
        shared: b"secret",
    };

    #[test]
    fn a_token_is_valid_any_number_of_times_until_it_expires() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.create_at(100, PARTIES);
        assert_eq!(token.len(), 40);
        assert_eq!(&token[..8], &100u64.to_be_bytes());
        let at = |now| tokens.verify_at(now, &token, PARTIES, MINUTE);
        for _ in 0..3 {
            assert_eq!(at(100), Verification::Ok);
        }
        assert_eq!(at(160), Verification::Ok);
        assert_eq!(at(161), Verification::Expired);
        assert_eq!(at(u64::MAX), Verification::Expired);
        assert_eq!(at(99), Verification::Future);
        let short = Duration::from_millis(1);
        assert_eq!(
            tokens.verify_at(101, &token, PARTIES, short),
            Verification::Ok
        );
        assert_eq!(
            tokens.verify_at(102, &token, PARTIES, short),
            Verification::Expired
        );
    }

    #[test]
    fn a_token_of_now_is_valid_now() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.create(PARTIES);
        assert_eq!(tokens.verify(&token, PARTIES, MINUTE), Verification::Ok);
    }

    #[test]
    fn a_token_of_another_daemon_is_invalid() {
        let token = Tokens::new().unwrap().create(PARTIES);
        let other = Tokens::new().unwrap();
        assert_eq!(other.verify(&token, PARTIES, MINUTE), Verification::Invalid);
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_invalid() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.create_at(100, PARTIES);
        let verify = |token: &[u8]| tokens.verify_at(100, token, PARTIES, MINUTE);
        for bit in 0..token.len() * 8 {
            let mut forged = token;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&forged), Verification::Invalid, "bit {bit}");
        }
        for length in 0..token.len() {
            assert_eq!(
                verify(&token[..length]),
                Verification::Invalid,
                "{length} bytes"
            );
        }
        let mut longer = token.to_vec();
        longer.push(0);
        assert_eq!(verify(&longer), Verification::Invalid);
    }

    #[test]
    fn bytes_cannot_move_from_one_field_to_the_next() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.create_at(0, PARTIES);
        let moved = [
            ("alic", "ebob", "secret"),
            ("aliceb", "ob", "secret"),
            ("alice", "bobs", "ecret"),
            ("alice", "", "bobsecret"),
            ("bob", "alice", "secret"),
        ];
        for (creator, target, shared) in moved {
            let shared = shared.as_bytes();
            let parties = Parties {
                creator,
                target,
                shared,
            };
            assert_eq!(
                tokens.verify_at(0, &token, parties, MINUTE),
                Verification::Invalid
            );
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", Tokens::new().unwrap()), "Tokens { .. }");
    }

    proptest! {
        #[test]
        fn only_the_same_parties_verify(
            creator in "[a-c]{0,3}", target in "[a-c]{0,3}", shared in "[a-c]{0,3}",
            creator2 in "[a-c]{0,3}", target2 in "[a-c]{0,3}", shared2 in "[a-c]{0,3}",
        ) {
            let tokens = Tokens::new().unwrap();
            let one = Parties { creator: &creator, target: &target, shared: shared.as_bytes() };
            let two = Parties { creator: &creator2, target: &target2, shared: shared2.as_bytes() };
            let same = (&creator, &target, &shared) == (&creator2, &target2, &shared2);
            let expected = if same { Verification::Ok } else { Verification::Invalid };
            let token = tokens.create_at(0, one);
            prop_assert_eq!(tokens.verify_at(0, &token, two, MINUTE), expected);
        }

        #[test]
        fn random_bytes_are_no_token(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let tokens = Tokens::new().unwrap();
            prop_assert_eq!(tokens.verify_at(0, &bytes, PARTIES, MINUTE), Verification::Invalid);
        }
    }
}
