//! The private daemon: a `hypervisord` of our own for the length of one command.

use std::time::Duration;

use hyper_api::Info;
use hyper_api::client::{Client, Endpoint};
use tempfile::TempDir;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::spawn::{self, Companion, Environment};

/// Longest wait until it answers.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// Time between two looks whether it answers.
const READY_POLL: Duration = Duration::from_millis(10);

/// Longest wait for its end. It gives itself 120 s to hand VMs back; beyond that it is broken.
const END_TIME_MAX: Duration = Duration::from_secs(130);

/// A private daemon that answers.
#[derive(Debug)]
pub(crate) struct PrivateChild {
    companion: Companion,
    /// Holds the socket; removed when dropped, or by the child when this program was killed.
    _directory: TempDir,
}

impl PrivateChild {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(environment: &Environment) -> Result<(Self, Client, Info), Failure> {
        let program = spawn::find("hypervisord", "HYPERVISORD_BIN")?;
        let directory = spawn::private_directory()?;
        let socket = directory.path().join("socket");
        let args = ["--private".into(), "--socket".into(), socket.clone().into_os_string()];
        let companion = Companion::start("hypervisord", &program, &args, environment)?;
        let mut child = Self { companion, _directory: directory };
        let client = Client::new(Endpoint::unix(socket));
        match child.ready(&client).await {
            Ok(info) => Ok((child, client, info)),
            Err(failure) => {
                // It holds nothing yet.
                child.companion.close(Duration::ZERO).await;
                Err(failure)
            }
        }
    }

    async fn ready(&mut self, client: &Client) -> Result<Info, Failure> {
        let deadline = tokio::time::Instant::now() + READY_TIME_MAX;
        loop {
            let last = match tokio::time::timeout_at(deadline, client.info()).await {
                Ok(Ok(info)) => return Ok(info),
                Ok(Err(error)) => error.chain(),
                Err(_) => "no answer".to_owned(),
            };
            let name = self.companion.name();
            if let Some(status) = self.companion.ended() {
                return Err(Failure::new(Exit::NoDaemon, format!("start the private {name}: it ended with {status}")));
            }
            if tokio::time::Instant::now() + READY_POLL >= deadline {
                let seconds = READY_TIME_MAX.as_secs();
                let reason = format!("start the private {name}: not ready within {seconds} s: {last}");
                return Err(Failure::new(Exit::NoDaemon, reason));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Ends it: jobs are cancelled, VMs given back, and nothing of it is left when this returns.
    pub(crate) async fn close(self) {
        self.companion.close(END_TIME_MAX).await;
    }
}
