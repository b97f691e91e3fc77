//! The switchboard over a store in memory.

use std::sync::Mutex;

use http::Method;
use utoipa::openapi::OpenApi;

use super::*;
use crate::{Auth, BoxFuture, Contract, Kind, Operation, SystemClock, cohort::Cohort, compare::Marks};

const fn operation(name: &'static str, id: &'static str, kind: Kind, uncaptured: Option<&'static str>) -> Operation {
    Operation {
        name,
        id,
        kind,
        method: Method::GET,
        path: "/",
        auth: Auth::Public,
        headers: &[],
        uncaptured,
        doc: "",
        input_marks: Marks::default,
        answer_marks: Marks::default,
    }
}

static SHOP: Contract = Contract {
    name: "shop",
    version: 1,
    pages: false,
    doc: "",
    operations: &[
        operation("look", "shop.look", Kind::Query, None),
        operation("buy", "shop.buy", Kind::Command, None),
        operation(
            "print",
            "shop.print",
            Kind::Command,
            Some("prints on the shop's printer"),
        ),
    ],
    events: &[],
    openapi: || OpenApi::builder().build(),
};

/// What was stored by target, and how often.
#[derive(Default)]
struct Kept(Mutex<(BTreeMap<String, Stored>, usize)>);

impl RouteStore for Arc<Kept> {
    fn save<'a>(
        &'a self,
        routes: Vec<(String, Option<Stored>)>,
        _: &'a AuditEntry,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut kept = self.0.lock().unwrap();
            kept.1 += 1;
            for (target, stored) in routes {
                match stored {
                    Some(stored) => _ = kept.0.insert(target, stored),
                    None => _ = kept.0.remove(&target),
                }
            }
            Ok(())
        })
    }

    fn load(&self) -> BoxFuture<'_, Result<Vec<(String, Stored)>, String>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().0.clone().into_iter().collect()) })
    }
}

async fn board(kept: &Arc<Kept>) -> Switchboard {
    let table = Arc::new(RouteTable::new(&SHOP));
    Switchboard::open(vec![table], Arc::new(kept.clone()), Arc::new(SystemClock))
        .await
        .unwrap()
}

fn to(target: &str, stage: Stage) -> Change {
    Change {
        target: target.to_owned(),
        stage: Some(stage),
        ..Change::default()
    }
}

fn canary(target: &str, percent: &str) -> Change {
    Change {
        percent: Some(percent.parse().unwrap()),
        ..to(target, Stage::Canary)
    }
}

async fn change(board: &Switchboard, change: &Change) -> Result<(String, String), Refusal> {
    let done = board.change(change, "ada", |_, _| Ok(())).await;
    done.map(|entry| (entry.from, entry.to))
}

#[tokio::test]
async fn the_salt_is_drawn_at_the_first_canary_and_kept() {
    let kept = Arc::default();
    let salt = |board: &Switchboard| board.tables()[0].all().salt;
    let first = board(&kept).await;
    change(&first, &to("shop", Stage::Remote)).await.unwrap();
    assert_eq!(salt(&first), None);
    // An operation's canary draws for its module.
    change(&first, &canary("shop.look", "5")).await.unwrap();
    let drawn = salt(&first);
    assert!(drawn.is_some() && kept.0.lock().unwrap().0["shop"].salt == drawn);
    assert_eq!(first.tables()[0].all().module, Route::at(Stage::Remote));
    let inherit = Change {
        target: "shop.look".to_owned(),
        ..Change::default()
    };
    change(&first, &inherit).await.unwrap();
    for stage in [
        canary("shop", "10"),
        to("shop", Stage::Local),
        canary("shop", "20"),
        canary("shop.buy", "1"),
    ] {
        change(&first, &stage).await.unwrap();
        assert_eq!(salt(&first), drawn);
    }
    let again = board(&kept).await;
    assert_eq!(*again.tables()[0].all(), *first.tables()[0].all());
    let other = Arc::default();
    change(&board(&other).await, &canary("shop", "10")).await.unwrap();
    assert_ne!(other.0.lock().unwrap().0["shop"].salt, drawn);
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_with_a_sentence() {
    let kept = Arc::default();
    let board = board(&kept).await;
    let half = Some("50".parse().unwrap());
    let staff: Cohort = "staff=principal:ada".parse().unwrap();
    let many = (0..=crate::cohort::COHORTS).map(|n| format!("c{n}=principal:x").parse().unwrap());
    for (wrong, said) in [
        (to("shop", Stage::Canary), "--percent 5"),
        (
            Change {
                percent: half,
                ..to("shop", Stage::Remote)
            },
            "belongs to `canary`",
        ),
        (
            Change {
                sample: half,
                ..to("shop", Stage::Remote)
            },
            "belongs to `shadow` and `verify`",
        ),
        (
            Change {
                sample: half,
                ..canary("shop", "5")
            },
            "not to `canary`",
        ),
        (
            Change {
                cohorts: Some(vec![staff.clone()]),
                ..to("shop", Stage::Verify)
            },
            "cohorts belong to `canary`",
        ),
        (
            Change {
                cohorts: Some(many.collect()),
                ..canary("shop", "5")
            },
            "at most",
        ),
        (
            Change {
                fallback: Some(Fallback::None),
                ..canary("shop", "5")
            },
            "always answers",
        ),
        (
            Change {
                percent: half,
                stage: None,
                ..to("shop.look", Stage::Local)
            },
            "not to `inherit`",
        ),
        (
            Change {
                stage: None,
                ..to("shop", Stage::Local)
            },
            "nobody to inherit from",
        ),
    ] {
        match change(&board, &wrong).await {
            Err(Refusal::Wrong(why)) => assert!(why.contains(said), "{wrong:?}: {why}"),
            other => panic!("{wrong:?}: {other:?}"),
        }
    }
    assert_eq!(kept.0.lock().unwrap().1, 0, "nothing was written down");
}

#[tokio::test]
async fn a_canary_that_grows_keeps_its_cohorts() {
    let kept = Arc::default();
    let board = board(&kept).await;
    let staff = Change {
        cohorts: Some(vec!["staff=header:x-staff=1".parse().unwrap()]),
        ..canary("shop", "5")
    };
    let said = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
    let five = "canary 5%, cohorts staff=header:x-staff=1";
    assert_eq!(change(&board, &staff).await, said("local", five));
    assert_eq!(
        change(&board, &canary("shop", "10")).await,
        said(five, &five.replace("5%", "10%"))
    );
    let none = Change {
        cohorts: Some(Vec::new()),
        ..canary("shop", "10")
    };
    assert_eq!(
        change(&board, &none).await,
        said(&five.replace("5%", "10%"), "canary 10%")
    );
    change(&board, &staff).await.unwrap();
    change(&board, &to("shop", Stage::Local)).await.unwrap();
    assert_eq!(change(&board, &canary("shop", "5")).await, said("local", "canary 5%"));
    let writes = kept.0.lock().unwrap().1;
    assert_eq!(
        change(&board, &canary("shop", "5")).await,
        said("canary 5%", "canary 5%")
    );
    assert_eq!(kept.0.lock().unwrap().1, writes, "what is so already leaves no line");
}

#[tokio::test]
async fn gateways_are_told_what_to_note_as_long_as_a_route_asks() {
    let kept = Arc::default();
    let board = board(&kept).await;
    let mut headers = http::HeaderMap::new();
    headers.insert("x-staff", http::HeaderValue::from_static("1"));
    let noted = || board.wanted().note(None, &headers).is_some();
    assert!(!noted());
    let staff = Change {
        cohorts: Some(vec!["staff=header:x-staff=1".parse().unwrap()]),
        ..canary("shop.look", "0")
    };
    change(&board, &staff).await.unwrap();
    assert!(noted());
    assert!(
        super::tests::board(&kept).await.wanted().note(None, &headers).is_some(),
        "after a restart, too"
    );
    change(&board, &to("shop.look", Stage::Local)).await.unwrap();
    assert!(!noted());
}

#[tokio::test]
async fn background_work_changes_hands_with_who_answers_all() {
    let kept = Arc::default();
    let board = board(&kept).await;
    let table = &board.tables()[0];
    let (monolith, service) = (table.turn(Side::Monolith), table.turn(Side::Service));
    let mut epoch = 0;
    let mut before = Side::Monolith;
    let stages = [
        Stage::Shadow,
        Stage::Canary,
        Stage::Verify,
        Stage::Remote,
        Stage::Canary,
        Stage::Local,
        Stage::Verify,
    ];
    for stage in stages {
        let wanted = match stage {
            Stage::Canary => canary("shop", "50"),
            _ => to("shop", stage),
        };
        change(&board, &wanted).await.unwrap();
        epoch += i64::from(stage.worker() != before);
        before = stage.worker();
        let turns = (*monolith.borrow(), *service.borrow());
        let want = match before {
            Side::Monolith => (Some(epoch), None),
            Side::Service => (None, Some(epoch)),
        };
        assert_eq!(turns, want, "{stage}");
        // An operation's own stage moves none of it.
        change(&board, &to("shop.look", Stage::Remote)).await.unwrap();
        change(&board, &to("shop.look", Stage::Local)).await.unwrap();
        assert_eq!((*monolith.borrow(), *service.borrow()), want);
    }
    assert_eq!(epoch, 3);
}

#[tokio::test]
async fn what_cannot_be_captured_is_not_compared() {
    let kept = Arc::default();
    let board = board(&kept).await;
    for stage in [Stage::Shadow, Stage::Verify] {
        match change(&board, &to("shop.print", stage)).await {
            Err(Refusal::Refused(why)) => assert!(why.contains("prints on the shop's printer"), "{why}"),
            other => panic!("{stage}: {other:?}"),
        }
        // The others of its module are.
        change(&board, &to("shop", stage)).await.unwrap();
        change(&board, &to("shop.buy", stage)).await.unwrap();
    }
    change(&board, &to("shop.print", Stage::Remote)).await.unwrap();
    let not_compared: Vec<_> = SHOP.not_compared().collect();
    assert_eq!(not_compared, [("shop.print", "prints on the shop's printer")]);
}

#[test]
fn only_what_is_simply_local_is_not_looked_at() {
    let table = RouteTable::new(&SHOP);
    for stage in Stage::ALL {
        table.set(ModuleRoutes {
            module: Route::at(stage),
            ..ModuleRoutes::default()
        });
        assert_eq!([0, 1].map(|i| table.is_local(i)), [stage == Stage::Local; 2], "{stage}");
    }
}
