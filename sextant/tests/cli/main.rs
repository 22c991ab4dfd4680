//! The commands as they are called: exit codes, output, and what is left behind.

#![cfg(test)]

mod documents;
mod inspecting;
mod keys;
mod manners;
mod packing;
mod sbom;
mod shells;
mod signing;
mod support;
