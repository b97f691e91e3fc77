//! What becomes of a mail when the mail server misbehaves: what certainly was not sent is told from what may have been.

on_both!(a_mail_server_with_whims, nothing_is_lost_or_doubled);

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use kernel::Uuid;
use notifications::post::{Failure, Outgoing, Post, Smtp, Writer};
use notifications_contract::MailId;

use crate::server::{POINTS, Point, Server, Whim};

/// Long enough for a busy machine, and waited for where the server hangs.
const PATIENCE: Duration = Duration::from_secs(4);

fn smtp(server: &Server) -> Smtp {
    let writer = Writer::new("Box Office <tickets@example.org>").unwrap();
    Smtp::new(&server.url(), writer).unwrap().with_patience(PATIENCE)
}

fn outgoing(n: u128) -> Outgoing {
    Outgoing {
        id: MailId(Uuid::from_u128(n)),
        to: crate::support::ADA.to_owned(),
        subject: "Your tickets".to_owned(),
        text: "They are yours.\n.\n..\nend\n".to_owned(),
        at: "2027-05-01T19:30:00Z".parse().unwrap(),
    }
}

async fn send(post: &dyn Post, mail: &Outgoing) -> Result<(), Failure> {
    post.prepare(mail).await?.hand_over().await
}

/// Every whim at every point: the server has the mail, or the failure says that it does not, or that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_whim_at_every_point() {
    let whims = [
        Whim::Answer("450 <ada@example.org>: later"),
        Whim::Answer("550 <ada@example.org>: never"),
        Whim::Garbage,
        Whim::Flood,
        Whim::Hang,
        Whim::Close,
        Whim::Drip,
    ];
    let cases = POINTS.into_iter().flat_map(|point| whims.map(|whim| (point, whim)));
    join_all(cases.map(async |(point, whim)| {
        let server = Server::start().await;
        server.whim(Some((point, whim)));
        let outcome = send(&smtp(&server), &outgoing(1)).await;
        let session = matches!(point, Point::Connected | Point::Hello);
        let case = format!("{whim:?} at {point:?}: {outcome:?}");
        match (&outcome, whim) {
            (Ok(()), Whim::Drip) => {}
            (Err(Failure::NotYet(_)), Whim::Answer(line)) if line.starts_with('4') || session => {}
            (Err(Failure::Refused(_)), Whim::Answer(line)) if line.starts_with('5') && !session => {}
            (Err(Failure::Unknown(_)), Whim::Garbage | Whim::Flood | Whim::Hang | Whim::Close)
                if point == Point::End => {}
            (Err(Failure::NotYet(_)), Whim::Garbage | Whim::Flood | Whim::Hang | Whim::Close)
                if point != Point::End => {}
            _ => panic!("{case}"),
        }
        let has_it = server.mails().len();
        match &outcome {
            Ok(()) => assert_eq!(has_it, 1, "{case}"),
            Err(Failure::NotYet(_) | Failure::Refused(_)) => assert_eq!(has_it, 0, "{case}"),
            Err(Failure::Unknown(_)) => assert_eq!(has_it, 1, "here it has it, but who could know: {case}"),
        }
        assert!(!case.contains("ada@") || matches!(whim, Whim::Answer(_)), "{case}");
        if let Err(failure) = outcome {
            assert!(!failure.to_string().contains("ada"), "{failure}");
        }
    }))
    .await;
}

#[tokio::test]
async fn a_connection_is_used_again_while_it_lasts() {
    let server = Server::start().await;
    let post = smtp(&server);
    for n in 1..=3 {
        assert_eq!(send(&post, &outgoing(n)).await, Ok(()));
    }
    assert_eq!((server.mails().len(), server.connections()), (3, 1));
    // The server hangs up on it; the next mail finds that out in time and takes another connection.
    server.whim(Some((Point::Sender, Whim::Close)));
    assert!(matches!(send(&post, &outgoing(4)).await, Err(Failure::NotYet(_))));
    server.whim(None);
    assert_eq!(send(&post, &outgoing(4)).await, Ok(()));
    let (to, mail) = &server.mails()[3];
    assert_eq!(to, "RCPT TO:<ada@example.org>");
    assert!(mail.contains("\r\nThey are yours.\r\n.\r\n..\r\nend\r\n"), "{mail}");
    // Nobody there at all.
    let port = server.port;
    drop((server, post));
    let writer = Writer::new("tickets@example.org").unwrap();
    let gone = Smtp::new(&format!("smtp://127.0.0.1:{port}"), writer)
        .unwrap()
        .with_patience(PATIENCE);
    assert!(matches!(send(&gone, &outgoing(5)).await, Err(Failure::NotYet(_))));
}

/// Where TLS is asked for, nothing is said without it.
#[tokio::test]
async fn without_tls_nothing_is_said() {
    let server = Server::start().await;
    let writer = Writer::new("tickets@example.org").unwrap();
    for url in ["smtp://u:p@127.0.0.1:PORT?tls=required", "smtps://u:p@127.0.0.1:PORT"] {
        let url = url.replace("PORT", &server.port.to_string());
        let post = Smtp::new(&url, writer.clone())
            .unwrap()
            .with_patience(Duration::from_secs(2));
        let outcome = send(&post, &outgoing(1)).await;
        assert!(matches!(outcome, Err(Failure::NotYet(_))), "{url}: {outcome:?}");
    }
    assert!(server.mails().is_empty());
}

mod tests {
    use notifications_contract::{MailStatus, NotificationsService};

    use super::*;
    use crate::support::Office;

    pub async fn a_mail_server_with_whims(office: &Office) {
        let server = Server::start().await;
        let sender = office.sender(Arc::new(smtp(&server)));
        let mails = office.queue(4).await;
        let [one, two, three, four] = mails[..] else { panic!() };
        // Turned away for now, until it is not.
        server.whim(Some((Point::Recipient, Whim::Answer("451 later"))));
        sender.step().await.unwrap();
        for id in &mails {
            let mail = office.mail(*id).await;
            assert_eq!((mail.state, mail.attempts), (MailStatus::Queued, 1));
            assert!(mail.reason.unwrap().contains("451"));
        }
        assert_eq!(sender.step().await.unwrap(), 0, "not due yet");
        // Turned away for good, each after the other.
        server.whim(Some((Point::End, Whim::Answer("554 never"))));
        office.later(1);
        sender.step().await.unwrap();
        assert_eq!(office.count(MailStatus::Failed).await, 4);
        assert_eq!(server.mails().len(), 0);
        // Somebody wants the first again, and says so twice. It is taken, and nobody answers.
        server.whim(Some((Point::End, Whim::Close)));
        for _ in 0..2 {
            let mail = office.notifications.send_again(&office.cx, one, 3).await.unwrap();
            assert_eq!(mail.state, MailStatus::Queued);
        }
        sender.step().await.unwrap();
        assert_eq!(
            (office.state(one).await, server.mails().len()),
            (MailStatus::Unknown, 1)
        );
        let again = office.notifications.send_again(&office.cx, one, 3).await.unwrap();
        assert_eq!(again.state, MailStatus::Unknown, "that attempt was made");
        // From here on it is left alone, however late it is.
        server.whim(None);
        office.later(100_000);
        assert_eq!((sender.step().await.unwrap(), server.mails().len()), (0, 1));
        // Unless somebody says so; it is the same mail then.
        for (id, attempt) in [(one, 4), (two, 3)] {
            office.notifications.send_again(&office.cx, id, attempt).await.unwrap();
        }
        sender.step().await.unwrap();
        assert_eq!(
            (office.state(one).await, office.state(two).await),
            (MailStatus::Sent, MailStatus::Sent)
        );
        let with_id = |id: MailId| {
            server
                .mails()
                .iter()
                .filter(|(_, m)| m.contains(&format!("<{id}@")))
                .count()
        };
        assert_eq!((with_id(one), with_id(two), with_id(three)), (2, 1, 0));
        // What is turned away too often fails.
        server.whim(Some((Point::Sender, Whim::Close)));
        office.notifications.send_again(&office.cx, four, 3).await.unwrap();
        for tries in 1..=4 {
            assert_eq!((office.state(four).await, tries), (MailStatus::Queued, tries));
            sender.step().await.unwrap();
            office.later(1);
        }
        assert_eq!(
            (office.state(four).await, office.mail(four).await.attempts),
            (MailStatus::Failed, 6)
        );
    }

    /// A server whose whims change all the time: in the end each mail is there as often as its state says.
    pub async fn nothing_is_lost_or_doubled(office: &Office) {
        const SEED: u64 = 0x6d61_696c;
        println!("seed {SEED:#x}");
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(SEED);
        let server = Server::start().await;
        let sender = office.sender(Arc::new(smtp(&server)));
        let mails = office.queue(24).await;
        let whims = [
            Whim::Answer("451 later"),
            Whim::Garbage,
            Whim::Close,
            Whim::Drip,
            Whim::Answer("550 never"),
        ];
        for _ in 0..12 {
            let point = POINTS[rand::Rng::random_range(&mut random, 0..POINTS.len())];
            let whim = whims[rand::Rng::random_range(&mut random, 0..whims.len())];
            server.whim(Some((point, whim)));
            let sending = sender.step();
            // It changes its mind in the middle, wherever that is: any moment is as good as another here.
            let changing = async {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(rand::Rng::random_range(&mut random, 0..20))).await;
                server.whim(None);
            };
            tokio::join!(async { sending.await.unwrap() }, changing);
            office.later(1);
        }
        for _ in 0..4 {
            office.later(1);
            sender.step().await.unwrap();
        }
        let there = server.mails();
        for id in mails {
            let copies = there.iter().filter(|(_, m)| m.contains(&format!("<{id}@"))).count();
            match office.state(id).await {
                MailStatus::Sent => assert_eq!(copies, 1, "{id}"),
                MailStatus::Unknown => assert!(copies <= 1, "{id}"),
                MailStatus::Failed => assert_eq!(copies, 0, "{id}"),
                state => panic!("{id} is {state}"),
            }
        }
        assert!(office.count(MailStatus::Sent).await > 0);
    }
}
