//! What was recorded of the calls between modules: this process's own part, and how a service is asked for its.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, header::AUTHORIZATION};
use http_body_util::{BodyExt, Limited};
use strangler::{
    Principal, Scopes,
    body::Outgoing,
    calls::{CallRecord, ProcessCalls, RanIn, Recorded},
    instances::Instance,
    pool::{Credentials, HttpClient},
};
use tokio::sync::Mutex;

use super::Control;

/// Where a joined process says what it has kept of a trace.
pub const CALLS_PATH: &str = "/control/v1/calls";
/// What its caller needs for that.
pub const CALLS_SCOPE: &str = "control:calls";
/// How long a process may take to say it. A person waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most that is read of its answer, in bytes.
const MOST: usize = 1 << 20;
/// How old what is known of the subscriptions may be. It takes a question to every schema, and a console asks all the time.
const FRESH: Duration = Duration::from_secs(2);

/// How far behind the subscriptions of each module are: by module and source the name and, where that is known, the lag.
pub(super) type Lags = HashMap<(String, String), Vec<(String, Option<u64>)>>;

/// What was recorded, and how to learn the rest.
pub struct Calls {
    /// This process's own part; `None` when nothing is recorded.
    pub recorder: Recorded,
    http: HttpClient,
    credentials: Arc<dyn Credentials>,
    lags: Mutex<Option<(Instant, Arc<Lags>)>>,
}

impl Calls {
    /// With a way to the services: a client, and tokens for it.
    pub fn new(recorder: Recorded, http: HttpClient, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            recorder,
            http,
            credentials,
            lags: Mutex::default(),
        }
    }

    /// What this process has kept.
    pub(super) fn own(&self, calls: Vec<CallRecord>) -> ProcessCalls {
        let process = RanIn {
            pid: std::process::id(),
            url: None,
        };
        ProcessCalls { process, calls }
    }

    /// What a service has kept of a trace.
    ///
    /// # Errors
    /// A sentence that says why that is not known.
    pub(super) async fn of_instance(&self, instance: &Instance, trace: u128) -> Result<ProcessCalls, String> {
        let r = &instance.registration;
        let monolith = Principal::known("monolith", Scopes::Some([CALLS_SCOPE.into()].into()));
        let url = format!("{}{CALLS_PATH}?trace={trace:032x}", r.url.trim_end_matches('/'));
        let asked = async {
            let request = Request::get(&url)
                .header(AUTHORIZATION, self.credentials.authorization(&monolith, &r.module)?)
                .body(Outgoing::Full(Default::default()))
                .map_err(|e| e.to_string())?;
            let answer = self.http.request(request).await.map_err(|e| e.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST).collect().await;
            let body = body.map_err(|e| e.to_string())?.to_bytes();
            if !status.is_success() {
                return Err(format!("it answered {status}"));
            }
            serde_json::from_slice(&body).map_err(|e| e.to_string())
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        let calls = answer.unwrap_or_else(|_| Err(format!("it did not answer within {} ms", PATIENCE.as_millis())));
        let process = RanIn {
            pid: r.pid,
            url: Some(r.url.clone()),
        };
        match calls {
            Ok(calls) => Ok(ProcessCalls { process, calls }),
            Err(why) => Err(format!(
                "the service of {} at {} did not say its part: {why}",
                r.module, r.url
            )),
        }
    }
}

impl Control {
    /// How far behind the modules' subscriptions are, as of some seconds ago.
    pub(super) async fn lags(&self) -> Arc<Lags> {
        let mut known = self.calls.lags.lock().await;
        if let Some((at, lags)) = &*known
            && at.elapsed() < FRESH
        {
            return lags.clone();
        }
        let mut lags = Lags::new();
        for (schema, health) in self.health().await {
            let subscriptions = health.backlog.map(|backlog| backlog.subscriptions).unwrap_or_default();
            for subscription in subscriptions {
                let of = (schema.clone(), subscription.source);
                lags.entry(of).or_default().push((subscription.name, subscription.lag));
            }
        }
        let lags = Arc::new(lags);
        *known = Some((Instant::now(), lags.clone()));
        lags
    }
}
