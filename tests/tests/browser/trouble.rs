//! A system in which things have gone wrong, so that its pages have something to show: dead letters with names that are hard to
//! show, a stuck saga, a mismatch, a long audit trail.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement, Value as Bound};
use serde_json::{Value, json};
use system_tests::{Behaviour, Candidate, System, eventually, holds_soon, office, sales::Placed};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

/// A name that is a script, written from right to left, and very long.
pub fn names() -> [String; 3] {
    [
        "<script>document.title = 'taken over'</script>".to_owned(),
        "להקת \"הדוגמה\" של תל אביב".to_owned(),
        "Wolfeschlegelsteinhausenbergerdorff "
            .repeat(6)
            .chars()
            .take(200)
            .collect(),
    ]
}

/// A schema of a running system, past the program.
pub struct Schema(DatabaseConnection);

impl Schema {
    pub async fn of(system: &System, schema: &str) -> Self {
        let file = system.data().join(format!("{schema}.db"));
        Self(
            Database::connect(format!("sqlite:{}", file.display()))
                .await
                .expect("opened"),
        )
    }

    pub async fn run(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.expect(sql);
    }

    async fn bind(&self, sql: &str, values: Vec<Bound>) {
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, values);
        self.0.execute_raw(statement).await.expect(sql);
    }

    /// From now on what happened to acts cannot be written down.
    pub async fn break_it(&self) {
        self.run(
            "CREATE TRIGGER broken BEFORE INSERT ON happened WHEN NEW.kind = 'catalog.act.changed' \
             BEGIN SELECT RAISE(ABORT, '<img src=x> refused as told: נסיון'); END",
        )
        .await;
    }

    pub async fn mend(&self) {
        self.run("DROP TRIGGER broken").await;
    }
}

pub async fn json_of(system: &System, args: &[&str]) -> Value {
    serde_json::from_str(&system.run(args).await).expect("JSON")
}

/// Changes an act of each of these names twice, which cannot be written down. Answers the dead letters.
pub async fn park(system: &System, control: &Schema, names: &[String]) -> Vec<String> {
    for name in names {
        let act = format!("/api/v1/catalog/acts/{}", office::id());
        for genre in ["jazz", "rock", "folk"] {
            let answer = system.put(&act, &json!({"name": name, "genre": genre})).await;
            assert!(answer.status < 300, "{answer:?}");
        }
    }
    eventually("the dead letters", SOON, || async {
        control
            .run("UPDATE set_aside SET attempts = 7 WHERE due_at IS NOT NULL AND attempts < 7")
            .await;
        let list = json_of(system, &["dead-letters", "list", "--json"]).await;
        let list = list["dead_letters"].as_array()?.iter();
        let ids: Vec<_> = list.map(|l| l["id"].as_str().unwrap_or_default().to_owned()).collect();
        (ids.len() == names.len()).then_some(ids)
    })
    .await
}

/// A service of the catalog that is always a little too dear.
pub async fn dear(system: &System) -> Candidate {
    let mut truths = BTreeMap::new();
    for show in system.shows(3).await {
        let path = office::show_path(&show);
        let mut truth = system.get(&path).await.json();
        let price = &mut truth["prices"][0]["price"]["amount"];
        *price = json!(price.as_i64().unwrap_or_default() + 1);
        truths.insert(path, truth);
    }
    let truths = Arc::new(truths);
    Candidate::start(system, 1, false, move |asked| match truths.get(&asked.path) {
        Some(truth) => Behaviour::Json(200, truth.clone()),
        None => Behaviour::Html,
    })
    .await
}

/// Asks for the first shows until a difference was found.
pub async fn differ(system: &System) {
    let shows = system.shows(3).await;
    holds_soon("a mismatch", SOON, || async {
        for show in &shows {
            assert_eq!(system.get(&office::show_path(show)).await.status, 200);
        }
        let groups = json_of(system, &["diffs", "catalog", "--json"]).await;
        groups["groups"].as_array().is_some_and(|g| !g.is_empty())
    })
    .await;
}

/// All of it.
pub struct Trouble {
    pub letter: String,
    pub stuck: Uuid,
    pub done: Uuid,
    pub mismatch: String,
    _candidate: Candidate,
}

impl Trouble {
    pub async fn make(system: &System) -> Self {
        let hall = system.hall(1, 2).await;
        let orders = [0, 1].map(|n| Placed::new(&hall, &hall.seats[n..=n], "tok_ok"));
        for order in &orders {
            assert_eq!(system.place(order).await.status, 202);
            assert_eq!(system.settled(order.id).await["status"], "confirmed");
        }
        let ordering = Schema::of(system, "ordering").await;
        let reason = json!({"stuck": {"step": "assign", "refused": {"title": names()[0]}}});
        let sql = "UPDATE sagas SET status = 'stuck', step = 'assign', overdue = TRUE, reason = $2 WHERE id = $1";
        ordering.bind(sql, vec![orders[0].id.into(), reason.into()]).await;

        let control = Schema::of(system, "strangler").await;
        control.break_it().await;
        let letters = park(system, &control, &names()).await;
        system
            .run(&["dead-letters", "discard", &letters[2], "--why", &names()[2]])
            .await;

        let candidate = dear(system).await;
        system.run(&["stage", "catalog", "shadow", "--why", &names()[0]]).await;
        differ(system).await;
        for why in names() {
            system.run(&["stage", "catalog.show", "shadow", "--why", &why]).await;
        }
        Self {
            letter: letters[0].clone(),
            stuck: orders[0].id,
            done: orders[1].id,
            mismatch: "/console/parallel-run/catalog?operation=catalog.show&path=/prices/0/price/amount&kind=value"
                .to_owned(),
            _candidate: candidate,
        }
    }
}
