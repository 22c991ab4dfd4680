//! Third phase: init is armed while its control group is made; then it is moved into the group.
//!
//! The two take about as long and have nothing to do with each other until then.

use super::{
    Context, Error, Phase,
    forker::within,
    guards::Guards,
    init::Init,
    plan::{Descriptors, Planned},
};
use crate::repository::InstalledPackage;
use northstar_sandbox::plan::{ArmPlan, ExecPlan};
use std::{sync::Arc, time::Duration};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How long each step of init may take that the daemon waits for.
pub(super) const PHASE_LIMIT: Duration = Duration::from_secs(5);

/// A container that is set up, confined, and waits for its program.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) package: Arc<InstalledPackage>,
    pub(super) skipped: Vec<String>,
    pub(super) exec: (ExecPlan, Descriptors),
    pub(super) init: Init,
    pub(super) guards: Guards,
}

/// Arms an init and confines it.
pub(super) async fn arm(
    context: &Arc<Context>,
    planned: Planned,
    cancel: &CancellationToken,
) -> Result<Armed, Error> {
    let Planned {
        package,
        skipped,
        arm,
        exec,
        cgroup,
        attachments,
    } = planned;
    let mut guards = Guards::new(attachments);
    let confined = {
        let (context, group) = (Arc::clone(context), Arc::clone(&guards.group));
        spawn_blocking(move || group.make(&context, &cgroup))
    };
    let confined = async { confined.await.unwrap_or(Err(Error::Interrupted)) };
    let both = async {
        let (init, memory) = tokio::join!(create(context, arm), confined);
        let (init, memory) = match (init, memory) {
            (Ok(init), Ok(memory)) => (init, memory),
            (Ok(init), Err(error)) => return Err(init.fail(error).await),
            (Err(error), _) => return Err(error),
        };
        // Before anything of the package runs all limits hold. Writing one file per hierarchy does not block.
        match guards.group.add(init.pid(), || init.is_alive()) {
            Ok(()) => Ok((init, memory)),
            Err(error) => Err(init.fail(error).await),
        }
    };
    let result = tokio::select! {
        result = both => result,
        // Dropping the other branch kills init.
        () = cancel.cancelled() => Err(Error::Cancelled),
    };
    match result {
        Ok((init, memory)) => {
            guards.memory = memory;
            Ok(Armed {
                package,
                skipped,
                exec,
                init,
                guards,
            })
        }
        Err(first) => {
            // Write ends of the container's output are among them.
            drop(exec);
            guards.release(&package.container).await;
            Err(first)
        }
    }
}

/// Creates an init and waits until it is armed.
async fn create(
    context: &Context,
    (plan, descriptors): (ArmPlan, Descriptors),
) -> Result<Init, Error> {
    let started = std::time::Instant::now();
    let created = context.forker.create(&plan, descriptors.as_slice());
    let init = within(Phase::Create, PHASE_LIMIT, created).await?;
    let existed = started.elapsed();
    match within(Phase::Arm, PHASE_LIMIT, init.armed()).await {
        Ok(()) => {
            debug!(
                "init {} created in {existed:?}, armed after {:?}",
                init.pid(),
                started.elapsed()
            );
            Ok(init)
        }
        Err(error) => Err(init.fail(error).await),
    }
}
