//! What the daemon holds of a container beside its process, and how it is given back.

use super::{confine::Group, plan::Attachments};
use crate::supervisor::report;
use northstar_manifest::Container;
use northstar_sandbox::cgroup::MemoryMonitor;
use std::{sync::Arc, time::Duration};
use tracing::error;

/// How long the last output of a dead container may take to arrive.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// What is left to clean up when the process is gone.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) group: Arc<Group>,
    pub(super) memory: Option<MemoryMonitor>,
    pub(super) attachments: Attachments,
}

impl Guards {
    pub(super) fn new(attachments: Attachments) -> Guards {
        Guards {
            group: Arc::default(),
            memory: None,
            attachments,
        }
    }

    /// Removes everything, in reverse order of making. What cannot be removed is logged: there is nobody else to tell.
    pub(super) async fn release(self, container: &Container) {
        let Guards {
            group,
            memory,
            attachments,
        } = self;
        let Attachments {
            readers,
            console,
            sockets,
            ids,
        } = attachments;
        drop((memory, console));
        let removed = tokio::task::spawn_blocking(move || (group.remove(), sockets.remove()));
        // The only other end is that the runtime shuts down.
        let Ok((group, sockets)) = removed.await else {
            return;
        };
        if let Err(error) = group {
            error!("control group of {container}: {}", report(&error));
            // Somebody in there may be left, and the next container with these ids would be the same user.
            if let Some(ids) = ids {
                ids.keep();
            }
        }
        if let Err(error) = sockets {
            error!("sockets of {container}: {}", report(&error));
        }
        readers.drain(DRAIN_LIMIT).await;
    }
}
