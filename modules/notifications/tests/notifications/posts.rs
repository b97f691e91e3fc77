//! Posts that wait, so that a test can do something in the middle.

use std::sync::{Arc, Mutex};

use notifications::post::{Failure, Outgoing, Post, Ready};
use notifications_contract::MailId;
use strangler::BoxFuture;
use tokio::sync::Semaphore;

/// Where a post waits for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Before the mail is marked.
    Preparing,
    /// After it was handed over, before anybody knows.
    HandedOver,
}

/// Hands mails over to `inner`, or only counts them, and waits somewhere.
pub struct Slow {
    pub inner: Option<Arc<dyn Post>>,
    pub waits: Waits,
    pub permits: Arc<Semaphore>,
    /// The mails that have come to where it waits.
    pub there: Arc<Mutex<Vec<MailId>>>,
    /// The mails that were handed over.
    pub delivered: Arc<Mutex<Vec<MailId>>>,
    pub repeatable: bool,
    /// Waits with this mail alone, if there is one.
    pub only: Option<MailId>,
    /// How many are on their way, and how many there were at most.
    pub going: Arc<Mutex<(usize, usize)>>,
}

/// How many mails are on their way by a slow post at a time.
pub const AT_ONCE: usize = 4;

impl Slow {
    pub fn new(waits: Waits, permits: usize, repeatable: bool) -> Self {
        Self {
            inner: None,
            waits,
            permits: Arc::new(Semaphore::new(permits)),
            there: Arc::default(),
            delivered: Arc::default(),
            repeatable,
            only: None,
            going: Arc::default(),
        }
    }

    pub fn delivered(&self) -> Vec<MailId> {
        self.delivered.lock().unwrap().clone()
    }

    pub fn is_there(&self) -> bool {
        !self.there.lock().unwrap().is_empty()
    }
}

/// Counts a mail as long as it is on its way.
struct Counted(Arc<Mutex<(usize, usize)>>);

impl Counted {
    fn new(going: &Arc<Mutex<(usize, usize)>>) -> Self {
        let mut counts = going.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Self(going.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

struct Going {
    _counted: Counted,
    id: MailId,
    inner: Option<Box<dyn Ready>>,
    permits: Option<Arc<Semaphore>>,
    there: Arc<Mutex<Vec<MailId>>>,
    delivered: Arc<Mutex<Vec<MailId>>>,
}

async fn pass(permits: &Semaphore) {
    permits.acquire().await.unwrap().forget();
}

impl Post for Slow {
    fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn patience(&self) -> std::time::Duration {
        std::time::Duration::from_secs(30)
    }

    fn prepare<'a>(&'a self, mail: &'a Outgoing) -> BoxFuture<'a, Result<Box<dyn Ready>, Failure>> {
        Box::pin(async move {
            let inner = match &self.inner {
                Some(inner) => Some(inner.prepare(mail).await?),
                None => None,
            };
            let counted = Counted::new(&self.going);
            let waits = self.only.is_none_or(|only| only == mail.id).then_some(self.waits);
            if waits == Some(Waits::Preparing) {
                self.there.lock().unwrap().push(mail.id);
                pass(&self.permits).await;
            }
            let ready: Box<dyn Ready> = Box::new(Going {
                _counted: counted,
                id: mail.id,
                inner,
                permits: (waits == Some(Waits::HandedOver)).then(|| self.permits.clone()),
                there: self.there.clone(),
                delivered: self.delivered.clone(),
            });
            Ok(ready)
        })
    }
}

impl Ready for Going {
    fn hand_over(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            if let Some(inner) = self.inner {
                inner.hand_over().await?;
            }
            self.delivered.lock().unwrap().push(self.id);
            if let Some(permits) = self.permits {
                self.there.lock().unwrap().push(self.id);
                pass(&permits).await;
            }
            Ok(())
        })
    }
}
