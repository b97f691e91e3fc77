//! Who may do what: a row for every operation of every contract, asked in this order, each as anybody, with a token that
//! nobody gave, and as the operator. A new operation without a row fails.

use system_tests::System;

use crate::{
    cases::{AUTHORIZATION, Case, valid},
    document::every_operation,
};

/// An operation; what anybody gets; what a wrong token gets; what the operator gets.
type Row = (&'static str, u16, u16, u16);

/// The order matters: what is put in a row is there in the next.
const TABLE: &[Row] = &[
    ("catalog.announce_act", 401, 401, 201),
    ("catalog.act", 200, 401, 200),
    ("catalog.register_venue", 401, 401, 201),
    ("catalog.venue", 200, 401, 200),
    ("catalog.announce", 401, 401, 201),
    ("catalog.show", 200, 401, 200),
    ("catalog.shows", 200, 401, 200),
    ("catalog.cancel", 401, 401, 204),
];

/// Operations without a row. There are none, and there should be none: this list may only shrink.
const WITHOUT_A_ROW: [&str; 0] = [];

/// Operations that change something and ask for no token, with the reason. This list may only shrink, too.
const OPEN_COMMANDS: [(&str, &str); 0] = [];

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
        let open = TABLE.iter().any(|row| row.0 == id && row.1 < 400 && operation.command);
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
        (0, 0),
        "the exceptions may only become fewer"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_what_the_table_says() {
    let system = System::start().await;
    let token = system.token();
    let all = every_operation();
    let mut wrong = Vec::new();
    for (id, anybody, stranger, operator) in TABLE {
        let Some(operation) = all.iter().find(|o| o.id == *id) else {
            continue;
        };
        let base = valid(operation, &token, None, 1);
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
            let answer = case.send(&system).await.expect("an answer");
            if answer.status != expected {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                wrong.push(format!("{id}: {who} gets {} and not {expected}: {body}", answer.status));
            }
            if answer.status == 401 && answer.header("www-authenticate").is_empty() {
                wrong.push(format!("{id}: {who} gets 401 and is not told how to say who they are"));
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
                wrong.push(format!("{id}: anybody's rubbish gets {} and not 401", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
