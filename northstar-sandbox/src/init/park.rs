//! Runs in init, after fork. An armed init waits here, right before the payload is forked, for as
//! long as the daemon likes.

use std::os::fd::{AsFd, OwnedFd};

use northstar_sys::process;
use northstar_sys::seqpacket::Wait;
use rustix::io::Errno;

use super::code;
use crate::ipc::{self, ReceiveError};
use crate::message::{FromInit, ToInit};
use crate::plan::ExecPlan;
use crate::step::{At, Step, StepError};

/// The second half of a start.
pub(super) struct Go {
    pub(super) plan: ExecPlan,
    pub(super) descriptors: Vec<OwnedFd>,
    /// Files of control groups of version 1 to join them by.
    pub(super) cgroups: Vec<OwnedFd>,
}

/// Tells the daemon that the world is built and waits for what is to run in it. A daemon that
/// closes its end does not want this container: init ends.
pub(super) fn wait_for_go(control: &OwnedFd) -> Result<Go, StepError> {
    let control = control.as_fd();
    if ipc::send(control, &FromInit::Armed, &[], Wait::Block).is_err() {
        process::exit(code::FAILED);
    }
    loop {
        match ipc::receive(control, Wait::Block) {
            Ok(Some((
                ToInit::Go {
                    descriptors: count,
                    cgroups,
                },
                descriptors,
            ))) => {
                let named = usize::from(count).saturating_add(1);
                let all = named.saturating_add(cgroups.into());
                let mut descriptors = ipc::expect_descriptors(descriptors, all)
                    .map_err(|error| match error {
                        ReceiveError::DescriptorsLost => Errno::MFILE,
                        _ => Errno::BADMSG,
                    })
                    .at(Step::Park)?;
                let cgroups = descriptors.split_off(named);
                let plan = ipc::unseal(&descriptors.remove(0)).at(Step::Park)?;
                return Ok(Go {
                    plan,
                    descriptors,
                    cgroups,
                });
            }
            // There is no payload yet.
            Ok(Some((ToInit::Signal(signal), _))) => {
                let errno = Errno::SRCH.raw_os_error();
                let message = FromInit::SignalFailed { signal, errno };
                let _nobody_listens = ipc::send(control, &message, &[], Wait::Block);
            }
            Ok(None) => {}
            Err(ReceiveError::Closed) => process::exit(code::FAILED),
            Err(_) => return Err(Errno::BADMSG).at(Step::Park),
        }
    }
}
