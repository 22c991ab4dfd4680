//! Why a request is not carried out.

use super::Session;
use crate::console::requests::MAX_CONTAINERS;
use northstar_api::{self as api, ContainerResult, Request, Response};
use northstar_manifest::{Container, Permission};
use tracing::debug;

impl Session<'_> {
    /// Why the request is not carried out, if it is not. An install's package comes anyway.
    pub(in crate::console) fn refusal(&self, request: &Request) -> Option<Response> {
        if let Some(permission) = self.lacks(request) {
            debug!("{}: has no permission {permission}", self.client.peer);
            return Some(Response::PermissionDenied(request.clone()));
        }
        match request {
            Request::Mount { containers } if containers.len() > MAX_CONTAINERS => {
                Some(self.too_many(containers, Response::Mount))
            }
            Request::Umount { containers } if containers.len() > MAX_CONTAINERS => {
                Some(self.too_many(containers, Response::Umount))
            }
            Request::Statistics { containers } if containers.len() > MAX_CONTAINERS => {
                Some(self.too_many(containers, |_| Response::Statistics(Vec::new())))
            }
            _ => None,
        }
    }

    /// The permission that the request needs and the client has not.
    pub(in crate::console) fn lacks(&self, request: &Request) -> Option<Permission> {
        let required = request.permission();
        required.filter(|permission| !self.client.permissions.contains(*permission))
    }

    /// In the words of 0.9.2 it is an answer about the first container.
    fn too_many(
        &self,
        containers: &[Container],
        response: fn(Vec<ContainerResult>) -> Response,
    ) -> Response {
        let count = containers.len();
        if self.agreed.details {
            return Response::Error(api::Error::TooManyContainers {
                count: count as u64,
                limit: MAX_CONTAINERS as u64,
            });
        }
        let cause =
            format!("{count} containers in one request are too many (at most {MAX_CONTAINERS})");
        let first = containers.first().map(|container| ContainerResult::Error {
            container: container.clone(),
            error: api::Error::InvalidArguments { cause },
        });
        response(first.into_iter().collect())
    }
}

/// A refusal that does not repeat all of a name that can be none.
pub(in crate::console) fn shortened(refusal: Response, longest: usize) -> Response {
    match refusal {
        Response::PermissionDenied(Request::Install { repository, size }) => {
            let repository = repository.chars().take(longest).collect();
            Response::PermissionDenied(Request::Install { repository, size })
        }
        other => other,
    }
}
