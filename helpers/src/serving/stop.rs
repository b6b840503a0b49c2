//! Asking a service to end.

use tokio::sync::watch;

/// Waits until its [`Stopper`] says so, or is gone.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// Ends what waits for its [`Stop`]s.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

impl Stop {
    pub(crate) fn pair() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }

    pub(crate) async fn wait(&self) {
        // An error means that the stopper is gone, which is a reason to end as well.
        let _ = self.0.clone().wait_for(|stopped| *stopped).await;
    }

    pub(crate) fn is_asked_for(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}
