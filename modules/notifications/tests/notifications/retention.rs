//! Forgetting mails: those that are over, after the time, with their history, and never as long as their events may come again.

on_both!(forgotten_at_the_edge, kept_while_the_event_may_come_again);

mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::TimeDelta;
    use kernel::Uuid;
    use notifications::{forget, subscriptions};
    use notifications_contract::{MailId, MailStatus, NotificationsError, NotificationsService};
    use ordering_contract::{OrderConfirmed, OrderingEvent};
    use sea_orm::{ConnectionTrait, DbErr, Statement};
    use serde::Serialize;
    use strangler::Cx;
    use strangler_store::{Db, LogError, Query, SubscriptionError};

    use crate::{
        hearing::{forget_cursors, told_by},
        posts::{Slow, Waits},
        support::{Office, confirmed},
    };

    const DAY: Duration = Duration::from_secs(86_400);
    const DAYS: i64 = 86_400;

    /// How many versions of a mail are kept in history.
    #[derive(Serialize)]
    struct Versions(Uuid);

    impl Query for Versions {
        const NAME: &'static str = "versions";
        type Answer = i64;

        async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<i64, DbErr> {
            let sql = "SELECT count(*) AS n FROM snapshots WHERE kind = 'mail' AND id = $1";
            let ask = Statement::from_sql_and_values(connection.get_database_backend(), sql, [self.0.into()]);
            let row = connection.query_one_raw(ask).await?;
            row.map_or(Ok(0), |row| row.try_get("", "n"))
        }
    }

    async fn versions(office: &Office, id: MailId) -> i64 {
        office.db.view(&office.cx).find(Versions(id.0)).await.unwrap()
    }

    async fn is_there(office: &Office, id: MailId) -> bool {
        match office.notifications.mail(&office.cx, id).await {
            Ok(_) => true,
            Err(NotificationsError::NoSuchMail { .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// A log in which nothing is.
    async fn silent(folder: &tempfile::TempDir, office: &Office) -> Db {
        told_by(folder, "ordering", Arc::new(office.clock.clone())).await
    }

    pub async fn forgotten_at_the_edge(office: &Office) {
        let folder = tempfile::tempdir().unwrap();
        let log = silent(&folder, office).await.log();
        let forgets = async |days: u32| forget(&office.db, &*log, DAY * days).await.unwrap();
        let post = Arc::new(Slow::new(Waits::HandedOver, 1000, false));
        let old = office.queue(250).await;
        let sender = office.sender(post);
        while sender.step().await.unwrap() > 0 {}
        office.later(1);
        let younger = office.queue_from(5000, 1).await[0];
        let another = office.queue_from(6000, 1).await[0];
        assert_eq!(versions(office, old[0]).await, 3, "queued, sending, sent");
        assert_eq!(sender.step().await.unwrap(), 2);
        let never = office.queue_from(7000, 1).await[0];
        office.later(90 * DAYS - 1);
        assert_eq!(forgets(90).await, 0, "not a moment before");
        office.later(1);
        assert_eq!(forgets(90).await, 250);
        for id in [old[0], old[249]] {
            assert!(!is_there(office, id).await);
            assert_eq!(versions(office, id).await, 0);
        }
        assert_eq!(
            (is_there(office, younger).await, versions(office, younger).await),
            (true, 3)
        );
        office.later(1);
        assert_eq!(forgets(90).await, 2);
        assert_eq!(
            (is_there(office, younger).await, is_there(office, another).await),
            (false, false)
        );
        // What is not over is no history.
        assert_eq!(office.state(never).await, MailStatus::Queued);
        while sender.step().await.unwrap() > 0 {}
        assert_eq!(forgets(0).await, 1);
        assert!(!is_there(office, never).await);
    }

    pub async fn kept_while_the_event_may_come_again(office: &Office) {
        let folder = tempfile::tempdir().unwrap();
        let ordering = silent(&folder, office).await;
        office.know_show().await;
        let told: OrderConfirmed = serde_json::from_value(confirmed(1, 50, 2).data).unwrap();
        let mut uow = ordering.begin(&Cx::system("test")).await.unwrap();
        uow.emit(told.order.0, 2, &OrderingEvent::Confirmed(told));
        uow.commit().await.unwrap();
        while ordering.relay().pass().await.unwrap() > 0 {}
        let subscription = subscriptions::ordering(office.db.clone(), ordering.log());
        let hear = async || while subscription.step().await.unwrap() > 0 {};
        hear().await;
        let post = Arc::new(Slow::new(Waits::HandedOver, 1000, false));
        let sender = office.sender(post.clone());
        while sender.step().await.unwrap() > 0 {}
        assert_eq!(post.delivered().len(), 1);
        office.later(400 * DAYS);
        let log = ordering.log();
        let forgets = async || forget(&office.db, &*log, 90 * DAY).await.unwrap();
        assert_eq!(forgets().await, 0, "the log has its event");
        // It comes again, and finds its mail.
        assert_eq!(forget_cursors(office).await, 1);
        hear().await;
        while sender.step().await.unwrap() > 0 {}
        assert_eq!(post.delivered().len(), 1);
        // The log forgets it, and then it cannot come again.
        subscription.report().await.unwrap();
        assert_eq!(ordering.retention().prune(TimeDelta::days(7)).await.unwrap().events, 1);
        assert_eq!(forgets().await, 1);
        assert_eq!(forget_cursors(office).await, 1);
        let outcome = subscription.step().await;
        assert!(
            matches!(outcome, Err(SubscriptionError::Log(LogError::Gone { .. }))),
            "{outcome:?}"
        );
        assert_eq!(sender.step().await.unwrap(), 0);
    }
}
