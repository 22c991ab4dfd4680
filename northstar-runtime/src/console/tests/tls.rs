//! Consoles over TLS: who gets in, with which permissions, and what becomes of everybody else.

mod authority;
mod refusals;
mod renewal;
mod sessions;
mod site;
