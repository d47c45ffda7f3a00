//! Tokens that let callers in over TCP.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Role;

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// What a person calls it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// When it ends; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A token that was made. Its secret is not in here: the daemon does not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Token {
    /// Its public id.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    pub created_at: String,
    /// When it ends; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// The reply that shows a new token, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewToken {
    /// What can be shown again.
    #[serde(flatten)]
    pub token: Token,
    /// What gets its holder in; nobody can show it again.
    pub secret: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Tokens, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// How many there are.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_new_token_has_no_secret() {
        let token = Token {
            id: "3f2a9c01".into(),
            name: "backup".into(),
            role: Role::Read,
            created_at: "2026-11-24T12:00:00Z".into(),
            expires_at: None,
        };
        let new = NewToken { token, secret: "h2k_secret".into() };
        assert!(!format!("{new:?}").contains("h2k_secret"));
        let value = serde_json::to_value(&new).unwrap();
        assert_eq!((&value["id"], &value["secret"]), (&"3f2a9c01".into(), &"h2k_secret".into()));
    }
}
