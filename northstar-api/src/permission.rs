//! Which permission a request needs.

use northstar_manifest::Permission;

use crate::Request;

impl Request {
    /// The one permission that allows this request; `None` if it needs none.
    #[must_use]
    pub fn permission(&self) -> Option<Permission> {
        Some(match self {
            // It is about the connection's own requests only.
            Request::Cancel { .. } => return None,

            Request::Ident => Permission::Ident,
            Request::Inspect { .. } | Request::Statistics { .. } => Permission::Inspect,
            Request::Install { .. } => Permission::Install,
            Request::Kill { .. } => Permission::Kill,
            Request::List => Permission::List,
            Request::Mount { .. } => Permission::Mount,
            Request::Repositories | Request::RepositoryDetails => Permission::Repositories,
            Request::Shutdown => Permission::Shutdown,
            Request::Start {
                init: None,
                arguments,
                environment,
                ..
            } if arguments.is_empty() && environment.is_empty() => Permission::Start,
            Request::Start { .. } => Permission::StartCommand,
            Request::TokenCreate { .. } => Permission::TokenCreate,
            Request::TokenVerify { .. } => Permission::TokenVerification,
            Request::Umount { .. } => Permission::Umount,
            Request::Uninstall { .. } => Permission::Uninstall,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_extensions_ask_needs_the_permission_of_what_it_extends() {
        for (request, permission) in [
            (Request::RepositoryDetails, Permission::Repositories),
            (
                Request::Statistics {
                    containers: Vec::new(),
                },
                Permission::Inspect,
            ),
        ] {
            assert_eq!(request.permission(), Some(permission), "{request:?}");
        }
    }
}
