//! Async client for the Northstar console.
//!
//! [`Client::connect`] opens a connection over TCP, TLS or a Unix socket, [`Client::from_env`] takes the one
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
//! read, so the next request finds the connection as it should be. Dropping the last clone of the [`Client`] closes
//! the connection.
//!
//! # Extensions
//!
//! With [`Options::extended`] the client asks for what this version adds to protocol 0.9.2. Then requests of several tasks
//! on one client do not wait for each other, and long ones are [`Job`]s:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use northstar_client::{Client, Options};
//!
//! let client = Client::connect(&"unix:///run/northstar/console.sock".parse()?, Options::extended()).await?;
//! let mut job = client.begin_mount(client.list().await?).await?;
//! while let Some(progress) = job.progress().await {
//!     println!("{} of {} mounted", progress.done, progress.total);
//! }
//! for result in job.await? {
//!     println!("{result:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A server of 0.9.x grants nothing, and everything but [`Job::cancel`] and [`Client::statistics`] works with it all the
//! same. [`Client::granted`] tells.
//!
//! The raw bytes of an install go through the same connection as everything else: while they do, other requests of
//! that connection wait. Who cannot wait opens a second one.
//!
//! # Reconnecting
//!
//! [`Reconnecting`] connects again when the connection is lost, and goes on with the events where they were lost. If
//! events are missing, it says so:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use northstar_client::{Backoff, Happening, Options, Reconnecting};
//!
//! let mut daemon = Reconnecting::new("tcp://localhost:4200".parse()?, Options::extended(), Backoff::default());
//! while let Some(happening) = daemon.next().await {
//!     match happening {
//!         Happening::Event(event) => println!("{:?}", event.notification),
//!         Happening::Gap(gap) => println!("{gap}: ask for the state of everything"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod answers;
mod backoff;
mod client;
mod connect;
mod connection;
mod endpoint;
mod error;
mod install;
mod job;
mod notifications;
mod options;
mod reading;
mod reconnect;
mod requests;
#[cfg(test)]
mod tests;
mod tls;

pub use backoff::Backoff;
pub use client::{Answer, Client, StartOptions};
pub use connect::{VARIABLE, socket};
pub use endpoint::{DEFAULT_PORT, Endpoint, InvalidEndpoint};
pub use error::{ConnectError, Disconnected, EnvironmentError, RequestError, SocketError};
pub use job::Job;
pub use northstar_api as api;
pub use notifications::{Event, Events, Missed, Notifications};
pub use options::Options;
pub use reconnect::{Connected, Gap, Handle, Happening, Reconnecting};
pub use tls::{Tls, TlsError, TlsFault};
