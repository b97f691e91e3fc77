//! `banyan serve --only … --join …`: one module in a process of its own, registered with a running monolith.
//!
//! It opens one address and its own schema, believes only tokens that the monolith signed for its module, outlives the
//! monolith and registers again when that is back.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use strangler::{
    Clock, ModuleStats, SystemClock, Transport,
    body::Outgoing,
    calls::{Recorded, Recorder},
    direct::Direct,
    gateway::{Edge, Gateway, GatewayLimits, Mount},
    instances::{Heartbeat, Registration},
    pool::{HttpClient, PoolLimits, http_client},
    tape::{Away, Deck, Recordings},
};
use strangler_store::{Db, EventLog, RemoteLog, Turn};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Background, asked_to_stop,
    calls::Kept,
    monolith::reachable,
    probes::Probes,
    shadow::{Again, Shadow},
};
use crate::{
    auth::ServiceDoor,
    control::{ControlProblem, RECORDINGS_PATH},
    databases,
    identity::{FetchJwks, Token, Verifier},
    listener::{AnyBody, bind, serve},
    modules::{self, Ground, MODULES, Module, Peers, Started},
    sandbox,
    settings::Settings,
};

/// What a joining process is told.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The module it serves.
    pub module: String,
    /// The monolith's internal address: `http://127.0.0.1:8081`.
    pub monolith: String,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Under which address it registers, when that is another: a load balancer, a sidecar.
    pub advertise: Option<String>,
    /// Set by `extract`: which one this is.
    pub extracted: Option<DateTime<Utc>>,
    /// What it shows when it registers.
    pub token: Token,
}

/// How long the monolith may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs one module until the process is asked to stop, by a signal or by the monolith. `ready` learns the address once
/// requests are answered.
///
/// # Errors
/// A sentence that says why it cannot start.
pub async fn join(mut settings: Settings, options: JoinOptions, ready: impl FnOnce(SocketAddr)) -> Result<(), String> {
    let module: &'static Module = modules::find(&options.module)?;
    let contract = module.contract;
    let listener = bind(options.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let mut registration = Registration {
        id: uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::ContextV7::new())),
        module: contract.name.to_owned(),
        contract: contract.version,
        url: String::new(),
        pid: std::process::id(),
        extracted: options.extracted,
        data: None,
    };
    let db = databases::open_existing(&settings, contract.name, &registration.worker()).await?;
    registration.data = Some(databases::incarnation(&db).await?);
    let monolith = Arc::new(Monolith {
        base: options.monolith.trim_end_matches('/').to_owned(),
        authorization: authorization(&options.token)?,
        http: http_client(),
    });
    sandbox::find(&mut settings);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let requests = settings.console.requests;
    let recorder: Recorded =
        (requests > 0).then(|| Arc::new(Recorder::of_service(&modules::names(), requests, &*clock)));
    let queue = settings.parallel_run.queue;
    let (away, recordings) = Away::new(contract, settings.parallel_run.body_limit, queue);
    let deck = Deck::default();
    deck.connect(Arc::new(away.clone()));
    let started = start(module, &db, &settings, &monolith, (&recorder, deck))?;
    let again = Again::new(&started);
    let server = started.server;
    let verifier = Arc::new(Verifier::new(contract.name, monolith.clone().fetch_keys(), clock));
    let limits = GatewayLimits {
        body: settings.public.body_limit,
        budget: settings.public.budget,
        server_timing: false,
    };
    let mounts = vec![Mount {
        server,
        switch: None,
        wants: Some(Arc::new(away.clone())),
        but: &[],
    }];
    let door = Arc::new(ServiceDoor(verifier));
    let gateway = Gateway::new(mounts, door.clone(), Edge::Internal, limits)?;
    let gateway = Arc::new(gateway.recorded(recorder.clone()));
    let kept = Arc::new(Kept::new(recorder, door.clone()));
    let shadow = Arc::new(Shadow::new(again, door, limits.budget));
    let probes = Probes::new(vec![db.clone()]);

    let background = Background::default();
    let stop = background.stop().clone();
    let (front_gateway, front_probes) = (gateway.clone(), probes.clone());
    let accepting = CancellationToken::new();
    let server = serve(
        listener,
        settings.internal.connections,
        accepting.clone(),
        settings.shutdown.grace,
        move |request, _| {
            let beside = (kept.clone(), shadow.clone());
            answer(front_gateway.clone(), front_probes.clone(), beside, request)
        },
    );
    probes.started();
    ready(address);
    registration.url = options
        .advertise
        .unwrap_or_else(|| format!("http://{}", reachable(address)));
    tracing::info!(module = contract.name, %address, url = registration.url, "the service is ready");
    let (told, turn) = (CancellationToken::new(), watch::Sender::new(None));
    let mine = || Turn::following(turn.subscribe());
    let (relay, relaying) = (db.relay().with_turn(mine()), stop.clone());
    background.run(async move { relay.run(relaying.cancelled()).await });
    let (janitor, tidying) = (db.janitor().with_turn(mine()), stop.clone());
    background.run(async move { janitor.run(tidying.cancelled()).await });
    for work in started.work {
        background.run(work(mine(), stop.clone()));
    }
    let heartbeat = {
        let (monolith, registration, told, stop) = (monolith.clone(), registration.clone(), told.clone(), stop.clone());
        let every = settings.instances.heartbeat;
        async move {
            tokio::select! {
                () = beat(&monolith, &registration, every, (turn, away), told) => {}
                () = stop.cancelled() => {}
            }
        }
    };
    background.run(heartbeat);
    let (to, stopped) = (monolith.clone(), stop.clone());
    background.run(async move {
        tokio::select! { () = send(&to, contract.name, recordings) => {}, () = stopped.cancelled() => {} }
    });
    let stopping = async {
        let by_signal = tokio::select! {
            signal = asked_to_stop() => {
                tracing::info!(signal, "asked to stop: finishing what was accepted");
                true
            }
            () = told.cancelled() => {
                tracing::info!("merged back: finishing what was accepted");
                false
            }
        };
        probes.stopping();
        background.end().await;
        // By a signal, calls may still be on their way to us: nobody new is sent here before we stop accepting. Merged
        // back, the stage is `local` already, and leaving is the last thing, as it says that we have ended.
        if by_signal {
            monolith.leave(&registration).await;
        }
        accepting.cancel();
        by_signal
    };
    let ((), by_signal) = tokio::join!(server, stopping);
    db.close().await;
    if !by_signal {
        monolith.leave(&registration).await;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn answer(
    gateway: Arc<Gateway>,
    probes: Probes,
    (kept, shadow): (Arc<Kept>, Arc<Shadow>),
    request: Request<Incoming>,
) -> Response<AnyBody> {
    let path = request.uri().path();
    if gateway.takes(path) {
        return gateway.handle(request).await.map(AnyBody::Operation);
    }
    if Kept::takes(path) {
        return kept.answer(request.uri(), request.headers()).await.map(AnyBody::Page);
    }
    if shadow.takes(request.method(), path) {
        return shadow.answer(request).await.map(AnyBody::Page);
    }
    let page = match probes.answer(path).await {
        Some(page) => page,
        None => {
            let problem = ControlProblem::new(
                StatusCode::NOT_FOUND,
                "this process serves a module's contract and its probes",
            );
            axum::response::IntoResponse::into_response(problem)
        }
    };
    page.map(AnyBody::Page)
}

/// Starts the module, with the others reached over the monolith's internal address.
fn start(
    module: &'static Module,
    db: &Db,
    settings: &Settings,
    monolith: &Monolith,
    (recorder, deck): (&Recorded, Deck),
) -> Result<Started, String> {
    let contract = module.contract;
    let limits = PoolLimits {
        timeout: settings.public.budget,
        in_flight: settings.remote.in_flight,
    };
    let who = (contract.name, monolith.authorization.clone());
    let way = Direct::new(&monolith.base, monolith.http.clone(), who, limits);
    let way: Arc<dyn Transport> = Arc::new(way.recorded(recorder.clone()));
    let mut peers = Peers::default();
    MODULES.iter().for_each(|other| (other.reach)(&mut peers, way.clone()));
    (module.start)(&Ground {
        db: db.clone(),
        stats: Arc::new(ModuleStats::new(contract.operations.len()).recorded(recorder.clone())),
        peers: &peers,
        log: &|name| Ok(monolith.log(name)),
        deck,
        settings,
    })
}

/// Registers, again and again: a monolith that was restarted learns of us by the next heartbeat. The monolith answers when
/// there is news, so that a flip is known at once. Ends when we are told to.
async fn beat(
    monolith: &Monolith,
    registration: &Registration,
    every: Duration,
    (turn, recording): (watch::Sender<Option<i64>>, Away),
    told: CancellationToken,
) {
    let mut away = false;
    // What it knows that we know.
    let mut seen = None;
    loop {
        let began = Instant::now();
        match monolith.heartbeat(registration, seen, every).await {
            Ok(Heartbeat { stop: true, .. }) => return told.cancel(),
            Ok(Heartbeat { turn: now, wanted, .. }) => {
                recording.want(wanted.unwrap_or_default());
                if std::mem::take(&mut away) {
                    tracing::info!(monolith = monolith.base, "the monolith is back: registered again");
                }
                let news = seen != Some(now);
                seen = Some(now);
                if turn.send_if_modified(|turn| std::mem::replace(turn, now) != now) {
                    let whose = if now.is_some() {
                        "this process's"
                    } else {
                        "the monolith's"
                    };
                    tracing::info!(
                        module = registration.module,
                        epoch = now,
                        "the background work is {whose}"
                    );
                }
                if news {
                    continue;
                }
            }
            Err(why) => {
                seen = None;
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(
                        monolith = monolith.base,
                        why,
                        "cannot register with the monolith; trying again"
                    );
                }
            }
        }
        tokio::time::sleep(every.saturating_sub(began.elapsed())).await;
    }
}

/// Sends what was recorded to the monolith, which does it again and compares. Nobody waits for it: while the monolith is away,
/// what does not fit is counted, and the count is sent when it is back.
async fn send(monolith: &Monolith, module: &str, mut recordings: Recordings) {
    let path = RECORDINGS_PATH.replace("{module}", module);
    loop {
        let batch = recordings.next().await;
        let sent = match serde_json::to_vec(&batch) {
            Ok(body) => monolith.ask(Method::POST, &path, body.into(), PATIENCE).await.map(drop),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = sent {
            tracing::debug!(why, "recordings could not be sent to the monolith");
            recordings.lost(&batch);
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

/// The monolith, as a joined process knows it.
struct Monolith {
    base: String,
    authorization: HeaderValue,
    http: HttpClient,
}

fn authorization(token: &Token) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|e| e.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

impl Monolith {
    /// The event log of a module.
    fn log(&self, module: &str) -> Arc<dyn EventLog> {
        let (base, authorization) = (&self.base, self.authorization.clone());
        Arc::new(RemoteLog::new(module, base, authorization, self.http.clone()))
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes, patience: Duration) -> Result<Bytes, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Outgoing::Full(body))
            .map_err(|e| e.to_string())?;
        let answer = async {
            let answer = self
                .http
                .request(request)
                .await
                .map_err(|e| std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), 1 << 20)
                .collect()
                .await
                .map_err(|e| e.to_string())?
                .to_bytes();
            if status.is_success() {
                return Ok(body);
            }
            Err(match status {
                StatusCode::UNAUTHORIZED => {
                    "it does not accept our join token; give it in BANYAN_JOIN_TOKEN".to_owned()
                }
                _ => format!("it answered {status}: {}", String::from_utf8_lossy(&body)),
            })
        };
        tokio::time::timeout(patience, answer)
            .await
            .unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
    }

    async fn heartbeat(
        &self,
        registration: &Registration,
        seen: Option<Option<i64>>,
        wait: Duration,
    ) -> Result<Heartbeat, String> {
        let body = serde_json::to_vec(registration).map_err(|e| e.to_string())?;
        let mut path = format!("/control/v1/instances/{}", registration.id);
        if let Some(seen) = seen {
            let seen = seen.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
            path.push_str(&format!("?seen={seen}&wait_ms={}", wait.as_millis()));
        }
        let answer = self.ask(Method::PUT, &path, body.into(), wait + PATIENCE).await?;
        serde_json::from_slice(&answer).map_err(|e| format!("its answer cannot be read: {e}"))
    }

    async fn leave(&self, registration: &Registration) {
        let path = format!("/control/v1/instances/{}", registration.id);
        if let Err(why) = self.ask(Method::DELETE, &path, Bytes::new(), PATIENCE).await {
            tracing::debug!(why, "the monolith did not take our leave; it will notice");
        }
    }

    fn fetch_keys(self: Arc<Self>) -> FetchJwks {
        Box::new(move || {
            let monolith = self.clone();
            Box::pin(async move {
                let keys = monolith
                    .ask(Method::GET, "/.well-known/jwks.json", Bytes::new(), PATIENCE)
                    .await?;
                String::from_utf8(keys.to_vec()).map_err(|e| e.to_string())
            })
        })
    }
}
