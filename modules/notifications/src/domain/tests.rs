use kernel::{Currency, Money, Time, Uuid};
use notifications_contract::{MailId, MailStatus as Status, NotificationsError, OrderId};

use super::{
    Address, Facts, Failure, House, Letter, MailState, Seat,
    letter::{clean, money},
};

fn time(seconds: i64) -> Time {
    Time::from_micros(1_900_000_000_000_000 + seconds * 1_000_000).expect("a time")
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::try_from("EUR".to_owned()).expect("a currency")).expect("money")
}

fn mail() -> MailState {
    let letter = Letter::Refused {
        show: Uuid::from_u128(1),
        seats: vec!["Stalls-A-1".to_owned()],
        reason: "Seats are taken".to_owned(),
    };
    let order = (OrderId(Uuid::from_u128(2)), 3);
    let to = Address("ada@example.org".to_owned());
    MailState::queue(MailId(Uuid::from_u128(3)), order, to, letter, time(0))
}

fn not_yet() -> Failure {
    Failure::NotYet("later".to_owned())
}

#[test]
fn a_mail_is_sent_once() {
    let mail = mail();
    assert!(mail.is_due(time(0)) && !mail.wait_until(time(5)).is_due(time(4)));
    let sending = mail.begin("Your order was refused", time(60));
    assert!(!sending.is_due(time(99)));
    let sent = sending.record(1, &Ok(()), time(9), 3).expect("news");
    assert_eq!((sent.status, sent.due, sent.attempts), (Status::Sent, None, 1));
    assert_eq!(sent.record(1, &Err(not_yet()), time(9), 3), None);
    assert_eq!(sent.again(1, time(9)), Ok(None));
    let (id, standing) = (mail.id, Status::Sent);
    assert_eq!(
        sent.again(2, time(9)),
        Err(NotificationsError::NotToBeSentAgain { id, standing })
    );
}

#[test]
fn what_was_turned_away_is_tried_so_often() {
    let mut state = mail();
    for attempt in 1..=3 {
        assert_eq!(state.status, Status::Queued);
        state = state.turned_away(&not_yet(), time(i64::from(attempt)), 3);
    }
    assert_eq!((state.status, state.attempts, state.due), (Status::Failed, 3, None));
    let again = state.again(4, time(9)).expect("allowed").expect("news");
    assert_eq!((again.status, again.tries, again.attempts), (Status::Queued, 0, 3));
    assert_eq!(again.again(4, time(9)), Ok(None), "the same asked twice");
    let refused = mail().turned_away(&Failure::Refused("no".to_owned()), time(1), 3);
    assert_eq!(
        (refused.status, refused.reason.as_deref()),
        (Status::Failed, Some("no"))
    );
}

#[test]
fn nobody_knows_and_only_somebody_sends_again() {
    let sending = mail().begin("s", time(60));
    let open = sending.record(1, &Err(Failure::Unknown("gone".to_owned())), time(9), 3);
    let open = open.expect("news");
    assert_eq!((open.status, open.due), (Status::Unknown, None));
    assert_eq!(
        open,
        MailState {
            reason: open.reason.clone(),
            ..sending.give_up(false, time(70))
        }
    );
    let id = open.id;
    assert_eq!(open.again(3, time(9)), Err(NotificationsError::NotNext { id, next: 2 }));
    assert_eq!(open.again(0, time(9)), Err(NotificationsError::NotNext { id, next: 2 }));
    let queued = open.again(2, time(9)).expect("allowed").expect("news");
    // Whoever handed it over comes back late: what it knows is better than what was assumed, unless it knows nothing.
    for late in [&open, &queued, &sending.give_up(true, time(70))] {
        assert_eq!(
            late.record(1, &Ok(()), time(9), 3).map(|m| m.status),
            Some(Status::Sent)
        );
        assert_eq!(late.record(1, &Err(not_yet()), time(9), 3), None);
        assert_eq!(late.record(2, &Ok(()), time(9), 3), None);
    }
    let second = queued.begin("s", time(99));
    assert_eq!((second.attempts, second.record(1, &Ok(()), time(9), 3)), (2, None));
}

#[test]
fn letters_say_what_happened() {
    let order = OrderId(Uuid::from_u128(2));
    let facts = Facts {
        act: Some("مقهى <script>alert(1)</script>".to_owned()),
        house: Some(House {
            name: "Haus\r\nBcc: all@example.org".to_owned(),
            city: "Wien".to_owned(),
            time_zone: "Europe/Vienna".to_owned(),
        }),
        starts_at: Some("2027-05-01T19:30:00Z".parse().expect("a time")),
    };
    let seat = Seat {
        seat: "Stalls-A-1".to_owned(),
        ticket: Uuid::from_u128(7),
    };
    let (show, seats) = (Uuid::from_u128(1), vec![seat]);
    let confirmed = Letter::Confirmed {
        show,
        seats,
        total: eur(4505),
    };
    assert_eq!(
        confirmed.subject(&facts),
        "Your tickets: \u{2068}مقهى <script>alert(1)</script>\u{2069}"
    );
    assert_eq!(
        confirmed.text(order, &facts),
        "Thank you for your order. The seats are yours.\n\n\
         \u{2068}مقهى <script>alert(1)</script>\u{2069}\n\
         Haus  Bcc: all@example.org, Wien\n\
         Saturday, 1 May 2027, 19:30 UTC (the house keeps the time of Europe/Vienna)\n\n\
         Seat Stalls-A-1: ticket 00000000-0000-0000-0000-000000000007\n\n\
         Paid: 45.05 EUR\n\n\
         Order 00000000-0000-0000-0000-000000000002\n"
    );
    let seats = vec!["Stalls-A-1".to_owned()];
    let cancelled = |refunded| Letter::Cancelled {
        show,
        seats: seats.clone(),
        refunded,
    };
    let nothing = Facts::default();
    assert_eq!(cancelled(None).subject(&nothing), "Your order was cancelled");
    assert!(
        cancelled(Some(eur(900)))
            .text(order, &nothing)
            .contains("You get back 9.00 EUR.\n")
    );
    assert!(
        cancelled(None)
            .text(order, &nothing)
            .contains("Nothing had been charged")
    );
    assert!(
        cancelled(None)
            .text(order, &nothing)
            .contains("Show 00000000-0000-0000-0000-000000000001\n")
    );
    let reason = "Seats are taken.".to_owned();
    let refused = Letter::Refused { show, seats, reason }.text(order, &nothing);
    assert!(refused.contains("The reason: Seats are taken.\n"), "{refused}");
}

#[test]
fn small_things() {
    let in_currency = |amount, code: &str| {
        let currency = Currency::try_from(code.to_owned()).expect("a currency");
        money(Money::new(amount, currency).expect("money"))
    };
    assert_eq!(in_currency(5, "EUR"), "0.05 EUR");
    assert_eq!(in_currency(500, "JPY"), "500 JPY");
    assert_eq!(in_currency(1_500, "KWD"), "1.500 KWD");
    assert_eq!(clean("a\u{202e}b\u{2028}c\u{7}"), "ab c ");
    assert_eq!(Address("ada@example.org".to_owned()).masked(), "a***@example.org");
    assert_eq!(
        format!("{:?}", Address("ada@example.org".to_owned())),
        "Address(a***@example.org)"
    );
    assert!(!format!("{:?}", mail().write(&Facts::default())).contains("ada@"));
}
