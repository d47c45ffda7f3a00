//! `hyperctl token create|list|revoke`: who may talk to the daemon over TCP.
//!
//! The secret of a new token is shown once, alone on standard output, so that it can go straight into a file.

use hyper_api::{NewToken, Role, Token, TokenSpec};

use super::Session;
use crate::cli::Json;
use crate::daemon::{Daemon, Running};
use crate::escape::{escape, escape_json};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{duration, table};

/// What to do with tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do
    #[arg(value_name = "create|list|revoke", hide_possible_values = true)]
    action: Action,
    /// For create what a person calls the token, for revoke its id
    #[arg(value_name = "NAME|ID")]
    name: Option<String>,
    /// What its holder may do: read, operate or admin
    #[arg(long, value_name = "ROLE", default_value = "operate", value_parser = role)]
    role: Role,
    /// How long it is good, such as 720h; without it for ever
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    expires: Option<u64>,
    #[command(flatten)]
    json: Json,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Action {
    Create,
    List,
    Revoke,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_| "a role is read, operate or admin".to_owned())
}

/// Does it.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let json = args.json.json;
    let daemon = Daemon::running(&session.globals)?;
    let answer = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        answer = act(&daemon, args) => answer?,
    };
    session.console.print(&match answer {
        Answer::Made(made) if json => as_json(&made),
        Answer::Made(made) => {
            let NewToken { token, secret } = *made;
            session.console.note(&format!("made token {} for {} ({})", token.id, token.name, token.role));
            format!("{secret}\n")
        }
        Answer::Listed(tokens) if json => as_json(&tokens),
        Answer::Listed(tokens) => list(&tokens, session.console.out_is_terminal),
        Answer::Revoked => String::new(),
    });
    Ok(Exit::Done)
}

enum Answer {
    Made(Box<NewToken>),
    Listed(Vec<Token>),
    Revoked,
}

async fn act(daemon: &Running, args: Args) -> Result<Answer, Failure> {
    let needed = |what: &str| Failure::new(Exit::Usage, format!("token: {what}"));
    let answer = match (args.action, args.name) {
        (Action::Create, Some(name)) => {
            let expires_at = args.expires.map(expiry).transpose()?;
            let spec = TokenSpec { name, role: args.role, expires_at };
            daemon.client().create_token(&spec).await.map(|made| Answer::Made(Box::new(made)))
        }
        (Action::Create, None) => return Err(needed("create needs a name for the token")),
        (Action::List, None) => daemon.client().tokens().await.map(|list| Answer::Listed(list.tokens)),
        (Action::List, Some(_)) => return Err(needed("list takes no name")),
        (Action::Revoke, Some(id)) => daemon.client().revoke_token(&id).await.map(|()| Answer::Revoked),
        (Action::Revoke, None) => return Err(needed("revoke needs the id of a token; `hyperctl token list` shows it")),
    };
    answer.map_err(|error| daemon.explain(error))
}

/// Returns when a token ends that is good for so many seconds from now on.
fn expiry(seconds: u64) -> Result<String, Failure> {
    let too_long = || Failure::new(Exit::Usage, "token: -expires is too long");
    let span = i64::try_from(seconds).map(jiff::SignedDuration::from_secs).map_err(|_| too_long())?;
    jiff::Timestamp::now().checked_add(span).map(|at| format!("{at:.0}")).map_err(|_| too_long())
}

fn as_json(value: &impl serde::Serialize) -> String {
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(value).map_or_else(|_| String::new(), |text| escape_json(&text) + "\n")
}

fn list(tokens: &[Token], for_people: bool) -> String {
    let row = |token: &Token| {
        let ends = token.expires_at.clone().unwrap_or_else(|| "never".to_owned());
        let cells = [&token.id, &token.name, token.role.word(), &token.created_at, &ends];
        cells.map(|cell: &str| escape(cell).into_owned()).to_vec()
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    match (for_people, rows.is_empty()) {
        (true, true) => "no tokens\n".to_owned(),
        (true, false) => table::aligned(&["ID", "NAME", "ROLE", "MADE", "ENDS"], &rows),
        (false, _) => table::tabbed(&rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_whose_and_how_long_and_never_a_secret() {
        let token = Token {
            id: "3f2a9c01".into(),
            name: "back\nup".into(),
            role: Role::Read,
            created_at: "2026-11-24T12:00:00Z".into(),
            expires_at: None,
        };
        assert_eq!(list(&[token], false), "3f2a9c01\tback\\u{a}up\tread\t2026-11-24T12:00:00Z\tnever\n");
        assert_eq!(list(&[], true), "no tokens\n");
    }

    #[test]
    fn an_expiry_lies_ahead_and_a_length_beyond_all_time_is_refused() {
        let at: jiff::Timestamp = expiry(3600).unwrap().parse().unwrap();
        assert!(at > jiff::Timestamp::now());
        assert!(expiry(u64::MAX).is_err());
    }
}
