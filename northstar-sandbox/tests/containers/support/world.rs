//! A forker, and containers made by it.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use northstar_sandbox::plan::{
    ArmPlan, DescriptorIndex, ExecPlan, MountFlags, MountKind, NetworkPlan,
};
use northstar_sandbox::{Control, ExitStatus, Forker, ForkerEvent, InitEvent, StepError};

use super::root::{Root, build_root};
use super::{
    Armed, CLOSED, Finished, READ_ONLY, clone, event, planned, shell, tmpfs, wait_readable,
};

pub struct World {
    forker: RefCell<Forker>,
    next_id: Cell<u64>,
    /// Events that came while waiting for others.
    exited: RefCell<Vec<(u64, ExitStatus)>>,
    /// Directory that becomes the root of containers.
    pub root: Root,
}

impl World {
    pub fn new() -> World {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root"
        );
        let forker = Forker::spawn().expect("the process has one thread");
        let root = tempfile::tempdir().unwrap();
        build_root(root.path());
        World::from_parts(forker, Root::Own(root))
    }

    /// A world in the root directory of another one.
    pub fn with_root(forker: Forker, root: &str) -> World {
        World::from_parts(forker, Root::Borrowed(root.into()))
    }

    fn from_parts(forker: Forker, root: Root) -> World {
        World {
            forker: RefCell::new(forker),
            next_id: Cell::new(1),
            exited: RefCell::default(),
            root,
        }
    }

    pub fn forker(&self) -> std::cell::Ref<'_, Forker> {
        self.forker.borrow()
    }

    /// A detached, read-only mount of the root directory.
    pub fn root_mount(&self) -> OwnedFd {
        clone(self.root.path(), READ_ONLY)
    }

    /// An arm plan with proc, dev and a tmpfs on /tmp; descriptor 0 is the root.
    pub fn arm_plan(&self) -> ArmPlan {
        ArmPlan {
            hostname: None,
            user: None,
            network: NetworkPlan::Private,
            root: DescriptorIndex(0),
            root_flags: READ_ONLY,
            mounts: vec![
                planned(
                    "/proc",
                    MountKind::proc(),
                    MountFlags {
                        noexec: true,
                        ..READ_ONLY
                    },
                ),
                planned(
                    "/dev",
                    MountKind::Dev,
                    MountFlags {
                        read_only: false,
                        nodev: false,
                        ..CLOSED
                    },
                ),
                planned("/tmp", tmpfs(), CLOSED),
            ],
        }
    }

    /// Sends a plan; descriptor 0 is the root.
    pub fn create(&self, plan: &ArmPlan, more: &[BorrowedFd<'_>]) -> (u64, Control) {
        self.create_in(plan, more, None)
    }

    /// The same in a control group.
    pub fn create_in(
        &self,
        plan: &ArmPlan,
        more: &[BorrowedFd<'_>],
        cgroup: Option<BorrowedFd<'_>>,
    ) -> (u64, Control) {
        let id = self.next_id.replace(self.next_id.get() + 1);
        let root = self.root_mount();
        let mut descriptors = vec![root.as_fd()];
        descriptors.extend_from_slice(more);
        let created = self.forker().create(id, plan, &descriptors, cgroup);
        (id, created.unwrap())
    }

    /// Creates an init and waits for what comes of it.
    pub fn try_arm(&self, plan: &ArmPlan, more: &[BorrowedFd<'_>]) -> Result<Armed, StepError> {
        let (id, control) = self.create(plan, more);
        let (pid, pidfd) = self.created(id);
        match event(&control) {
            Ok(InitEvent::Armed) => Ok(Armed {
                id,
                control,
                pid,
                pidfd,
                // With a user namespace there was a process that made it.
                payload: 2 + i32::from(plan.user.is_some()),
            }),
            Ok(InitEvent::Failed(error)) => {
                self.wait_for_exit(id);
                Err(error)
            }
            other => panic!("instead of Armed: {other:?}"),
        }
    }

    pub fn arm(&self) -> Armed {
        self.try_arm(&self.arm_plan(), &[]).unwrap()
    }

    /// Waits for `Created`.
    pub fn created(&self, id: u64) -> (i32, OwnedFd) {
        loop {
            match self.forker_event() {
                ForkerEvent::Created {
                    id: created,
                    pid,
                    pidfd,
                } if created == id => {
                    return (pid, pidfd);
                }
                ForkerEvent::Exited { id, status } => {
                    self.exited.borrow_mut().push((id, status));
                }
                other => panic!("instead of Created: {other:?}"),
            }
        }
    }

    pub fn forker_event(&self) -> ForkerEvent {
        let forker = self.forker();
        wait_readable(forker.as_fd());
        forker.receive().unwrap().expect("it was readable")
    }

    /// Waits until the forker reaped an init.
    pub fn wait_for_exit(&self, id: u64) -> ExitStatus {
        loop {
            let mut exited = self.exited.borrow_mut();
            if let Some(position) = exited.iter().position(|(exited, _)| *exited == id) {
                return exited.remove(position).1;
            }
            match self.forker_event() {
                ForkerEvent::Exited { id, status } => exited.push((id, status)),
                other => panic!("instead of Exited: {other:?}"),
            }
        }
    }

    /// Runs `program` in a container of the usual plan to its end.
    pub fn run(&self, plan: &ExecPlan) -> Result<Finished, StepError> {
        self.run_in(&self.arm_plan(), &[], plan)
    }

    pub fn run_in(
        &self,
        arm: &ArmPlan,
        more: &[BorrowedFd<'_>],
        plan: &ExecPlan,
    ) -> Result<Finished, StepError> {
        let running = self.try_arm(arm, more)?.go(self, plan, &[])?;
        Ok(running.finish(self))
    }

    /// Runs a shell script; what it prints must come with exit code 0.
    pub fn shell(&self, script: &str) -> String {
        self.run(&shell(script)).unwrap().expect_success()
    }
}
