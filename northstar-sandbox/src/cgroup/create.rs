//! Making a group with its limits.

use super::path::GroupPath;
use super::{
    Cgroup, CgroupError, CgroupPlan, Controller, DevicesPlan, Hierarchy, devices, file, hierarchy,
    limits, v1, v2,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Makes a group with all limits of a plan, empty.
///
/// `path` is relative to the root of the hierarchies. Groups above it are made
/// if they are missing, and removed again with the last container in them. A
/// group of an earlier container that is left over and empty is replaced.
///
/// # Errors
///
/// Any limit that cannot be applied; nothing is left behind then. A group of
/// that name, or on version 2 one above it, with processes in it. A group of
/// that name that is not a container's ([`CgroupError::Foreign`]), or one above
/// it that is another container's or another daemon's.
pub fn create(
    hierarchy: &Hierarchy,
    path: &Path,
    plan: &CgroupPlan,
) -> Result<Cgroup, CgroupError> {
    let mut group = make(hierarchy, path, plan)?;
    group.limit(hierarchy, plan)?;
    group.deny_devices(&plan.devices)?;
    Ok(group)
}

/// The first part of [`create`]: makes the group, without limits yet.
///
/// # Errors
///
/// As `create`, but for the limits. A controller that a limit needs and that is not there is told
/// here.
pub fn make(hierarchy: &Hierarchy, path: &Path, plan: &CgroupPlan) -> Result<Cgroup, CgroupError> {
    limits::check_available(hierarchy, plan)?;
    let path = GroupPath::new(path)?;
    let needed = needed(plan);
    // From here on the group's own Drop undoes what was made.
    let mut group = Cgroup {
        path,
        unified: None,
        controllers: BTreeSet::new(),
        v1: BTreeMap::new(),
        off: Vec::new(),
        realtime: plan.realtime,
        holds: Vec::new(),
    };
    group.make_v1(hierarchy, &v1_roots(hierarchy, plan))?;
    group.make_v2(hierarchy, &needed)?;
    group.note_what_is_off();
    Ok(group)
}

fn needed(plan: &CgroupPlan) -> BTreeSet<Controller> {
    let needed = limits::needed(plan).into_iter();
    needed.map(|(controller, _)| controller).collect()
}

/// The version 1 controllers a group is made in, with their mount points.
fn v1_roots(hierarchy: &Hierarchy, plan: &CgroupPlan) -> BTreeMap<Controller, PathBuf> {
    let needed = needed(plan);
    let without_realtime = hierarchy
        .v1
        .get(&Controller::Cpu)
        .filter(|root| plan.realtime && file::exists(root, "cpu.rt_runtime_us"));
    let kill_by_unified = hierarchy.unified.is_some();
    hierarchy
        .v1
        .iter()
        .filter(|(controller, root)| match controller {
            Controller::Memory | Controller::Io | Controller::Pids | Controller::Devices => true,
            // A group of its own makes one party of all processes of the
            // container when processors are scarce.
            Controller::Cpu | Controller::Cpuacct => {
                Some(*root) != without_realtime || needed.contains(&Controller::Cpu)
            }
            Controller::Cpuset => needed.contains(&Controller::Cpuset),
            Controller::Freezer => !kill_by_unified,
        })
        .map(|(controller, root)| (*controller, root.clone()))
        .collect()
}

/// What has to be done to every new directory of a hierarchy.
type Prepare = fn(&Path) -> Result<(), CgroupError>;

impl Cgroup {
    /// Applies all limits of the plan it was made with but the devices of version 2.
    ///
    /// # Errors
    ///
    /// Any limit that cannot be applied.
    pub fn limit(&self, hierarchy: &Hierarchy, plan: &CgroupPlan) -> Result<(), CgroupError> {
        v1::apply(&self.v1, &v1_roots(hierarchy, plan), plan)?;
        match &self.unified {
            Some(directory) => v2::apply(directory, &self.controllers, plan),
            None => Ok(()),
        }
    }

    /// Denies all devices but the harmless ones and those of the plan, where that is not done by
    /// version 1 already.
    ///
    /// # Errors
    ///
    /// The kernel cannot do it, if the plan requires it.
    pub fn deny_devices(&mut self, plan: &DevicesPlan) -> Result<(), CgroupError> {
        let Some(directory) = &self.unified else {
            return Ok(());
        };
        if self.controllers.contains(&Controller::Devices) {
            match devices::apply_v2(directory, &plan.rules) {
                // A kernel without such programs: nobody asked, so it is reported.
                Err(CgroupError::Devices { .. }) if !plan.required => {
                    self.controllers.remove(&Controller::Devices);
                }
                result => result?,
            }
        }
        self.note_what_is_off();
        Ok(())
    }

    fn note_what_is_off(&mut self) {
        let in_force = |controller: Controller| {
            self.v1.contains_key(&controller) || self.controllers.contains(&controller)
        };
        let defaults = [Controller::Cpu, Controller::Pids, Controller::Devices];
        // Who asks for realtime does not want a group that forbids it.
        let wanted = |controller: &Controller| *controller != Controller::Cpu || !self.realtime;
        self.off = defaults
            .into_iter()
            .filter(|controller| wanted(controller) && !in_force(*controller))
            .collect();
    }

    fn make_v1(
        &mut self,
        hierarchy: &Hierarchy,
        roots: &BTreeMap<Controller, PathBuf>,
    ) -> Result<(), CgroupError> {
        for (controller, root) in roots {
            let directory = root.join(self.path.as_path());
            let known = self.v1.values().any(|known| *known == directory);
            if !known {
                let cpuset = roots.get(&Controller::Cpuset) == Some(root);
                let prepare: Prepare = if cpuset {
                    v1::inherit_cpuset
                } else {
                    |_| Ok(())
                };
                self.make_parents(hierarchy, root, prepare)?;
                self.holds.push(hierarchy.held.container(&directory)?);
                self.v1.insert(*controller, directory.clone());
                prepare(&directory)?;
            }
            self.v1.insert(*controller, directory);
        }
        Ok(())
    }

    fn make_v2(
        &mut self,
        hierarchy: &Hierarchy,
        needed: &BTreeSet<Controller>,
    ) -> Result<(), CgroupError> {
        let Some(root) = &hierarchy.unified else {
            return Ok(());
        };
        let needed = needed
            .iter()
            .copied()
            .filter(|controller| hierarchy.unified_has(*controller))
            .filter(|controller| hierarchy.unified_controllers.contains(controller))
            .collect();
        self.make_parents(hierarchy, root, |_| Ok(()))?;
        v2::enable(root, &self.path, &needed)?;

        let directory = root.join(self.path.as_path());
        self.holds.push(hierarchy.held.container(&directory)?);
        self.unified = Some(directory.clone());
        self.controllers = hierarchy::controllers(&file::read(&directory, "cgroup.controllers")?);
        if hierarchy.unified_has(Controller::Devices) {
            self.controllers.insert(Controller::Devices);
        }
        Ok(())
    }

    fn make_parents(
        &mut self,
        hierarchy: &Hierarchy,
        root: &Path,
        prepare: Prepare,
    ) -> Result<(), CgroupError> {
        for parent in self.path.parents() {
            let directory = root.join(parent);
            self.holds.extend(hierarchy.held.parent(&directory)?);
            prepare(&directory)?;
        }
        Ok(())
    }
}
