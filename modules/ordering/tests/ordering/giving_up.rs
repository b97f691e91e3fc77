//! Orders that are stuck after their money was taken, or may have been, and that an operator gives up.

on_both!(
    a_stuck_order_is_given_up,
    given_up_while_nobody_knows_of_the_money,
    its_cancellation_may_be_stuck_too,
);

mod tests {
    use kernel::Uuid;
    use ordering_contract::{OrderId, OrderStatus, OrderingError, OrderingEvent};
    use payments_contract::PaymentStatus::{self, Authorised, Captured, Declined, Refunded, Voided};
    use sea_orm::{ConnectionTrait, DbErr, Statement};
    use serde::Serialize;
    use serde_json::{Value, json};
    use strangler::Failure;
    use strangler_store::{Abandoned, SagaStatus, Write};

    use crate::{
        faults::Fault,
        support::{Office, draft, euros_of},
    };

    async fn give_up(office: &Office, id: OrderId) -> Abandoned {
        let mut uow = office.db.begin(&office.cx).await.unwrap();
        let sagas = office.sagas(&office.db);
        let answer = sagas.abandon(&mut uow, id.0, json!("no such row")).await.unwrap();
        uow.commit().await.unwrap();
        answer
    }

    fn kinds(events: &[(String, Value)]) -> Vec<&str> {
        events.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    pub async fn a_stuck_order_is_given_up(office: &Office) {
        let id = office.id();
        office.faults.plan(id.0, "assign", [Fault::Refused]);
        office.place_with(id, draft(id, "tok_ok")).await;
        let standing = office.order(id).await.status;
        assert_eq!(
            give_up(office, id).await,
            Abandoned::Refused("it is running, and only a stuck one is given up".to_owned()),
            "{standing}"
        );
        let stuck = office.working(office.reaches(id, OrderStatus::Stuck)).await;
        let events = office.events(id).await;
        assert_eq!(kinds(&events), [OrderingEvent::PLACED, OrderingEvent::STUCK]);
        let told = &events[1].1;
        assert_eq!((&told["order"], &told["seats"]), (&json!(id), &json!(stuck.seats)));
        assert_eq!(told["reason"], json!(stuck.reason));
        let refused = office.ordering.cancel(&office.cx, id).await;
        let standing = OrderStatus::Stuck;
        assert_eq!(
            refused,
            Err(Failure::Module(OrderingError::NotCancellable { id, standing })),
            "only the operator may"
        );

        assert_eq!(give_up(office, id).await, Abandoned::Over);
        let going = office.order(id).await;
        assert_eq!((going.status, going.reason.clone()), (OrderStatus::Placed, None));
        assert!(going.version > stuck.version);
        // It was promised already.
        assert_eq!(office.ordering.cancel(&office.cx, id).await.unwrap().value, going);
        let sagas = office.sagas(&office.db);
        assert_eq!(sagas.count(SagaStatus::Running).await.unwrap(), 1, "one cancellation");
        let cancelled = office.working(office.reaches(id, OrderStatus::Cancelled)).await;
        office.assert_settled(&cancelled);
        assert_eq!(office.payments.moves(id.0), [Authorised, Captured, Refunded]);
        let steps: Vec<_> = cancelled.steps.iter().map(|s| s.step.as_str()).collect();
        let all = ["hold", "authorise", "commit", "capture", "assign", "unassign", "refund"];
        assert_eq!(steps, all);
        assert_eq!(office.faults.called(id.0), all, "each once");
        let events = office.events(id).await;
        assert_eq!(kinds(&events)[2..], [OrderingEvent::CANCELLED]);
        assert_eq!(events[2].1["refunded"], json!(euros_of(2)));
        // The seats are free: somebody else has them.
        let next = office.id();
        office.place_with(next, draft(id, "tok_ok")).await;
        let confirmed = office.working(office.reaches(next, OrderStatus::Confirmed)).await;
        office.assert_settled(&confirmed);
    }

    /// What only a person who mends a database by hand, or a mistake in a definition, brings about.
    #[derive(Serialize)]
    struct Stick(Uuid);

    impl Write for Stick {
        const NAME: &'static str = "stick";

        async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
            let sql = "UPDATE sagas SET status = 'stuck', due_at = NULL, version = version + 1 WHERE id = $1";
            let values = [self.0.into()];
            let stick = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
            connection.execute_raw(stick).await.map(drop)
        }
    }

    pub async fn given_up_while_nobody_knows_of_the_money(office: &Office) {
        /// Its capture was begun and has not ended.
        fn begun(office: &Office, id: OrderId) {
            office.payments.leave_capturing(id.0);
        }
        type Meanwhile = fn(&Office, OrderId);
        let cases: [(Fault, &str, Meanwhile, &[PaymentStatus]); 5] = [
            // The capture has not arrived; it has; it arrives when all is over; it is at the provider.
            (Fault::LostBefore, "tok_ok", |_, _| {}, &[Authorised, Voided]),
            (Fault::LostAfter, "tok_ok", |_, _| {}, &[Authorised, Captured, Refunded]),
            (Fault::Late, "tok_ok", |_, _| {}, &[Authorised, Voided]),
            (Fault::LostBefore, "tok_ok", begun, &[Authorised, Captured, Refunded]),
            (Fault::LostBefore, "tok_expired", begun, &[Authorised, Declined]),
        ];
        let mut orders = Vec::new();
        for (fault, token, meanwhile, moves) in cases {
            let id = office.id();
            office.faults.plan(id.0, "capture", [fault]);
            office.place_with(id, draft(id, token)).await;
            orders.push((id, meanwhile, moves));
        }
        // The worker is gone before it has an answer.
        let patient = office
            .sagas(&office.db)
            .with_step_timeout(std::time::Duration::from_secs(20));
        tokio::select! {
            () = patient.run(std::future::pending()) => {}
            () = async {
                for (id, ..) in &orders {
                    office.until_called(*id, "capture").await;
                }
            } => {}
        }
        for (id, meanwhile, _) in &orders {
            meanwhile(office, *id);
            let mut uow = office.db.begin(&office.cx).await.unwrap();
            uow.put(Stick(id.0));
            uow.commit().await.unwrap();
            assert_eq!(give_up(office, *id).await, Abandoned::Over);
        }
        office
            .working(async {
                for (id, ..) in &orders {
                    office.reaches(*id, OrderStatus::Cancelled).await;
                }
            })
            .await;
        office.faults.release().await;
        for (id, _, moves) in &orders {
            let cancelled = office.order(*id).await;
            office.assert_settled(&cancelled);
            assert_eq!(office.payments.moves(id.0), *moves, "{cancelled:?}");
            let events = office.events(*id).await;
            let refunded = moves.contains(&Refunded).then(|| euros_of(2));
            assert_eq!(events.last().unwrap().1["refunded"], json!(refunded));
        }
    }

    /// What is given up was never confirmed, and is not shown as if it were when somebody helps its cancellation on.
    pub async fn its_cancellation_may_be_stuck_too(office: &Office) {
        let id = office.id();
        office.faults.plan(id.0, "assign", [Fault::Refused]);
        office.faults.plan(id.0, "refund", [Fault::Refused]);
        office.place_with(id, draft(id, "tok_ok")).await;
        office.working(office.reaches(id, OrderStatus::Stuck)).await;
        give_up(office, id).await;
        office.working(office.reaches(id, OrderStatus::Stuck)).await;
        let sagas = office.sagas(&office.db);
        let [cancellation] = sagas.list(SagaStatus::Stuck, 10).await.unwrap().try_into().unwrap();
        let mut uow = office.db.begin(&office.cx).await.unwrap();
        let again = sagas.abandon(&mut uow, cancellation.id, json!("no")).await.unwrap();
        assert!(matches!(again, Abandoned::Refused(_)), "{again:?}");
        drop(uow);
        let mut uow = office.db.begin(&office.cx).await.unwrap();
        assert!(sagas.resume(&mut uow, cancellation.id).await.unwrap());
        uow.commit().await.unwrap();
        assert_eq!(office.order(id).await.status, OrderStatus::Placed);
        let cancelled = office.working(office.reaches(id, OrderStatus::Cancelled)).await;
        office.assert_settled(&cancelled);
        let events = office.events(id).await;
        let stuck = [OrderingEvent::STUCK; 2];
        assert_eq!(kinds(&events)[1..3], stuck);
        assert_eq!(kinds(&events)[3..], [OrderingEvent::CANCELLED]);
    }
}
