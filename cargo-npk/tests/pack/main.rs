//! `cargo npk pack` on small crates, with the cargo of this machine.

#![cfg(test)]

mod cargo;
mod programs;
mod settings;
mod support;
