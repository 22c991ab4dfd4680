//! The client against a scripted peer.

mod connecting;
mod installing;
mod peer;
mod requests;
