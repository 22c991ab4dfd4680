//! Which permission a request needs.

use northstar_api::Request;
use northstar_manifest::Permission;

/// The one permission that allows `request`.
pub(super) fn required(request: &Request) -> Permission {
    match request {
        Request::Ident => Permission::Ident,
        Request::Inspect { .. } => Permission::Inspect,
        Request::Install { .. } => Permission::Install,
        Request::Kill { .. } => Permission::Kill,
        Request::List => Permission::List,
        Request::Mount { .. } => Permission::Mount,
        Request::Repositories => Permission::Repositories,
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
    }
}
