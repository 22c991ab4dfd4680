//! Third phase: the control group is made, and in it an init, which is armed while the group gets its limits.
//!
//! On version 2 init is born in its group; on version 1 it joins when it goes. To move a process later is what the kernel
//! takes longest for of all that a start consists of.

use super::{
    Context, Error, Phase,
    confine::Group,
    forker::within,
    guards::Guards,
    init::Init,
    plan::{Descriptors, GroupPlan, Planned},
};
use crate::repository::InstalledPackage;
use northstar_sandbox::{
    cgroup::Entrance,
    plan::{ArmPlan, ExecPlan},
};
use std::{os::fd::OwnedFd, sync::Arc, time::Duration};
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
    /// Files of control groups that init joins when it goes.
    pub(super) tasks: Vec<OwnedFd>,
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
        mut skipped,
        arm,
        exec,
        cgroup,
        attachments,
    } = planned;
    let mut guards = Guards::new(attachments);
    let cgroup = Arc::new(cgroup);
    let group = Arc::clone(&guards.group);
    let both = async {
        let made = on_thread(context, &group, &cgroup, Group::make).await?;
        let Entrance { directory, tasks } = made;
        let limited = on_thread(context, &group, &cgroup, Group::limit);
        let (init, memory) = match tokio::join!(create(context, arm, directory), limited) {
            (Ok(init), Ok(memory)) => (init, memory),
            (Ok(init), Err(error)) => return Err(init.fail(error).await),
            (Err(error), _) => return Err(error),
        };
        // Init makes device nodes while it is armed, and nothing of the package has run.
        match group.deny_devices(&cgroup) {
            Ok(off) => Ok((init, tasks, memory, off)),
            Err(error) => Err(init.fail(error).await),
        }
    };
    let result = tokio::select! {
        result = both => result,
        // Dropping the other branch kills init.
        () = cancel.cancelled() => Err(Error::Cancelled),
    };
    match result {
        Ok((init, tasks, memory, off)) => {
            guards.memory = memory;
            let off = off.into_iter();
            skipped.extend(off.map(|controller| format!("cgroup controller {controller}")));
            Ok(Armed {
                package,
                skipped,
                exec,
                init,
                tasks,
                guards,
            })
        }
        Err(first) => {
            // Write ends of the container's output are among them.
            drop(exec);
            let first = guards.group.explain(first);
            guards.release(&package.container).await;
            Err(first)
        }
    }
}

/// Works on the control group on a thread, because that blocks.
async fn on_thread<T: Send + 'static>(
    context: &Arc<Context>,
    group: &Arc<Group>,
    plan: &Arc<GroupPlan>,
    work: fn(&Group, &Context, &GroupPlan) -> Result<T, Error>,
) -> Result<T, Error> {
    let (context, group, plan) = (Arc::clone(context), Arc::clone(group), Arc::clone(plan));
    spawn_blocking(move || work(&group, &context, &plan))
        .await
        .unwrap_or(Err(Error::Interrupted))
}

/// Creates an init in a control group and waits until it is armed.
async fn create(
    context: &Context,
    (plan, descriptors): (ArmPlan, Descriptors),
    cgroup: Option<OwnedFd>,
) -> Result<Init, Error> {
    let started = std::time::Instant::now();
    let created = context
        .forker
        .create(&plan, descriptors.as_slice(), cgroup.as_ref());
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
