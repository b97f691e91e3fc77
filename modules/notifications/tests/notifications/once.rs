//! Senders that are killed in the middle, and two at once: no mail is lost, and none goes out twice.

on_both!(
    killed_between_sending_and_recording,
    killed_while_writing_files,
    one_sender_at_a_time,
    one_that_hangs_holds_up_nobody,
    no_more_at_once_than_the_post_takes,
    whoever_lost_the_lease_hands_nothing_over,
    mails_of_one_order_keep_their_order,
    a_mail_waits_for_names_but_not_for_ever,
);

mod tests {
    use std::{future::pending, sync::Arc};

    use notifications::{Sender, post::post_of};
    use notifications_contract::{MailFilter, MailStatus, NotificationsService, OrderId};
    use tokio::{sync::oneshot, task::JoinHandle};

    use crate::{
        posts::{AT_ONCE, Slow, Waits},
        server::{Point, Server, Whim},
        support::{Office, act, cancelled, confirmed, eventually, refused, sender_of, show, venue},
    };

    /// A sender that runs until it is killed.
    fn running(sender: Sender) -> JoinHandle<()> {
        tokio::spawn(async move { sender.run(pending()).await })
    }

    pub async fn killed_between_sending_and_recording(office: &Office) {
        let server = Server::start().await;
        let post = post_of(&server.url(), "tickets@example.org").unwrap();
        let id = office.queue(1).await[0];
        server.whim(Some((Point::End, Whim::Hang)));
        let first = running(office.sender(post.clone()));
        eventually("the server has the mail", async || server.mails().len() == 1).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        server.whim(None);
        assert_eq!(office.state(id).await, MailStatus::Sending);
        // The next sender lets whoever was at it come back, then says that nobody knows.
        let next = sender_of(&office.other().await, post);
        assert_eq!(next.step().await.unwrap(), 0);
        office.later(200);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move { next.run(async { drop(stopped.await) }).await });
        eventually("it is given up", async || office.state(id).await == MailStatus::Unknown).await;
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(server.mails().len(), 1);
        assert_eq!(
            office.db.leases().list().await.unwrap()[0].holder,
            "",
            "the lease was given back"
        );
    }

    pub async fn killed_while_writing_files(office: &Office) {
        let folder = tempfile::tempdir().unwrap();
        let files = post_of(
            &format!("file:{}", folder.path().join("new").display()),
            "tickets@example.org",
        )
        .unwrap();
        let id = office.queue(1).await[0];
        let slow = Slow {
            inner: Some(files.clone()),
            ..Slow::new(Waits::HandedOver, 0, true)
        };
        let (there, slow) = (slow.there.clone(), Arc::new(slow));
        let first = running(office.sender(slow));
        eventually("the file", async || !there.lock().unwrap().is_empty()).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        // It was not marked: writing it again comes to the same.
        assert_eq!(office.state(id).await, MailStatus::Queued);
        let next = sender_of(&office.other().await, files);
        while next.step().await.unwrap() > 0 {}
        assert_eq!(
            (office.state(id).await, office.mail(id).await.attempts),
            (MailStatus::Sent, 1)
        );
        let names = std::fs::read_dir(folder.path().join("new")).unwrap();
        let names: Vec<_> = names
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, [format!("{id}.eml")]);
    }

    /// Two senders that run hand each mail over once; two that take no lease do not.
    pub async fn one_sender_at_a_time(office: &Office) {
        let other = office.other().await;
        let mails = office.queue(40).await;
        let post = Arc::new(Slow::new(Waits::HandedOver, 1000, true));
        let workers = [&office.db, &other].map(|db| running(sender_of(db, post.clone())));
        eventually("all are sent", async || {
            office.count(MailStatus::Sent).await == mails.len()
        })
        .await;
        workers.iter().for_each(JoinHandle::abort);
        let mut delivered = post.delivered();
        delivered.sort_unstable();
        assert_eq!(delivered, mails);

        office.hear(&confirmed(5000, 6000, 2)).await;
        let id = notifications_contract::MailId(kernel::Uuid::from_u128(5000));
        let slow = Arc::new(Slow::new(Waits::HandedOver, 0, true));
        let (one, two) = (sender_of(&office.db, slow.clone()), sender_of(&other, slow.clone()));
        let first = tokio::spawn(async move { one.step().await });
        eventually("it is handed over", async || slow.is_there()).await;
        // The mutant: it does not ask whether anybody else is at it.
        let second = tokio::spawn(async move { two.step().await });
        eventually("it is handed over again", async || slow.delivered().len() == 2).await;
        slow.permits.add_permits(2);
        second.await.unwrap().unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(slow.delivered(), [id, id], "without the lease it goes out twice");
        assert_eq!(office.state(id).await, MailStatus::Sent);
    }

    /// The post hangs with one mail; those that come later go out, and are recorded.
    pub async fn one_that_hangs_holds_up_nobody(office: &Office) {
        for repeatable in [false, true] {
            let base = if repeatable { 3000 } else { 1000 };
            office.know_show().await;
            let stuck = office.queue_from(base, 1).await[0];
            let post = Slow {
                only: Some(stuck),
                ..Slow::new(Waits::HandedOver, 0, repeatable)
            };
            let post = Arc::new(post);
            let (stop, stopped) = oneshot::channel::<()>();
            let sender = office.sender(post.clone());
            let worker = tokio::spawn(async move { sender.run(async { drop(stopped.await) }).await });
            eventually("one hangs", async || post.is_there()).await;
            let others = office.queue_from(base + 1, 3 * AT_ONCE as u128).await;
            for id in others {
                eventually("the others are sent", async || {
                    office.state(id).await == MailStatus::Sent
                })
                .await;
            }
            let marked = if repeatable {
                MailStatus::Queued
            } else {
                MailStatus::Sending
            };
            assert_eq!(office.state(stuck).await, marked);
            post.permits.add_permits(1);
            eventually("it is sent too", async || office.state(stuck).await == MailStatus::Sent).await;
            stop.send(()).unwrap();
            worker.await.unwrap();
            let delivered = post.delivered();
            assert_eq!(delivered.iter().filter(|id| **id == stuck).count(), 1);
            assert_eq!(delivered.len(), 1 + 3 * AT_ONCE);
        }
    }

    pub async fn no_more_at_once_than_the_post_takes(office: &Office) {
        let mails = office.queue(5 * AT_ONCE as u128).await;
        let post = Arc::new(Slow::new(Waits::HandedOver, 0, false));
        let worker = running(office.sender(post.clone()));
        eventually("all places are taken", async || {
            post.there.lock().unwrap().len() == AT_ONCE
        })
        .await;
        post.permits.add_permits(mails.len());
        eventually("all are sent", async || {
            office.count(MailStatus::Sent).await == mails.len()
        })
        .await;
        worker.abort();
        assert_eq!(*post.going.lock().unwrap(), (0, AT_ONCE));
    }

    /// A flip comes while the old side is about to hand a mail over.
    pub async fn whoever_lost_the_lease_hands_nothing_over(office: &Office) {
        let id = office.queue(1).await[0];
        let old = Arc::new(Slow::new(Waits::Preparing, 0, false));
        let (stop, stopped) = oneshot::channel::<()>();
        let sender = office.sender(old.clone());
        let worker = tokio::spawn(async move { sender.run(async { drop(stopped.await) }).await });
        eventually("it is prepared", async || old.is_there()).await;
        // The new side has the lease from here on; the old one has not heard of it.
        let leases = office.db.leases();
        let lease = leases.acquire("notifications:sender", "new", 1, std::time::Duration::from_secs(60));
        let lease = lease.await.unwrap().expect("a newer route gets it");
        // What the old side has begun it may end.
        stop.send(()).unwrap();
        old.permits.add_permits(1);
        worker.await.unwrap();
        assert_eq!((old.delivered().len(), office.state(id).await), (0, MailStatus::Queued));
        assert_eq!(office.mail(id).await.attempts, 0);
        lease.release().await.unwrap();
        let new = Arc::new(Slow::new(Waits::Preparing, 9, false));
        office.sender(new.clone()).step().await.unwrap();
        assert_eq!(new.delivered(), [id]);
    }

    pub async fn mails_of_one_order_keep_their_order(office: &Office) {
        office.know_show().await;
        // Heard in the wrong order even; the version says which is first.
        office.hear(&cancelled(11, 50, 3)).await;
        office.hear(&confirmed(12, 50, 2)).await;
        office.hear(&refused(13, 51, 2)).await;
        let server = Server::start().await;
        let sender = office.sender(post_of(&server.url(), "tickets@example.org").unwrap());
        server.whim(Some((Point::Recipient, Whim::Answer("451 later"))));
        assert_eq!(sender.step().await.unwrap(), 2);
        server.whim(None);
        assert_eq!(sender.step().await.unwrap(), 0, "what comes second waits for the first");
        office.later(1);
        assert_eq!(sender.step().await.unwrap(), 2);
        assert_eq!(sender.step().await.unwrap(), 1);
        let order = Some(OrderId(kernel::Uuid::from_u128(50)));
        let filter = MailFilter {
            order,
            ..MailFilter::default()
        };
        let mails = office.notifications.mails(&office.cx, filter).await.unwrap().items;
        assert_eq!(mails.len(), 2);
        let place = |subject: &str| server.mails().iter().position(|(_, m)| m.contains(subject)).unwrap();
        let ids = [12, 11].map(|n| format!("Message-ID: <{}@example.org>", kernel::Uuid::from_u128(n)));
        assert!(place(&ids[0]) < place(&ids[1]));
    }

    pub async fn a_mail_waits_for_names_but_not_for_ever(office: &Office) {
        let post = Arc::new(Slow::new(Waits::HandedOver, 9, false));
        let sender = office.sender(post.clone());
        office.hear(&confirmed(1, 50, 2)).await;
        office.hear(&show(8, 1, 5, 7)).await;
        sender.step().await.unwrap();
        office.later(5);
        sender.step().await.unwrap();
        assert_eq!(post.delivered().len(), 0);
        office.hear(&act(5, 1, "Ólöf")).await;
        office.hear(&venue(7, 1, "House")).await;
        office.later(5);
        sender.step().await.unwrap();
        assert_eq!(post.delivered().len(), 1);
        let mut orphan = confirmed(2, 51, 2);
        orphan.data["show"] = serde_json::json!(kernel::Uuid::from_u128(9));
        office.hear(&orphan).await;
        sender.step().await.unwrap();
        office.later(29);
        sender.step().await.unwrap();
        assert_eq!(post.delivered().len(), 1);
        office.later(2);
        sender.step().await.unwrap();
        assert_eq!(post.delivered().len(), 2);
        let mails = office
            .notifications
            .mails(&office.cx, MailFilter::default())
            .await
            .unwrap()
            .items;
        let subjects: Vec<_> = mails.iter().map(|m| m.subject.as_str()).collect();
        assert_eq!(subjects, ["Your tickets: Ólöf", "Your tickets"]);
        assert_eq!(mails[0].attempts, 1, "waiting is no attempt");
    }
}
