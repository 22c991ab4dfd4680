//! The client against a server that the tests play.

mod cancelling;
mod connecting;
mod extensions;
mod installing;
mod peer;
mod reconnecting;
mod requests;
mod tls;
