//! The whole system in one process.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use catalog::CatalogModule;
use catalog_contract::{CATALOG, CatalogService};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use strangler::{
    Clock, Cx, ModuleStats, Switch, SystemClock,
    body::Outgoing,
    calls::{Recorded, Recorder},
    gateway::{Authenticate, Edge, Gateway, GatewayLimits, Mount},
    instances::Registry,
    parallel::{ParallelLimits, ParallelRun, redact::Redactor},
    pool::{HttpClient, Pool, PoolLimits, http_client},
    routes::{RouteTable, Side, Switchboard},
    tape::Deck,
};
use strangler_store::{Db, Turn};
use tokio::sync::Mutex;
use tower::ServiceExt;
use uuid::Uuid;

use super::{Background, asked_to_stop, nothing, probes::Probes, shadow::Again};
use crate::{
    auth::{Exchange, InternalDoor, PublicDoor},
    console,
    control::{
        self, Calls, Control, ControlProblem, ControlStore, Extractor, Metrics, Running, happened_subscriptions,
    },
    databases::{self, CONTROL},
    docs,
    identity::{KeyRing, Tokens},
    listener::{AnyBody, bind, serve},
    modules::{self, Ground, MODULES, Module, Peers},
    progress, sample, sandbox,
    settings::Settings,
};

/// What `serve` was asked for besides the settings.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Do not load the sample season on the first start.
    pub no_sample: bool,
    /// The settings file that was named, for the processes that `extract` starts.
    pub config: Option<PathBuf>,
}

/// How often the life of the keys and of the instances is looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// The shortest time between two looks at the instances.
const BREATH: Duration = Duration::from_millis(20);
/// How long an instance may take to say how it is.
const HEALTH: Duration = Duration::from_secs(1);
/// The longest that a request to the control plane may take: extracting and merging back wait for processes.
const CONTROL_PATIENCE: Duration = Duration::from_secs(60);
const SAMPLE: &str = "sample-season";

/// Runs the monolith until it is asked to stop. `ready` learns the public address once requests are answered.
///
/// # Errors
/// A sentence that says why it cannot start.
pub async fn monolith(
    mut settings: Settings,
    options: ServeOptions,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), String> {
    let tokens = Arc::new(Tokens::open(&settings.data.folder).map_err(|e| e.to_string())?);
    let _lock = lock(&settings)?;
    let held = databases::hold(&settings).await?;
    let public = bind(settings.public.listen, "public.listen").await?;
    let internal = bind(settings.internal.listen, "internal.listen").await?;
    let address = |l: &tokio::net::TcpListener| l.local_addr().map_err(|e| e.to_string());
    let (public_address, internal_address) = (address(&public)?, address(&internal)?);

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let identity = &settings.identity;
    let keys = KeyRing::open(
        &settings.data.folder,
        identity.token_ttl_s,
        identity.rotate_s,
        clock.clone(),
    );
    let keys = Arc::new(keys.map_err(|e| e.to_string())?);
    let background = Background::default();
    let store = ControlStore::new(databases::open(&settings, CONTROL).await?);
    let registry = Arc::new(Registry::default());
    let client = http_client();
    let requests = settings.console.requests;
    let recorder: Recorded =
        (requests > 0).then(|| Arc::new(Recorder::of_monolith(&modules::names(), requests, &*clock)));
    let credentials = Arc::new(Exchange(keys.clone()));

    if let Some(sandbox) = sandbox::beside(&mut settings, background.stop().clone()).await? {
        background.run(sandbox);
    }
    let mut schemas = Vec::new();
    for module in MODULES {
        let db = databases::open(&settings, module.contract.name).await?;
        schemas.push((databases::incarnation(&db).await?, db));
    }
    let mut house = House {
        settings: &settings,
        schemas: &schemas,
        registry: &registry,
        client: &client,
        credentials: credentials.clone(),
        recorder: &recorder,
        background: &background,
        redactor: Arc::new(Redactor::of(MODULES.iter().map(|module| module.contract))),
        peers: Peers::default(),
    };
    let modules = MODULES.iter().map(|module| house.start(module));
    let modules = modules.collect::<Result<Vec<_>, _>>()?;
    let peers = house.peers;
    first_season(&store, &modules, options.no_sample).await?;
    let tables = modules.iter().map(|m| m.switch.routes().clone()).collect();
    let switchboard = Switchboard::open(tables, Arc::new(store.clone()), clock).await?;
    let data = std::path::absolute(&settings.data.folder).map_err(|e| format!("the data folder: {e}"))?;
    let extractor = Extractor {
        join: format!("http://{}", reachable(internal_address)),
        data,
        config: options.config.map(|c| std::path::absolute(&c).unwrap_or(c)),
        turn: Mutex::new(()),
    };
    let databases: Vec<Db> = std::iter::once(store.db())
        .chain(modules.iter().map(|m| &m.db))
        .cloned()
        .collect();
    let grace = settings.shutdown.grace;
    let (connections, inside) = (settings.public.connections, settings.internal.connections);
    let streams = settings.public.streams_per_client;
    let limits = GatewayLimits {
        body: settings.public.body_limit,
        budget: settings.public.budget,
        server_timing: settings.public.server_timing,
    };
    let control = Arc::new(Control {
        settings,
        tokens: tokens.clone(),
        keys,
        switchboard,
        registry,
        modules,
        store,
        extractor,
        started: Instant::now(),
        deciding: Default::default(),
        merging: Default::default(),
        stop: background.stop().clone(),
        calls: Calls::new(recorder.clone(), client.clone(), credentials),
    });

    control.settle().await;
    control.restore_diffs().await;
    let public_ones = control.modules.iter().filter(|m| m.public);
    let public_ones = public_ones.map(|m| mount(m, m.inside)).collect();
    let outside = Gateway::new(public_ones, Arc::new(PublicDoor(tokens.clone())), Edge::Public, limits)?
        .noting(control.switchboard.wanted().clone())
        .recorded(recorder.clone());
    let between = GatewayLimits {
        server_timing: true,
        ..limits
    };
    let between = Gateway::new(
        control.modules.iter().map(|m| mount(m, &[])).collect(),
        Arc::new(InternalDoor(tokens.clone())),
        Edge::Internal,
        between,
    )?
    .noting(control.switchboard.wanted().clone())
    .recorded(recorder);
    let probes = Probes::new(databases.clone());
    work(&control, &client, &background);
    let keeper = control.clone();
    background.run(async move { keeper.keep_diffs().await });

    let stop = background.stop().clone();
    let pages = Router::new()
        .merge(docs::router())
        .fallback(nothing::at_this_path)
        .merge(console::router(control.clone(), stop.clone()));
    let follow = |door: Arc<dyn Authenticate>| match &peers.ordering {
        Some(ordering) => progress::router(ordering.clone(), door, streams, stop.clone()),
        None => Router::new(),
    };
    let pages = pages.merge(follow(Arc::new(PublicDoor(tokens.clone()))));
    let front = Front {
        gateway: Arc::new(outside),
        probes: probes.clone(),
        pages,
        patience: limits.budget,
        door: None,
        metrics: None,
    };
    let back = Front {
        gateway: Arc::new(between),
        probes: probes.clone(),
        pages: control::router(control.clone())
            .merge(control::logs::router(
                control.modules.iter().map(|m| m.db.log()),
                tokens.clone(),
            ))
            .merge(follow(Arc::new(InternalDoor(tokens.clone())))),
        patience: CONTROL_PATIENCE,
        door: Some(Arc::new(InternalDoor(tokens))),
        metrics: Some(Arc::new(Metrics::new(control.clone()))),
    };
    let accepting = stop.child_token();
    let servers = async {
        tokio::join!(
            serve(public, connections, accepting.clone(), grace, move |request, from| {
                front.clone().answer(request, from)
            }),
            serve(internal, inside, accepting.clone(), grace, move |request, from| back
                .clone()
                .answer(request, from)),
        )
    };
    probes.started();
    ready(public_address);
    tracing::info!(%public_address, %internal_address, "banyan is ready");
    let stopping = async {
        let signal = asked_to_stop().await;
        tracing::info!(signal, "asked to stop: finishing what was accepted");
        probes.stopping();
        // Streams that would never end by themselves end now, and nothing new is accepted.
        stop.cancel();
    };
    tokio::join!(servers, stopping);
    background.end().await;
    drop(control);
    drop(held);
    for db in databases {
        db.close().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Two monoliths must not serve one data folder: the second would answer from routes that the first changes.
fn lock(settings: &Settings) -> Result<File, String> {
    let path = settings.data.folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| {
        format!(
            "cannot write {}: {e}; make the folder writable, or set data.folder",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let folder = settings.data.folder.display();
            Err(format!(
                "another banyan serves the data folder {folder}: end that one, or set data.folder to another"
            ))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(format!("cannot lock {}: {e}", path.display())),
    }
}

/// The address under which a process on this machine reaches us.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// What the modules are put together from.
struct House<'a> {
    settings: &'a Settings,
    schemas: &'a [(Uuid, Db)],
    registry: &'a Arc<Registry>,
    client: &'a HttpClient,
    credentials: Arc<Exchange>,
    recorder: &'a Recorded,
    background: &'a Background,
    /// Hides what is private in what the parallel runs keep.
    redactor: Arc<Redactor>,
    peers: Peers,
}

impl House<'_> {
    fn schema(&self, name: &str) -> Result<&(Uuid, Db), String> {
        let found = self.schemas.iter().find(|(_, db)| db.schema() == name);
        found.ok_or_else(|| format!("there is no module `{name}` to listen to"))
    }

    /// Starts a module, tells the next ones how to call it, and sets its background work going, which waits for its turn.
    fn start(&mut self, module: &'static Module) -> Result<Running, String> {
        let (contract, settings, background) = (module.contract, self.settings, self.background);
        let (data, db) = self.schema(contract.name)?.clone();
        let stats = ModuleStats::new(contract.operations.len()).recorded(self.recorder.clone());
        let (stats, deck) = (Arc::new(stats), Deck::default());
        let started = (module.start)(&Ground {
            db: db.clone(),
            stats: stats.clone(),
            peers: &self.peers,
            log: &|name| Ok(self.schema(name)?.1.log()),
            deck: deck.clone(),
            settings,
        })?;
        let again = Again::new(&started);
        let server = started.server;
        let way = PoolLimits {
            timeout: settings.remote.timeout,
            in_flight: settings.remote.in_flight,
        };
        let (registry, client) = (self.registry.clone(), self.client.clone());
        let pool = Pool::new(contract, registry, client, self.credentials.clone(), way);
        let pool = Arc::new(pool.recorded(self.recorder.clone()));
        let limits = ParallelLimits {
            queue: settings.parallel_run.queue,
            in_flight: settings.parallel_run.in_flight,
            timeout: settings.parallel_run.timeout,
            body: settings.parallel_run.body_limit,
        };
        let (parallel, worker) = ParallelRun::new(
            contract,
            limits,
            Arc::new(SystemClock),
            self.redactor.clone(),
            pool.clone(),
            server.clone(),
        );
        parallel.with_redo(Arc::new(again.clone()));
        let stop = background.stop().clone();
        background.run(async move {
            tokio::select! { () = worker => {}, () = stop.cancelled() => {} }
        });
        let routes = Arc::new(RouteTable::new(contract));
        let turn = || Turn::following(routes.turn(Side::Monolith));
        let (relay, stop) = (db.relay().with_turn(turn()), background.stop().clone());
        background.run(async move { relay.run(stop.cancelled()).await });
        let (janitor, stop) = (db.janitor().with_turn(turn()), background.stop().clone());
        background.run(async move { janitor.run(stop.cancelled()).await });
        for work in started.work {
            background.run(work(turn(), background.stop().clone()));
        }
        let switch = Arc::new(Switch::new(routes, stats, parallel));
        deck.connect(switch.clone());
        (started.link)(&mut self.peers, switch.clone(), pool.clone());
        Ok(Running {
            contract,
            public: module.public,
            inside: module.inside,
            db,
            data,
            server,
            switch,
            pool,
            sagas: started.sagas,
            again,
        })
    }
}

fn mount(running: &Running, but: &'static [&'static str]) -> Mount {
    Mount {
        wants: None,
        but,
        server: running.server.clone(),
        switch: Some((running.switch.clone(), running.pool.clone())),
    }
}

/// Loads the sample season on the first start. It is marked only when it is whole, and loading it twice loads it once,
/// so being killed in the middle of it does no harm.
async fn first_season(store: &ControlStore, modules: &[Running], no_sample: bool) -> Result<(), String> {
    if store.has_mark(SAMPLE).await.map_err(|e| e.to_string())? {
        return Ok(());
    }
    if !no_sample && let Some(running) = modules.iter().find(|m| m.contract.name == CATALOG.name) {
        let unseen = Arc::new(ModuleStats::new(CATALOG.operations.len()));
        let catalog = CatalogModule::new(running.db.clone()).guarded(unseen);
        let shows = sample::load(&*catalog, &Cx::system("sample"), SystemClock.now()).await?;
        tracing::info!(shows, "the sample season is loaded");
    }
    store.set_mark(SAMPLE).await.map_err(|e| e.to_string())
}

/// What goes on beside the requests: relays, subscriptions, health, keys.
fn work(control: &Arc<Control>, client: &HttpClient, background: &Background) {
    let stop = background.stop();
    // Nobody extracts the control plane.
    let (relay, stopped) = (control.store.db().relay(), stop.clone());
    background.run(async move { relay.run(stopped.cancelled()).await });
    let (janitor, stopped) = (control.store.db().janitor(), stop.clone());
    background.run(async move { janitor.run(stopped.cancelled()).await });
    for subscription in happened_subscriptions(control.store.db(), control.modules.iter().map(|m| &m.db)) {
        let stop = stop.clone();
        background.run(async move { subscription.run(stop.cancelled()).await });
    }
    let (watched, http, stopped) = (control.clone(), client.clone(), stop.clone());
    background.run(async move {
        tokio::select! { () = watch_instances(&watched, &http) => {}, () = stopped.cancelled() => {} }
    });
    let keys = control.keys.clone();
    repeat(background, HOUSEKEEPING, move || {
        let keys = keys.clone();
        async move {
            if let Err(error) = keys.maintain() {
                tracing::error!(%error, "the signing keys");
            }
        }
    });
}

/// Looks how the instances are, and forgets those that are silent: regularly, and when somebody comes or falls ill.
async fn watch_instances(control: &Control, http: &HttpClient) {
    let settings = &control.settings.instances;
    let mut changes = control.registry.changes();
    loop {
        for lost in control.registry.forget_lost(settings.lost_after) {
            control.inherit(&lost).await;
        }
        changes.mark_unchanged();
        examine(&control.registry, http).await;
        tokio::time::sleep(BREATH).await;
        _ = tokio::time::timeout(settings.heartbeat, changes.changed()).await;
    }
}

fn repeat<F: Future<Output = ()> + Send + 'static>(
    background: &Background,
    every: Duration,
    task: impl Fn() -> F + Send + 'static,
) {
    let stop = background.stop().clone();
    background.run(async move {
        let mut timer = tokio::time::interval(every);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = timer.tick() => tokio::select! { () = task() => {}, () = stop.cancelled() => break },
            }
        }
    });
}

/// Asks every instance how it is, all at once.
async fn examine(registry: &Registry, http: &HttpClient) {
    let asked = registry.all();
    let examinations = asked.iter().map(|instance| async move {
        let url = format!("{}/readyz", instance.registration.url.trim_end_matches('/'));
        let request = Request::get(url).body(Outgoing::Full(Default::default()));
        let well = match request {
            Ok(request) => tokio::time::timeout(HEALTH, async {
                let answer = http.request(request).await.ok()?;
                let status = answer.status();
                // Read to its end, so that the connection is kept.
                http_body_util::Limited::new(answer.into_body(), 64 << 10)
                    .collect()
                    .await
                    .ok()?;
                Some(status.is_success())
            })
            .await
            .ok()
            .flatten()
            .unwrap_or(false),
            Err(_) => false,
        };
        registry.set_healthy(instance, well);
    });
    futures_util::future::join_all(examinations).await;
}

/// One of the two addresses: probes, operations, and the pages behind them.
#[derive(Clone)]
struct Front {
    gateway: Arc<Gateway>,
    probes: Probes,
    pages: Router,
    /// How long a page may take, its request's body included.
    patience: Duration,
    /// Who may pass at all; the public address lets anybody in.
    door: Option<Arc<InternalDoor>>,
    /// Answered without a token, on the internal address alone.
    metrics: Option<Arc<Metrics>>,
}

impl Front {
    async fn answer(self, mut request: Request<Incoming>, from: IpAddr) -> Response<AnyBody> {
        // RFC 9112, 3.2: exactly one Host, or nobody can tell what was asked of whom.
        let hosts = request.headers().get_all(http::header::HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == http::Version::HTTP_11) {
            return refuse(http::StatusCode::BAD_REQUEST, "a request has exactly one Host header");
        }
        let path = request.uri().path();
        if self.gateway.takes(path) && !progress::takes(path) {
            return self.gateway.handle(request).await.map(AnyBody::Operation);
        }
        let follows = progress::takes(path);
        if let Some(answer) = self.probes.answer(path).await {
            return answer.map(AnyBody::Page);
        }
        if path == "/metrics"
            && let Some(metrics) = &self.metrics
        {
            return metrics.answer().await.map(AnyBody::Page);
        }
        if let Some(door) = &self.door
            && let Err(why) = door.insider(request.headers())
        {
            return refuse(http::StatusCode::UNAUTHORIZED, why);
        }
        if follows {
            request.extensions_mut().insert(progress::Client(from));
        }
        match tokio::time::timeout(self.patience, self.pages.oneshot(request)).await {
            Ok(Ok(page)) => page.map(AnyBody::Page),
            Ok(Err(never)) => match never {},
            Err(_) => refuse(
                http::StatusCode::REQUEST_TIMEOUT,
                "the request did not arrive, or was not answered, in time",
            ),
        }
    }
}

fn refuse(status: http::StatusCode, why: impl Into<String>) -> Response<AnyBody> {
    axum::response::IntoResponse::into_response(ControlProblem::new(status, why)).map(AnyBody::Page)
}
