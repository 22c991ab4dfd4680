//! Async client for the Northstar console.
//!
//! [`Client::connect`] opens a connection over TCP or a Unix socket, [`Client::from_env`] takes the one
//! a container finds in `NORTHSTAR_CONSOLE`. Each request is a method; [`Client::notifications`] is
//! a stream of what happens meanwhile.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use northstar_client::{Client, Options};
//!
//! let client = Client::connect(&"tcp://localhost:4200".parse()?, Options::default()).await?;
//! for container in client.list().await? {
//!     println!("{container}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! One background task owns the connection. Whether a method's future is polled to its end or dropped
//! makes no difference to it: a request that was handed over is sent as a whole and its answer is
//! read, so the next request finds the connection as it should be. Dropping the [`Client`] closes
//! the connection.

mod client;
mod connect;
mod connection;
mod endpoint;
mod error;
mod install;
mod notifications;
mod requests;
#[cfg(test)]
mod tests;

pub use client::{Answer, Client, StartOptions};
pub use connect::{Options, VARIABLE};
pub use endpoint::{DEFAULT_PORT, Endpoint, InvalidEndpoint};
pub use error::{ConnectError, Disconnected, EnvironmentError, RequestError};
pub use northstar_api as api;
pub use notifications::{Missed, Notifications};
