//! Who may do what: a row for every operation of every contract, asked in this order, each as anybody, with a token that
//! nobody gave, and as the operator. A new operation without a row fails.

use std::{collections::BTreeSet, time::Duration};

use banyan::modules::MODULES;
use strangler::Auth;
use system_tests::{Address, Answer, System, eventually};

use crate::{
    cases::{AUTHORIZATION, Case, valid},
    document::every_operation,
    values::id,
};

/// An operation; what anybody gets; what a wrong token gets; what the operator gets.
type Row = (&'static str, u16, u16, u16);

/// The order matters: what is put in a row is there in the next. What no other address serves is asked at the internal
/// one, which lets nobody in without a token.
const TABLE: &[Row] = &[
    // Pages are anybody's. Nothing is on yet, so there is nothing to see either.
    ("storefront.season", 200, 401, 200),
    ("storefront.show", 404, 401, 404),
    ("storefront.choose", 404, 401, 404),
    ("storefront.checkout", 410, 401, 410),
    ("storefront.buy", 410, 401, 410),
    ("storefront.order", 404, 401, 404),
    ("storefront.cancel", 404, 401, 404),
    ("storefront.tickets", 404, 401, 404),
    ("storefront.asset", 404, 401, 404),
    ("catalog.announce_act", 401, 401, 201),
    ("catalog.act", 200, 401, 200),
    ("catalog.register_venue", 401, 401, 201),
    ("catalog.venue", 200, 401, 200),
    ("catalog.announce", 401, 401, 201),
    ("catalog.show", 200, 401, 200),
    ("catalog.shows", 200, 401, 200),
    ("seating.seats", 200, 401, 200),
    ("seating.hold", 401, 401, 201),
    ("seating.held", 401, 401, 200),
    ("seating.commit", 401, 401, 200),
    ("seating.assign", 401, 401, 200),
    ("seating.unassign", 401, 401, 204),
    ("seating.release", 401, 401, 204),
    ("ordering.place", 202, 401, 202),
    ("ordering.order", 200, 401, 200),
    ("ordering.cancel", 401, 401, 202),
    ("catalog.cancel", 401, 401, 204),
    ("payments.authorise", 401, 401, 201),
    ("payments.payment", 401, 401, 200),
    ("payments.capture", 401, 401, 200),
    ("payments.refund", 401, 401, 200),
    // What was taken is given back by a refund.
    ("payments.void", 401, 401, 409),
    // A mail has the id of the event that it tells of, which nobody knows beforehand.
    ("notifications.mails", 401, 401, 200),
    ("notifications.mail", 401, 401, 404),
    ("notifications.send_again", 401, 401, 404),
];

/// Operations without a row. There are none, and there should be none: this list may only shrink.
const WITHOUT_A_ROW: [&str; 0] = [];

/// Operations that change something and ask for no token, with the reason. This list may only shrink, too.
const OPEN_COMMANDS: [(&str, &str); 4] = [
    ("ordering.place", "whoever has a ticket's price may buy one"),
    (
        "storefront.choose",
        "whoever may buy seats may hold them for ten minutes",
    ),
    ("storefront.buy", "the same as ordering.place, on a page"),
    (
        "storefront.cancel",
        "whoever knows an order's address may give it back: it is as hard to guess as a key",
    ),
];

/// How long one module may take to hear what another said.
const HEARD: Duration = Duration::from_secs(20);

/// Which module's process asks.
const MODULE: &str = "strangler-module";

#[test]
fn every_operation_has_a_row() {
    let all = every_operation();
    for operation in &all {
        let (id, rows) = (&operation.id, TABLE.iter().filter(|row| row.0 == operation.id).count());
        let excepted = WITHOUT_A_ROW.contains(&id.as_str());
        assert!(
            rows == 1 || excepted,
            "{id} has {rows} rows in TABLE: say once what anybody, a wrong token and the operator get"
        );
        assert!(rows == 0 || !excepted, "{id} has a row: take it from WITHOUT_A_ROW");
        let open = TABLE.iter().any(|row| row.0 == id && row.1 != 401 && operation.command);
        let named = OPEN_COMMANDS.iter().any(|(name, _)| name == id);
        assert!(
            open == named,
            "{id} changes something: whether it asks for no token and OPEN_COMMANDS must agree"
        );
    }
    for name in TABLE.iter().map(|row| row.0).chain(WITHOUT_A_ROW) {
        assert!(
            all.iter().any(|o| o.id == name),
            "there is no operation {name}: take it from the table"
        );
    }
    assert_eq!(
        (WITHOUT_A_ROW.len(), OPEN_COMMANDS.len()),
        (0, 4),
        "the exceptions may only become fewer"
    );
}

/// The answer to a question of the table. What one module says another hears a little later: a query is asked until it is
/// answered as expected, or for so long.
async fn answer(system: &System, case: &Case, command: bool, expected: u16) -> Answer {
    let began = std::time::Instant::now();
    let what = case.line();
    eventually(&what, HEARD * 2, || async {
        let answer = case.send(system).await.expect("an answer");
        (command || answer.status == expected || began.elapsed() > HEARD).then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_what_the_table_says() {
    let system = System::start().await;
    let token = system.token();
    let all = every_operation();
    let mut wrong = Vec::new();
    for (name, anybody, stranger, operator) in TABLE {
        let Some(operation) = all.iter().find(|o| o.id == *name) else {
            continue;
        };
        let mut base = valid(operation, &token, None, 1);
        if operation.module == "ordering" {
            // An order makes a hold and a payment of its own id, and those of the rows above are used up.
            base.target = base.target.replace(&id(0).to_string(), &id(1).to_string());
        }
        let cases: [(&str, Case, u16); 3] = [
            ("anybody", base.clone().header(AUTHORIZATION, None), *anybody),
            (
                "a wrong token",
                base.clone().header(AUTHORIZATION, Some("Bearer no-such-token")),
                *stranger,
            ),
            ("the operator", base.clone(), *operator),
        ];
        for (who, case, expected) in cases {
            let answer = answer(&system, &case, operation.command, expected).await;
            if answer.status != expected {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                wrong.push(format!(
                    "{name}: {who} gets {} and not {expected}: {body}",
                    answer.status
                ));
            }
            if answer.status == 401 && answer.header("www-authenticate").is_empty() {
                wrong.push(format!(
                    "{name}: {who} gets 401 and is not told how to say who they are"
                ));
            }
        }
        // Who may not ask does not learn either whether the question was a good one.
        if *anybody == 401 {
            let rubbish = base
                .header(AUTHORIZATION, None)
                .header("content-type", Some("text/plain"))
                .body("rubbish");
            let answer = rubbish.send(&system).await.expect("an answer");
            if answer.status != 401 {
                wrong.push(format!("{name}: anybody's rubbish gets {} and not 401", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What only the internal address serves is not there on the public one, not even for the operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_internal_is_not_outside() {
    let system = System::start().await;
    let token = system.token();
    let inner: Vec<_> = every_operation()
        .into_iter()
        .filter(|o| o.address == Address::Internal)
        .collect();
    assert!(
        !inner.is_empty(),
        "every module is public: this test has nothing to look at"
    );
    for operation in &inner {
        let outside = valid(operation, &token, None, 1).at(Address::Public);
        for (who, case) in [
            ("the operator", outside.clone()),
            ("anybody", outside.header(AUTHORIZATION, None)),
        ] {
            let answer = case.send(&system).await.expect("an answer");
            assert_eq!(
                (answer.status, answer.is_problem()),
                (404, true),
                "{}: {who}",
                operation.id
            );
        }
    }
    let index = system.get("/docs/swagger-initializer.js").await;
    assert_eq!(index.status, 200, "Swagger UI's own list of documents");
    let index = String::from_utf8_lossy(&index.body).into_owned();
    for module in MODULES {
        let document = format!("{}-v{}.json", module.contract.name, module.contract.version);
        let there = system.get(&format!("/docs/openapi/{document}")).await.status == 200;
        assert_eq!(
            (there, index.contains(&document)),
            (module.public, module.public),
            "{document}"
        );
        // Inside, the operator finds each of them.
        let name = module.contract.name;
        let inside = system.control(&format!("/control/v1/modules/{name}/openapi")).await;
        assert!(inside.is_some_and(|d| d["info"]["title"] == name), "{document} inside");
    }
}

/// The internal address answers nobody without a token, whatever the contract says of anybody; and the join token is good
/// for nothing outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_internal_address_asks_everybody_who_they_are() {
    let system = System::start().await;
    let join = format!("Bearer {}", system.join_token());
    for operation in every_operation() {
        let inside = valid(&operation, "", None, 1).at(Address::Internal);
        for (who, token) in [("anybody", None), ("a wrong token", Some("Bearer no-such-token"))] {
            let case = inside
                .clone()
                .header(AUTHORIZATION, token)
                .header(MODULE, Some("ordering"));
            let answer = case.send(&system).await.expect("an answer");
            assert_eq!(answer.status, 401, "{}: {who}", operation.id);
            assert!(!answer.header("www-authenticate").is_empty(), "{}: {who}", operation.id);
        }
        let outside = inside
            .at(Address::Public)
            .header(AUTHORIZATION, Some(&join))
            .header(MODULE, Some("ordering"));
        let answer = outside.send(&system).await.expect("an answer");
        let expected = if operation.address == Address::Public { 401 } else { 404 };
        assert_eq!(answer.status, expected, "{}: the join token outside", operation.id);
    }
}

/// A process that has joined may do exactly what its module's `acts` says, and what anybody may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joined_process_may_do_what_its_module_acts_on() {
    let system = System::start().await;
    let join = format!("Bearer {}", system.join_token());
    let mut askers: Vec<(Option<&str>, &[&str])> = vec![(None, &[]), (Some("no-such-module"), &[]), (Some(""), &[])];
    askers.extend(MODULES.iter().map(|m| (Some(m.contract.name), m.acts)));
    let auth: Vec<(&str, Auth)> = MODULES
        .iter()
        .flat_map(|m| m.contract.operations.iter().map(|o| (o.id, o.auth)))
        .collect();
    let asked_for: BTreeSet<&str> = auth
        .iter()
        .filter_map(|(_, auth)| match auth {
            Auth::Scope(scope) => Some(*scope),
            _ => None,
        })
        .collect();
    let mut wrong = Vec::new();
    for (module, acts) in askers {
        let known = MODULES.iter().any(|m| Some(m.contract.name) == module);
        let useless = acts.iter().filter(|scope| !asked_for.contains(*scope));
        wrong.extend(useless.map(|scope| format!("{module:?}: no operation asks for the scope {scope}")));
        for operation in every_operation() {
            let (_, auth) = auth.iter().find(|(id, _)| *id == operation.id).expect("an operation");
            let allowed = match auth {
                Auth::Public => true,
                Auth::SignedIn => known,
                Auth::Scope(scope) => acts.contains(scope),
            };
            let case = valid(&operation, "", None, 1)
                .at(Address::Internal)
                .header(AUTHORIZATION, Some(&join))
                .header(MODULE, module);
            let answer = case.send(&system).await.expect("an answer");
            let refused = if known { 403 } else { 401 };
            let right = match allowed {
                true => ![401, 403].contains(&answer.status) && answer.status < 500,
                false => answer.status == refused,
            };
            if !right {
                wrong.push(format!(
                    "{} as {module:?}, who may {acts:?}: {}",
                    operation.id, answer.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
