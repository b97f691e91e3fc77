//! What a saga may look like.

use std::sync::Arc;

use strangler_store::{Db, DbOptions, Definition, Retry, Sagas, Step};

use crate::world::{Call, QUICK, State, World, purchase};

fn c(name: &str) -> Step<State> {
    let call = Call(Arc::default());
    Step::compensatable(name, call.clone(), call)
}

fn p(name: &str) -> Step<State> {
    Step::pivot(name, Call(Arc::default()))
}

fn r(name: &str) -> Step<State> {
    Step::retriable(name, Call(Arc::default()))
}

#[tokio::test]
async fn wrong_shapes_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("a.db").display());
    let mut sagas = Sagas::new(Db::open(&url, "a", DbOptions::default()).await.unwrap());
    let wrong = [
        (vec![], "it has no steps"),
        (vec![c("a"), r("b"), c("d")], "d is compensatable but comes after b"),
        (vec![p("a"), r("b"), c("d")], "d is compensatable but comes after a"),
        (vec![p("a"), p("b")], "both a and b are pivots"),
        (vec![p("a"), r("b"), p("d")], "both a and d are pivots"),
        (vec![r("a"), p("b")], "the pivot b comes after the retriable step a"),
        (vec![c("a"), r("a")], "two of its steps are called a"),
        (
            vec![c("a:b")],
            "the name of step `a:b` must not be empty nor contain a colon",
        ),
        (
            vec![c("a").with_retry(Retry { attempts: 0, ..QUICK })],
            "step a must be allowed at least one attempt",
        ),
    ];
    for (steps, cause) in wrong {
        let error = sagas.register(Definition::new("s", steps)).unwrap_err().to_string();
        assert!(error.starts_with("the saga s cannot be registered: "), "{error}");
        assert!(error.contains(cause) && error.ends_with('.'), "{error}");
    }
    for (n, steps) in [
        vec![c("a")],
        vec![p("a")],
        vec![r("a"), r("b")],
        vec![c("a"), p("b"), r("d")],
    ]
    .into_iter()
    .enumerate()
    {
        sagas.register(Definition::new(&format!("s{n}"), steps)).unwrap();
    }
    let world = Arc::new(World::default());
    sagas.register(purchase(&world, QUICK)).unwrap();
    let error = sagas.register(purchase(&world, QUICK)).unwrap_err().to_string();
    assert!(error.contains("another one has that name"), "{error}");
}
