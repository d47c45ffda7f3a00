//! With whose rights a job works.

use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Who};

/// With whose rights a job works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Owner {
    /// Those of the user at the other end of the socket.
    User {
        /// Effective user.
        uid: u32,
        /// Effective group.
        gid: u32,
        /// Supplementary groups, at the time of the submit.
        #[serde(default)]
        groups: Vec<u32>,
    },
    /// Those of the configured service user.
    Service {
        /// Id of the token that it was submitted with; empty without one.
        #[serde(default)]
        token: String,
    },
    /// Those of the process itself: the private child runs as its user.
    #[default]
    Process,
    /// Something of a newer version. Nothing is done for it, because nobody knows with whose rights.
    #[serde(other)]
    Unknown,
}

impl Owner {
    /// Returns the owner of what `caller` submits.
    pub fn of(caller: &Caller) -> Self {
        match &caller.who {
            Who::Private => Self::Process,
            Who::Peer { uid, gid, groups } => Self::User { uid: *uid, gid: *gid, groups: groups.clone() },
            Who::Token { id, .. } => Self::Service { token: id.clone() },
            Who::Loopback => Self::Service { token: String::new() },
        }
    }

    /// Returns who asks when the job works, so that its rights are found by the same rules as at its submit.
    pub fn who(&self) -> Who {
        match self {
            Self::User { uid, gid, groups } => Who::Peer { uid: *uid, gid: *gid, groups: groups.clone() },
            Self::Service { token } if token.is_empty() => Who::Loopback,
            Self::Service { token } => Who::Token { id: token.clone(), name: String::new() },
            // Nothing is done for an unknown one; see the runner.
            Self::Process | Self::Unknown => Who::Private,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper_api::Role;

    use super::*;

    #[test]
    fn every_caller_has_an_owner_that_is_read_back() {
        for (who, text) in [
            (Who::Private, r#"{"kind":"process"}"#),
            (Who::Peer { uid: 7, gid: 8, groups: vec![9] }, r#"{"kind":"user","uid":7,"gid":8,"groups":[9]}"#),
            (Who::Token { id: "3f".into(), name: "x".into() }, r#"{"kind":"service","token":"3f"}"#),
            (Who::Loopback, r#"{"kind":"service","token":""}"#),
        ] {
            let owner = Owner::of(&Caller { role: Role::Operate, who });
            assert_eq!(serde_json::to_string(&owner).unwrap(), text);
            assert_eq!(serde_json::from_str::<Owner>(text).unwrap(), owner);
        }
        assert_eq!(serde_json::from_str::<Owner>(r#"{"kind":"tenant","id":4}"#).unwrap(), Owner::Unknown);
    }
}
