//! What a response means to whoever asked.

use northstar_api::{Container, ContainerResult, InstallResult, Response};

use crate::RequestError;

pub(crate) fn accept<T>(
    response: Response,
    read: impl FnOnce(Response) -> Result<T, RequestError>,
) -> Result<T, RequestError> {
    match response {
        Response::Error(error) => Err(error.into()),
        Response::PermissionDenied(request) => {
            Err(RequestError::PermissionDenied(Box::new(request)))
        }
        response => read(response),
    }
}

pub(crate) fn mounted(response: Response) -> Result<Vec<ContainerResult>, RequestError> {
    match response {
        Response::Mount(results) => Ok(results),
        other => Err(unexpected(other)),
    }
}

pub(crate) fn umounted(response: Response) -> Result<Vec<ContainerResult>, RequestError> {
    match response {
        Response::Umount(results) => Ok(results),
        other => Err(unexpected(other)),
    }
}

pub(crate) fn started(response: Response) -> Result<(), RequestError> {
    match response {
        Response::Start(result) => done(result),
        other => Err(unexpected(other)),
    }
}

pub(crate) fn installed(response: Response) -> Result<Container, RequestError> {
    match response {
        Response::Install(InstallResult::Ok { container }) => Ok(container),
        Response::Install(InstallResult::Error { error }) => Err(error.into()),
        other => Err(unexpected(other)),
    }
}

pub(crate) fn uninstalled(response: Response) -> Result<(), RequestError> {
    match response {
        Response::Uninstall(result) => done(result),
        other => Err(unexpected(other)),
    }
}

pub(crate) fn done(result: ContainerResult) -> Result<(), RequestError> {
    result.into_result().map(drop).map_err(RequestError::Server)
}

pub(crate) fn unexpected(response: Response) -> RequestError {
    RequestError::Unexpected(Box::new(response))
}
