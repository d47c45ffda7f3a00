//! Who does the work of whom.
//!
//! | who asks | works as | where |
//! |---|---|---|
//! | the starter of a private child | the child's process | anywhere |
//! | a process at the socket | its own user and groups | where that user may |
//! | the holder of a token, or anybody on loopback | `exports.service_user` | exports below `exports.roots` |
//!
//! A daemon that does not run as root can only work as its own user: for others over the socket it refuses,
//! for tokens it works as itself.
//!
//! What it does not do: it decides, and `migrate::rights` acts.

use std::path::PathBuf;
use std::sync::Arc;

use hyper_api::{JobSpec, Problem, ProblemKind};
use migrate::rights::Rights;

use crate::accounts::{self, Account};
use crate::caller::Who;
use crate::config::Exports;
use crate::problems::{from_migrate, problem};

/// Who does the work of whom. Clones are the same rules.
#[derive(Clone, Debug, Default)]
pub struct Workers(Option<Arc<Machine>>);

/// The rules of a daemon that serves a machine.
#[derive(Debug)]
struct Machine {
    service: Service,
    roots: Vec<PathBuf>,
}

/// The account for callers without one.
#[derive(Debug)]
enum Service {
    Account(Account),
    /// This process: it cannot become anybody else.
    Process,
    /// There is no such account; why.
    Missing(String),
}

impl Workers {
    /// Returns the rules of a private child: its process does everything.
    pub fn process() -> Self {
        Self::default()
    }

    /// Returns the rules of a daemon that serves a machine.
    pub fn of_machine(exports: &Exports) -> Self {
        let name = &exports.service_user;
        let service = match accounts::account(name) {
            _ if !rustix::process::geteuid().is_root() => Service::Process,
            // Whoever names root here gives every holder of a token what only root has.
            Ok(Some(account)) if account.uid == 0 => Service::Missing(format!("`{name}` is root")),
            Ok(Some(account)) => Service::Account(account),
            Ok(None) => Service::Missing(format!("there is no user `{name}`")),
            Err(reason) => Service::Missing(format!("look for the user `{name}`: {reason}")),
        };
        if let Service::Missing(why) = &service {
            tracing::warn!("exports.service_user: {why}; callers over TCP cannot submit jobs");
        }
        Self(Some(Arc::new(Machine { service, roots: exports.roots.clone() })))
    }

    /// Returns the rights with which a job of this caller works.
    ///
    /// # Errors
    /// [`ProblemKind::Forbidden`] for what a caller over TCP may not ask for; [`ProblemKind::Permission`] when the
    /// daemon cannot work as the caller, [`ProblemKind::Usage`] when there is no account for it.
    pub fn rights(&self, who: &Who, spec: &JobSpec) -> Result<Rights, Box<Problem>> {
        let Some(machine) = &self.0 else { return Ok(Rights::default()) };
        match who {
            Who::Private => Ok(Rights::default()),
            Who::Peer { uid, gid, groups } => {
                Rights::of_user(*uid, *gid, groups).map_err(|error| Box::new(from_migrate(&error)))
            }
            Who::Token { .. } | Who::Loopback => machine.for_strangers(spec),
        }
    }
}

impl Machine {
    /// Callers over TCP have no user here; what they read and write must not depend on what one of ours may.
    fn for_strangers(&self, spec: &JobSpec) -> Result<Rights, Box<Problem>> {
        if !matches!(spec, JobSpec::Export(_)) {
            let why = format!("{} files of this machine: callers over TCP only export", spec.verb());
            let hint = "run hyperctl on the machine itself; it does this with your own rights";
            return Err(Box::new(problem(ProblemKind::Forbidden, why).with_hint(hint)));
        }
        let rights = match &self.service {
            Service::Process => Rights::default(),
            Service::Account(account) => Rights::of_user(account.uid, account.gid, &account.groups)
                .map_err(|error| Box::new(from_migrate(&error)))?,
            Service::Missing(why) => {
                let why = format!("export for a caller over TCP: {why} (exports.service_user)");
                return Err(Box::new(
                    problem(ProblemKind::Usage, why).with_hint("make that user, or name another one"),
                ));
            }
        };
        Ok(rights.below(self.roots.clone()))
    }
}

#[cfg(test)]
mod tests {
    use hyper_api::{ExportSpec, VerifySpec};

    use super::*;

    fn export() -> JobSpec {
        ExportSpec { vm: "a".into(), output: "/x".into(), ..ExportSpec::default() }.into()
    }

    fn peer(uid: u32) -> Who {
        Who::Peer { uid, gid: uid, groups: Vec::new() }
    }

    fn token() -> Who {
        Who::Token { id: "3f".into(), name: "x".into() }
    }

    #[test]
    fn callers_over_tcp_export_below_roots_and_do_nothing_else() {
        let machine = Machine { service: Service::Process, roots: vec!["/exports".into()] };
        let workers = Workers(Some(Arc::new(machine)));
        let rights = workers.rights(&token(), &export()).unwrap();
        assert!(format!("{rights:?}").contains("/exports"), "{rights:?}");
        let verify = VerifySpec { path: "/etc".into() }.into();
        assert_eq!(workers.rights(&token(), &verify).unwrap_err().kind, ProblemKind::Forbidden);
        assert_eq!(workers.rights(&Who::Loopback, &verify).unwrap_err().kind, ProblemKind::Forbidden);
        workers.rights(&peer(rustix::process::geteuid().as_raw()), &verify).unwrap();
    }

    #[test]
    fn without_the_account_jobs_are_refused_and_root_never_is_one() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for service_user in ["no such user", "root"] {
            let exports = Exports { service_user: service_user.to_owned(), roots: vec!["/exports".into()] };
            let problem = Workers::of_machine(&exports).rights(&token(), &export()).unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Usage);
            assert!(problem.error.contains(service_user), "{}", problem.error);
        }
    }

    #[test]
    fn a_private_child_works_as_it_is() {
        for who in [Who::Private, peer(7), token()] {
            let rights = format!("{:?}", Workers::process().rights(&who, &export()).unwrap());
            assert_eq!(rights, format!("{:?}", Rights::default()));
        }
    }
}
