//! `canary` and `verify`, and the share of calls that is compared, through the typed switch.

use std::collections::BTreeSet;

use strangler::{Trace, routes::written, share::Share};

use super::*;

fn share(text: &str) -> Share {
    text.parse().unwrap()
}

fn known(name: &str) -> Cx {
    Cx::new(Principal::known(name, Scopes::None))
}

impl World {
    fn route(&self, route: &str, salt: u64) {
        self.routes.set(ModuleRoutes {
            module: route.parse().unwrap(),
            salt: Some(salt),
            ..Default::default()
        });
    }

    /// Runs the parallel run's worker until so many calls are judged.
    async fn judged(&mut self, eligible: u64) {
        if let Some(worker) = self.worker.take() {
            tokio::spawn(worker);
        }
        let done = tokio::time::timeout(Duration::from_secs(5), async {
            while self.parallel.summary().eligible < eligible {
                tokio::task::yield_now().await;
            }
        });
        done.await.unwrap();
    }

    /// Which of so many callers the service answers.
    async fn remote(&self, callers: u32) -> BTreeSet<u32> {
        let mut remote = BTreeSet::new();
        for caller in 0..callers {
            let cx = known(&format!("caller-{caller}"));
            if self.switch.show(&cx, ShowId(1)).await.unwrap().title == "there" {
                remote.insert(caller);
            }
        }
        remote
    }
}

#[tokio::test]
async fn in_verify_the_service_answers_and_the_monolith_is_compared() {
    let mut w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    w.stage(Stage::Verify, Fallback::None);
    assert_eq!(w.switch.show(&anybody(), ShowId(1)).await.unwrap().title, "there");
    assert!(w.switch.show(&anybody(), ShowId(2)).await.is_err());
    let counts = w.local_stats.operation(SHOW);
    assert_eq!((counts.remote.load(Relaxed), counts.local.load(Relaxed)), (2, 0));
    assert_eq!(counts.compared.load(Relaxed), 0, "the caller did not wait for that");
    w.judged(2).await;
    let summary = w.parallel.summary();
    assert_eq!((summary.matched, summary.mismatched), (1, 1), "{summary:?}");
    let groups = w.parallel.groups();
    assert_eq!(groups.len(), 1, "{groups:?}");
    let (path, example) = (&groups[0].path, &groups[0].example);
    assert_eq!(
        (path.as_str(), &example.local, &example.remote),
        ("/title", &"here".into(), &"there".into())
    );
    assert_eq!(w.local_stats.operation(SHOW).local.load(Relaxed), 0);
}

#[tokio::test]
async fn in_verify_too_the_monolith_answers_what_the_service_cannot() {
    let mut w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    w.stage(Stage::Verify, Fallback::Local);
    *w.way.instead.lock().unwrap() = Some(unavailable());
    assert_eq!(w.switch.show(&anybody(), ShowId(1)).await.unwrap().title, "here");
    w.judged(1).await;
    let summary = w.parallel.summary();
    assert_eq!((summary.dropped, summary.skips["not_answered"]), (1, 1), "{summary:?}");
    assert_eq!(w.local_stats.operation(SHOW).fallback.load(Relaxed), 1);
}

#[tokio::test]
async fn a_command_in_verify_runs_once_and_there() {
    let w = world(InMemory::default(), InMemory::default());
    w.stage(Stage::Verify, Fallback::None);
    let announced = w.switch.announce(&writer(), ShowId(1), None, draft("Lear")).await;
    assert!(announced.is_ok());
    assert_eq!((w.way.sent.load(SeqCst), w.parallel.summary().eligible), (1, 0));
    assert!(w.local.show(&anybody(), ShowId(1)).await.is_err());
}

#[tokio::test]
async fn only_the_share_that_is_sampled_is_eligible() {
    for (stage, salt) in [("shadow", 1), ("verify", 2)] {
        let mut w = world(InMemory::with(1, "same"), InMemory::with(1, "same"));
        w.route(&format!("{stage}, sample 25%"), salt);
        for _ in 0..200 {
            assert!(w.switch.show(&anybody(), ShowId(1)).await.is_ok());
        }
        w.judged(48).await;
        let eligible = w.parallel.summary().eligible;
        assert!((48..=52).contains(&eligible), "{stage}: {eligible}");
        w.route(&format!("{stage}, sample 0%"), salt);
        for _ in 0..200 {
            assert!(w.switch.show(&anybody(), ShowId(1)).await.is_ok());
        }
        assert_eq!(w.parallel.summary().eligible, eligible);
    }
}

#[tokio::test]
async fn a_canary_is_sticky_and_a_larger_share_only_adds() {
    const CALLERS: u32 = 3000;
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    for salt in [1, 0xfeed_beef] {
        let mut before = BTreeSet::new();
        for percent in ["0", "0.5", "10", "30", "99.99", "100"] {
            w.route(&format!("canary {percent}%"), salt);
            let now = w.remote(CALLERS).await;
            assert_eq!(now, w.remote(CALLERS).await, "sticky at {percent}%");
            assert!(before.is_subset(&now), "{percent}% sends nobody back");
            let (n, p) = (f64::from(CALLERS), share(percent).percent() / 100.0);
            // Four standard deviations of a binomial, and one.
            let (want, most) = (n * p, 1.0 + 4.0 * (n * p * (1.0 - p)).sqrt());
            assert!(
                (now.len() as f64 - want).abs() <= most,
                "{percent}%: {} of {CALLERS}",
                now.len()
            );
            before = now;
        }
    }
    let first = |salt| {
        w.route("canary 10%", salt);
        w.remote(CALLERS)
    };
    let (one, other) = (first(1).await, first(2).await);
    // Independent draws share one in a hundred: 30, give or take.
    assert!(
        one.intersection(&other).count() < 60,
        "modules are drawn for by themselves"
    );
    assert_eq!(w.local_stats.operation(SHOW).keyless.load(Relaxed), 0);
}

#[tokio::test]
async fn an_operation_has_its_modules_draw_and_a_command_too() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    let own: Route = "canary 40%".parse().unwrap();
    w.routes.set(ModuleRoutes {
        operations: [(SHOW, own.clone()), (ANNOUNCE, own)].into(),
        salt: Some(7),
        ..Default::default()
    });
    for caller in 0..200 {
        let who = Principal::known(&format!("caller-{caller}"), Scopes::All);
        let sent = || w.way.sent.load(SeqCst);
        let before = sent();
        let remote = w.switch.show(&Cx::new(who.clone()), ShowId(1)).await.unwrap().title != "here";
        let between = sent();
        assert_eq!(between > before, remote);
        let announced = w.switch.announce(&Cx::new(who), ShowId(9), None, draft("Lear")).await;
        assert!(announced.is_ok());
        assert_eq!(sent() > between, remote, "caller {caller}");
        w.route("canary 40%", 7);
    }
}

#[tokio::test]
async fn who_cannot_be_told_from_others_takes_the_old_path_and_is_counted() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    w.route("canary 100%", 1);
    for _ in 0..5 {
        assert_eq!(w.switch.show(&anybody(), ShowId(1)).await.unwrap().title, "here");
    }
    let keyed = anybody().with_idempotency_key("once");
    assert_eq!(w.switch.show(&keyed, ShowId(1)).await.unwrap().title, "there");
    assert_eq!(w.local_stats.operation(SHOW).keyless.load(Relaxed), 5);
}

#[tokio::test]
async fn a_cohort_goes_ahead_of_the_share() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    w.route("canary 0%, cohorts a=principal:ada g=attribute:tier=gold", 1);
    let gold = anybody().with_trace(Trace {
        baggage: Some("x=1, tier=gold".into()),
        ..Trace::start()
    });
    for (cx, title) in [
        (known("ada"), "there"),
        (known("bob"), "here"),
        (gold, "there"),
        (anybody(), "here"),
    ] {
        assert_eq!(w.switch.show(&cx, ShowId(1)).await.unwrap().title, title, "{cx:?}");
    }
    assert_eq!(
        w.local_stats.operation(SHOW).keyless.load(Relaxed),
        1,
        "gold needs no key"
    );
    assert_eq!(
        written(&w.routes.route(SHOW).cohorts),
        "a=principal:ada g=attribute:tier=gold"
    );
}

#[tokio::test]
async fn in_a_canary_the_monolith_answers_a_query_that_the_service_fails() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    w.route("canary 100%", 1);
    for failure in [gibberish(), unavailable()] {
        *w.way.instead.lock().unwrap() = Some(failure);
        assert_eq!(w.switch.show(&known("ada"), ShowId(1)).await.unwrap().title, "here");
    }
    // Nobody knows what became of the first command; the second was not taken.
    *w.way.instead.lock().unwrap() = Some(gibberish());
    assert!(
        w.switch
            .announce(&writer(), ShowId(3), None, draft("Lear"))
            .await
            .is_err()
    );
    *w.way.instead.lock().unwrap() = Some(unavailable());
    assert!(
        w.switch
            .announce(&writer(), ShowId(3), None, draft("Lear"))
            .await
            .is_ok()
    );
    let counts = |index| w.local_stats.operation(index).fallback.load(Relaxed);
    assert_eq!((counts(SHOW), counts(ANNOUNCE)), (2, 1));
}
