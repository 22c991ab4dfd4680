//! Last phase: init lets the program go, and it is known whether its `execve` has happened.

use super::{
    Context, Error, Phase,
    arm::{Armed, PHASE_LIMIT},
    forker::within,
    watch::Running,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs the program.
pub(super) async fn exec(
    context: Arc<Context>,
    armed: Armed,
    cancel: &CancellationToken,
) -> Result<Running, Error> {
    let Armed {
        package,
        skipped,
        exec: (plan, descriptors),
        init,
        tasks,
        guards,
    } = armed;
    let result = tokio::select! {
        result = within(Phase::Go, PHASE_LIMIT, init.go(&plan, descriptors.as_slice(), &tasks)) => result,
        () = cancel.cancelled() => Err(Error::Cancelled),
    };
    // Of what the container has by now the daemon keeps nothing: its output ends when its own ends do.
    drop((descriptors, tasks));
    match result {
        Ok(()) => Ok(Running {
            context,
            package,
            skipped,
            init: Arc::new(init),
            guards,
        }),
        Err(first) => {
            let first = guards.group.explain(init.fail(first).await);
            guards.release(&package.container).await;
            Err(first)
        }
    }
}
