//! Last phase: init is armed, moved into its control group, and lets the program go.
//!
//! An init that dies, stalls or talks nonsense is killed, and with it its container; nobody else notices.

use super::{
    Context, Error, Phase,
    confine::{Confined, Guards},
    forker::within,
    init::Init,
    plan::Attachments,
    watch::{DRAIN_LIMIT, Running},
};
use crate::supervisor::report;
use northstar_manifest::Container;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How long each of the three phases may take.
const PHASE_LIMIT: Duration = Duration::from_secs(5);

/// Runs the plan.
pub(super) async fn exec(
    context: Arc<Context>,
    confined: Confined,
    cancel: CancellationToken,
) -> Result<Running, Error> {
    let Confined {
        package,
        skipped,
        arm,
        exec,
        guards,
    } = confined;
    let result = async {
        let created = context.forker.create(&arm.0, arm.1.as_slice());
        let init = within(Phase::Create, PHASE_LIMIT, created).await?;
        let going = async {
            within(Phase::Arm, PHASE_LIMIT, init.armed()).await?;
            // Before anything of the package runs all limits hold. Writing one file per hierarchy does not block.
            guards.group.add(init.pid())?;
            within(Phase::Go, PHASE_LIMIT, init.go(&exec.0, exec.1.as_slice())).await
        };
        match going.await {
            Ok(()) => Ok(init),
            Err(error) => {
                destroy(&init, &package.container).await;
                Err(error)
            }
        }
    };
    let result = tokio::select! {
        result = result => result,
        // Dropping the other branch kills init.
        () = cancel.cancelled() => Err(Error::Cancelled),
    };
    // Of what init has by now the daemon keeps nothing: the output ends when the container's ends do.
    drop((arm, exec));
    match result {
        Ok(init) => Ok(Running {
            context,
            package,
            skipped,
            init: Arc::new(init),
            guards,
        }),
        Err(first) => {
            guards.release(&package.container).await;
            Err(first)
        }
    }
}

async fn destroy(init: &Init, container: &Container) {
    if !init.destroy().await {
        error!("init {} of {container} does not die", init.pid());
    }
}

impl Guards {
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
        } = attachments;
        drop((memory, console));
        let removed = tokio::task::spawn_blocking(move || (group.remove(), sockets.remove()));
        // The only other end is that the runtime shuts down.
        let Ok((group, sockets)) = removed.await else {
            return;
        };
        if let Err(error) = group {
            error!("control group of {container}: {}", report(&error));
        }
        if let Err(error) = sockets {
            error!("sockets of {container}: {}", report(&error));
        }
        readers.drain(DRAIN_LIMIT).await;
    }
}
