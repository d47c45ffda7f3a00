//! Signals that ask this program to end: SIGINT, SIGTERM, SIGHUP.
//!
//! The first is a request: the job is cancelled and its VM given back before the program ends. The
//! second is an order: the program ends at once, and the private daemon, which then sees the end of
//! its standard input, gives the VM back alone.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What has come so far.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    first: Option<u8>,
    second: Option<u8>,
}

/// Tells of signals. Clones tell of the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts {
    received: watch::Receiver<Received>,
}

impl Interrupts {
    /// Takes the signals over from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let mut signals = [
            (2, signal(SignalKind::interrupt())?),
            (15, signal(SignalKind::terminate())?),
            (1, signal(SignalKind::hangup())?),
        ];
        let (sender, received) = watch::channel(Received::default());
        tokio::spawn(async move {
            let first = any(&mut signals).await;
            sender.send_replace(Received { first: Some(first), second: None });
            let second = any(&mut signals).await;
            sender.send_replace(Received { first: Some(first), second: Some(second) });
            // The receivers must not see a closed channel as news.
            sender.closed().await;
        });
        Ok(Self { received })
    }

    /// Returns the number of the first signal once it has come.
    pub(crate) async fn first(&self) -> u8 {
        self.until(|received| received.first).await
    }

    /// Returns the number of the second signal once it has come.
    pub(crate) async fn second(&self) -> u8 {
        self.until(|received| received.second).await
    }

    async fn until(&self, wanted: fn(&Received) -> Option<u8>) -> u8 {
        let mut received = self.received.clone();
        loop {
            if let Some(number) = wanted(&received.borrow_and_update()) {
                return number;
            }
            if received.changed().await.is_err() {
                // The task that listens is gone with its runtime; nothing will come any more.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Returns the number of whichever comes next.
async fn any(signals: &mut [(u8, Signal); 3]) -> u8 {
    let [(interrupt, on_interrupt), (terminate, on_terminate), (hangup, on_hangup)] = signals;
    tokio::select! {
        _ = on_interrupt.recv() => *interrupt,
        _ = on_terminate.recv() => *terminate,
        _ = on_hangup.recv() => *hangup,
    }
}
