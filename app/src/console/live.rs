//! The map kept up to date: server-sent events that carry the parts of the page that changed.
//!
//! One task renders, for everybody who listens, and rests when nobody does. A listener says what its page shows and is
//! brought up from there, so a stream that was cut costs no more than what changed meanwhile.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Console, fragment::Fragment, page, screen::Screen, session::Listener, waiting};
use crate::control::Control;

/// How many may listen at once.
const LISTENERS: usize = 64;
/// The shortest time between two updates.
const PACE: Duration = Duration::from_millis(500);
/// The most bytes of one update. What has no place in it comes with the next one, and first there.
const MOST: usize = 4096;
/// The shortest time between two questions to the databases.
const LOOK: Duration = Duration::from_secs(2);
/// A sign of life when nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What was rendered last; nothing, while nobody listens.
#[derive(Default)]
struct Shown {
    at: String,
    fragments: Vec<Fragment>,
}

/// The renderer's other end.
pub(super) struct Live {
    shown: watch::Sender<Arc<Shown>>,
    wake: Arc<Notify>,
    places: Arc<Semaphore>,
    /// How many listen to what only databases know.
    asking: Arc<AtomicUsize>,
}

impl Live {
    /// Starts the task that renders; it ends with `stop`.
    pub(super) fn start(control: Arc<Control>, stop: CancellationToken) -> Self {
        let live = Self {
            shown: watch::Sender::default(),
            wake: Arc::default(),
            places: Arc::new(Semaphore::new(LISTENERS)),
            asking: Arc::default(),
        };
        let (shown, wake, asking) = (live.shown.clone(), live.wake.clone(), live.asking.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = produce(&control, &shown, &wake, &asking) => {}
                () = stop.cancelled() => {}
            }
        });
        live
    }
}

async fn produce(control: &Control, shown: &watch::Sender<Arc<Shown>>, wake: &Notify, asking: &AtomicUsize) {
    let mut waiting = Waiting::default();
    loop {
        if shown.receiver_count() == 0 {
            shown.send_replace(Arc::default());
            waiting = Waiting::default();
            wake.notified().await;
            continue;
        }
        let screen = Screen::of(control, None).await;
        if asking.load(Relaxed) > 0 {
            waiting.look(control).await;
        }
        let fragments: Vec<_> = screen.fragments().chain(&waiting.fragments).cloned().collect();
        shown.send_if_modified(|shown| {
            let changed = shown.fragments != fragments;
            if changed {
                *shown = Arc::new(Shown {
                    at: screen.at,
                    fragments,
                });
            }
            changed
        });
        sleep(PACE).await;
    }
}

/// What databases say of what waits in them. They are asked every now and then only.
#[derive(Default)]
struct Waiting {
    asked: Option<Instant>,
    fragments: Vec<Fragment>,
}

impl Waiting {
    async fn look(&mut self, control: &Control) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= LOOK) {
            self.fragments = waiting::fragments(control).await;
            self.asked = Some(Instant::now());
        }
    }
}

/// Counted as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One listener's stream.
struct Listening {
    shown: watch::Receiver<Arc<Shown>>,
    /// The version of each part that its page shows.
    has: HashMap<String, String>,
    /// Whether it said of none.
    everything: bool,
    greeted: bool,
    /// When it was last sent an update.
    sent: Option<Instant>,
    /// The part that had no place in it.
    behind: Option<usize>,
    ends: Instant,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
    _asking: Option<Counted>,
}

impl Listening {
    /// The next piece of the stream; `None` at its end. The first one says which server this is.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            self.shown.mark_changed();
            let page::Server { id, at } = page::server();
            return Some(format!("event: server\ndata: {id} {at}\n\n").into());
        }
        loop {
            let ends = self.ends;
            let next = self.sent.map_or_else(Instant::now, |sent| sent + PACE);
            let heartbeat = tokio::select! {
                changed = self.shown.changed(), if self.behind.is_none() => { changed.ok()?; false }
                () = sleep_until(next), if self.behind.is_some() => false,
                () = sleep(HEARTBEAT) => true,
                () = sleep_until(ends) => return None,
                () = self.stop.cancelled() => return None,
            };
            if heartbeat {
                return Some(Bytes::from_static(b":\n\n"));
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = sleep_until(ends) => return None,
                () = self.stop.cancelled() => return None,
            }
            let shown = self.shown.borrow_and_update().clone();
            if !shown.fragments.is_empty() {
                self.sent = Some(Instant::now());
                return Some(self.update(&shown).into());
            }
            self.behind = None;
        }
    }

    fn update(&mut self, shown: &Shown) -> String {
        let mut out = format!("event: at\ndata: {}\n\n", shown.at);
        let (bare, count) = (out.len(), shown.fragments.len());
        let first = self.behind.take().unwrap_or_default();
        for index in (0..count).map(|nth| (first + nth) % count) {
            let fragment = &shown.fragments[index];
            // A page is told of what it has; one that says nothing of itself, of everything.
            if !self.everything && !self.has.contains_key(&fragment.id) {
                continue;
            }
            let had = self.has.get_mut(&fragment.id);
            let mut piece = String::new();
            // Measured as if it were alone: it will be, should it need that.
            fragment.bring_up(had.as_ref().map(|v| v.as_str()), MOST - bare, &mut piece);
            if out.len() > bare && out.len() + piece.len() > MOST {
                self.behind.get_or_insert(index);
                continue;
            }
            out.push_str(&piece);
            match had {
                Some(had) => had.clone_from(&fragment.version),
                None => _ = self.has.insert(fragment.id.clone(), fragment.version.clone()),
            }
        }
        out
    }
}

#[derive(Deserialize)]
pub(super) struct Have {
    #[serde(default)]
    have: String,
}

/// `id:version,id:version`: what a page shows.
fn versions(have: &str) -> HashMap<String, String> {
    let pairs = have.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(id, version)| (id.to_owned(), version.to_owned())).collect()
}

/// `GET /console/live`.
pub(super) async fn listen(
    listener: Listener,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Have>, QueryRejection>,
) -> Response {
    let Ok(place) = console.live.places.clone().try_acquire_owned() else {
        let why = format!("{LISTENERS} pages are live already; close one, or reload this one by hand.\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], why).into_response();
    };
    let has = asked.map(|Query(a)| versions(&a.have)).unwrap_or_default();
    let asks = has.is_empty() || has.keys().any(|id| waiting::is_asked(id));
    let listening = Listening {
        shown: console.live.shown.subscribe(),
        everything: has.is_empty(),
        has,
        _asking: asks.then(|| Counted::new(&console.live.asking)),
        greeted: false,
        sent: None,
        behind: None,
        ends: Instant::now() + Duration::from_secs(listener.lasts),
        stop: console.stop.clone(),
        _place: place,
    };
    console.live.wake.notify_one();
    let pieces = stream::unfold(listening, |mut listening| async move {
        let piece = listening.next().await?;
        Some((Ok::<_, Infallible>(piece), listening))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response()
}

#[cfg(test)]
mod tests {
    use askama::Template;

    use super::*;

    #[derive(Template)]
    #[template(source = "{{ text }}", ext = "html")]
    struct Text {
        text: &'static str,
    }

    fn shown(texts: &[(&str, &'static str)]) -> Arc<Shown> {
        let fragments = texts
            .iter()
            .map(|(id, text)| Fragment::new((*id).to_owned(), &Text { text }))
            .collect();
        Arc::new(Shown {
            at: "12:00:00 UTC".to_owned(),
            fragments,
        })
    }

    fn listening(shown: &watch::Sender<Arc<Shown>>, has: &str, stop: &CancellationToken) -> Listening {
        Listening {
            shown: shown.subscribe(),
            has: versions(has),
            everything: has.is_empty(),
            _asking: None,
            greeted: false,
            sent: None,
            behind: None,
            ends: Instant::now() + Duration::from_secs(60),
            stop: stop.clone(),
            _place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        }
    }

    async fn text(listening: &mut Listening) -> String {
        String::from_utf8(listening.next().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_gets_what_its_page_lacks_and_then_what_changes() {
        let (all, stop) = (watch::Sender::<Arc<Shown>>::default(), CancellationToken::new());
        let first = shown(&[("a", "one"), ("b", "two")]);
        let has = format!("a:{},b:0,nonsense", first.fragments[0].version);
        let mut listening = listening(&all, &has, &stop);
        let greeting = text(&mut listening).await;
        let server = page::server();
        assert_eq!(
            greeting,
            format!("event: server\ndata: {} {}\n\n", server.id, server.at)
        );
        assert_eq!(
            text(&mut listening).await,
            ":\n\n",
            "nothing is rendered yet: a sign of life"
        );
        all.send_replace(first);
        let update = text(&mut listening).await;
        assert!(
            update.starts_with("event: at\ndata: 12:00:00 UTC\n\nevent: put\ndata: b "),
            "{update}"
        );
        assert!(!update.contains("one"), "{update}");
        all.send_replace(shown(&[("a", "three"), ("b", "two")]));
        let update = text(&mut listening).await;
        assert!(update.contains("three") && !update.contains("two"), "{update}");
    }

    #[derive(Template)]
    #[template(source = "{% for _ in 0..size %}x{% endfor %}", ext = "html")]
    struct Much {
        size: usize,
    }

    fn much(round: usize) -> Arc<Shown> {
        let fragments = (0..40).map(|n| Fragment::new(format!("part-{n}"), &Much { size: 300 + round + n }));
        let rows = (0..50).map(|n| (i64::try_from(round * 50 + 50 - n).unwrap(), "y".repeat(200)));
        let list = Fragment::list("list", rows.collect(), &Text { text: "" });
        Arc::new(Shown {
            at: "12:00:00 UTC".to_owned(),
            fragments: fragments.chain([list]).collect(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_is_small_and_the_next_one_is_not_at_once() {
        let (all, stop) = (watch::Sender::<Arc<Shown>>::default(), CancellationToken::new());
        all.send_replace(much(0));
        let mut listening = listening(&all, "", &stop);
        assert!(text(&mut listening).await.starts_with("event: server"));
        let (mut told, mut last, began) = (std::collections::BTreeSet::new(), None::<Instant>, Instant::now());
        // Everything changes all the time, twice as often as it may be sent.
        for round in 1..=40 {
            all.send_replace(much(round));
            let update = text(&mut listening).await;
            assert!(update.len() <= MOST, "{} bytes", update.len());
            assert!(
                last.is_none_or(|at| at.elapsed() >= PACE),
                "two updates within {PACE:?}"
            );
            last = Some(Instant::now());
            told.extend(
                update
                    .lines()
                    .filter_map(|l| l.strip_prefix("data: ")?.split(' ').next().map(str::to_owned)),
            );
        }
        assert!(began.elapsed() >= PACE * 39);
        assert!(
            told.contains("list") && (0..40).all(|n| told.contains(&format!("part-{n}"))),
            "{told:?}"
        );
        // And when nothing changes any more, the rest follows.
        let last = much(40);
        let versions: HashMap<_, _> = last
            .fragments
            .iter()
            .map(|f| (f.id.clone(), f.version.clone()))
            .collect();
        for _ in 0..10 {
            if listening.has != versions {
                text(&mut listening).await;
            }
        }
        assert_eq!(listening.has, versions);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_process_and_with_the_session() {
        let (all, stop) = (watch::Sender::<Arc<Shown>>::default(), CancellationToken::new());
        let mut short = listening(&all, "", &stop);
        short.ends = Instant::now() + Duration::from_secs(1);
        short.greeted = true;
        assert!(short.next().await.is_none(), "the session is over");
        let mut long = listening(&all, "", &stop);
        long.greeted = true;
        stop.cancel();
        assert!(long.next().await.is_none(), "the process ends");
    }
}
