//! The words of the console protocol: messages, errors, the line codec and the protocol version.
//!
//! One JSON object per line. A client opens with [`Connect`]; after the [`ConnectAck`] it sends
//! [`Request`]s, each answered by one [`Response`], and receives [`Notification`]s in between if it
//! subscribed to them. An install request is followed by the raw bytes of the package.
//!
//! Released 0.9.2 clients refuse unknown enum variants and manifest fields, so no message here ever
//! changes its shape. What is new is seen only by a client that asked for it in [`Connect`], with
//! [`Extensions`]; from then on lines are [`Envelope`]s.

mod base64;
pub mod codec;
mod connect;
mod envelope;
mod error;
mod exit;
mod extensions;
#[cfg(test)]
mod golden;
mod inspect;
mod message;
mod notification;
mod permission;
mod repository;
mod request;
mod response;
#[cfg(feature = "schema")]
mod schema;
mod token;
mod version;

pub use connect::{Connect, ConnectAck, ConnectNack};
pub use envelope::Envelope;
pub use error::Error;
pub use exit::{Exit, ExitReason, ExitStatus};
pub use extensions::{Extension, Extensions, Filter, Granted, Kind, Limits, Resume};
pub use inspect::{ContainerStatistics, InspectData, ProcessData};
pub use message::{Message, Progress, Unit};
pub use northstar_manifest::{
    Container, InvalidContainer, InvalidName, Manifest, Name, Permission,
};
pub use notification::{CGroupNotification, MemoryNotification, Notification};
pub use repository::{RepositoryDetails, RepositoryIntegrity, RepositoryKind};
pub use request::Request;
pub use response::{CancelResult, ContainerResult, InspectResult, InstallResult, Response};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use token::{InvalidToken, Token, VerificationResult};
pub use version::{VERSION, accepts};

/// Identification of a repository, as the configuration names it.
pub type RepositoryId = String;
