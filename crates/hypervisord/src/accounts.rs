//! Users and groups of this machine by name, from `/etc/passwd` and `/etc/group`.
//!
//! What it does not do: no directory services. The two accounts that the daemon needs by name are
//! made by its package; callers come with numbers.

use std::{fs, io};

/// A user, as a process of theirs would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
}

/// Returns the account of that name; `None` when there is none.
///
/// # Errors
/// When the files cannot be read.
pub fn account(name: &str) -> io::Result<Option<Account>> {
    Ok(account_in(&fs::read_to_string("/etc/passwd")?, &fs::read_to_string("/etc/group")?, name))
}

/// Returns the group of that name; `None` when there is none.
///
/// # Errors
/// When the file cannot be read.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    Ok(group_in(&fs::read_to_string("/etc/group")?, name))
}

fn account_in(passwd: &str, group: &str, name: &str) -> Option<Account> {
    let mut fields = passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':').skip(1);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let groups = group.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, number, members] = fields[..] else { return None };
        members.split(',').any(|member| member == name).then(|| number.parse().ok())?
    });
    Some(Account { uid, gid, groups: groups.filter(|other| *other != gid).collect() })
}

fn group_in(group: &str, name: &str) -> Option<u32> {
    let rest = group.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split(':').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nhyper:x:7:8::/:/sbin/nologin\nhypersdk:x:990:991::/:/x\n";
    const GROUP: &str =
        "root:x:0:\nhypervisord:x:992:anna,hypersdk\nhypersdk:x:991:hypersdk\nbroken\nkvm:x:36:hypersdk2\n";

    #[test]
    fn an_account_has_its_groups_and_no_others() {
        let found = account_in(PASSWD, GROUP, "hypersdk").unwrap();
        assert_eq!(found, Account { uid: 990, gid: 991, groups: vec![992] });
        assert_eq!(account_in(PASSWD, GROUP, "hyper").unwrap().groups, Vec::<u32>::new());
        assert_eq!(account_in(PASSWD, GROUP, "nobody"), None);
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        assert_eq!((group_in(GROUP, "hypervisord"), group_in(GROUP, "hyper")), (Some(992), None));
    }
}
