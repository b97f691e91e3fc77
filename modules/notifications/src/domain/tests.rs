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
    assert_eq!(mail.wait_until(time(5)).due, Some(time(5)));
    let sending = mail.begin("Your order was refused", time(60));
    let sent = sending.record(&sending, &Ok(()), time(9), 3).expect("news");
    assert_eq!((sent.status, sent.due, sent.attempts), (Status::Sent, None, 1));
    assert_eq!(sent.record(&sending, &Err(not_yet()), time(9), 3), None);
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
    let open = sending.record(&sending, &Err(Failure::Unknown("gone".to_owned())), time(9), 3);
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
    let second = queued.begin("s", time(99));
    for late in [&open, &queued, &sending.give_up(true, time(70))] {
        assert_eq!(
            late.record(&sending, &Ok(()), time(9), 3).map(|m| m.status),
            Some(Status::Sent)
        );
        assert_eq!(late.record(&sending, &Err(not_yet()), time(9), 3), None);
        assert_eq!(late.record(&second, &Ok(()), time(9), 3), None);
    }
    assert_eq!(
        (second.attempts, second.record(&sending, &Ok(()), time(9), 3)),
        (2, None)
    );
}

#[test]
fn without_a_mark_the_first_to_say_so_counts() {
    let mail = mail();
    let going = mail.unmarked("s");
    assert_eq!((going.version, going.status), (mail.version, Status::Queued));
    let sent = mail.record(&going, &Ok(()), time(9), 3).expect("news");
    let seen = (
        sent.status,
        sent.version,
        sent.attempts,
        sent.due,
        sent.subject.as_deref(),
    );
    assert_eq!(seen, (Status::Sent, 2, 1, None, Some("s")));
    let later = mail.record(&going, &Err(not_yet()), time(9), 3).expect("news");
    let seen = (later.status, later.version, later.attempts, later.due);
    assert_eq!(seen, (Status::Queued, 2, 1, Some(time(9))));
    // Somebody else has gone on with it.
    for there in [&sent, &later, &mail.begin("s", time(60))] {
        assert_eq!(there.record(&going, &Ok(()), time(9), 3), None);
    }
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
         Saturday, 1 May 2027, 21:30 (Europe/Vienna, UTC+02:00)\n\n\
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

/// When a show starts is told as the clock on the house's wall has it.
#[test]
fn the_time_is_the_houses() {
    let said = |at: &str, zone: &str| {
        let house = House {
            name: "House".to_owned(),
            city: "City".to_owned(),
            time_zone: zone.to_owned(),
        };
        let facts = Facts {
            act: None,
            house: Some(house),
            starts_at: Some(at.parse().expect("a time")),
        };
        let (show, seats, refunded) = (Uuid::from_u128(1), Vec::new(), None);
        let text = Letter::Cancelled { show, seats, refunded }.text(OrderId(Uuid::from_u128(2)), &facts);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let house = lines.iter().position(|line| line == "House, City").expect("the house");
        lines[house + 1].clone()
    };
    for (at, zone, line) in [
        (
            "2027-01-15T19:30:00Z",
            "Europe/Vienna",
            "Friday, 15 January 2027, 20:30 (Europe/Vienna, UTC+01:00)",
        ),
        // The hour that comes twice.
        (
            "2027-10-31T00:30:00Z",
            "Europe/Vienna",
            "Sunday, 31 October 2027, 02:30 (Europe/Vienna, UTC+02:00)",
        ),
        (
            "2027-10-31T01:30:00Z",
            "Europe/Vienna",
            "Sunday, 31 October 2027, 02:30 (Europe/Vienna, UTC+01:00)",
        ),
        // Another day there.
        (
            "2027-05-01T19:30:00Z",
            "Pacific/Kiritimati",
            "Sunday, 2 May 2027, 09:30 (Pacific/Kiritimati, UTC+14:00)",
        ),
        (
            "2027-05-01T19:30:00Z",
            "America/St_Johns",
            "Saturday, 1 May 2027, 17:00 (America/St_Johns, UTC-02:30)",
        ),
        ("2027-05-01T19:30:00Z", "UTC", "Saturday, 1 May 2027, 19:30 UTC"),
        (
            "2027-05-01T19:30:00Z",
            "Europe/Nowhere",
            "Saturday, 1 May 2027, 19:30 UTC (the house keeps the time of Europe/Nowhere)",
        ),
    ] {
        assert_eq!(said(at, zone), line);
    }
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
