//! Payments with the sandbox behind them: money is moved once, whatever is repeated, and whatever fails on the way.

on_both!(
    reserved_taken_and_given_back,
    let_go,
    declined,
    voided_before_it_began,
    duplicates_at_once,
    void_and_authorise_at_once,
    flaky_until_settled,
    the_provider_is_down_and_comes_back,
);

mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use payments_contract::{PaymentStatus as Status, PaymentsError, PaymentsService};
    use serde_json::json;
    use strangler::{Cx, Put};

    use crate::support::{Running, Till, draft, id};

    pub async fn reserved_taken_and_given_back(till: &Till) {
        let (folder, cx) = (tempfile::tempdir().unwrap(), &till.cx);
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        let Put::Created(paid) = payments.authorise(cx, id(1), draft(4500, "tok_ok")).await.unwrap() else {
            panic!("created")
        };
        assert_eq!(
            (paid.status, paid.reference.as_deref()),
            (Status::Authorised, Some("pi_000001"))
        );
        assert_eq!(
            payments.authorise(cx, id(1), draft(4500, "tok_ok")).await,
            Ok(Put::Kept(paid))
        );
        let other = payments.authorise(cx, id(1), draft(4501, "tok_ok")).await;
        assert_eq!(other, Err(PaymentsError::OtherPayment { id: id(1) }));
        let standing = Status::Authorised;
        assert_eq!(
            payments.refund(cx, id(1)).await,
            Err(PaymentsError::NotCaptured { id: id(1), standing })
        );
        for _ in 0..2 {
            assert_eq!(payments.capture(cx, id(1)).await.unwrap().status, Status::Captured);
        }
        let entry =
            |state: &str| json!({"id": "pi_000001", "key": id(1), "amount": 4500, "currency": "EUR", "state": state});
        assert_eq!(sandbox.ledger().await, [entry("captured")]);
        let standing = Status::Captured;
        assert_eq!(
            payments.void(cx, id(1)).await,
            Err(PaymentsError::CaptureBegun { id: id(1), standing })
        );
        for _ in 0..2 {
            assert_eq!(payments.refund(cx, id(1)).await.unwrap().status, Status::Refunded);
        }
        assert_eq!(sandbox.ledger().await, [entry("voided")]);
        assert_eq!(payments.payment(cx, id(1)).await.unwrap().status, Status::Refunded);
        assert_eq!(
            payments.payment(cx, id(2)).await,
            Err(PaymentsError::NoSuchPayment { id: id(2) })
        );
    }

    pub async fn let_go(till: &Till) {
        let (folder, cx) = (tempfile::tempdir().unwrap(), &till.cx);
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        payments.authorise(cx, id(1), draft(4500, "tok_ok")).await.unwrap();
        for _ in 0..2 {
            assert_eq!(payments.void(cx, id(1)).await.unwrap().status, Status::Voided);
        }
        assert_eq!(
            payments.capture(cx, id(1)).await,
            Err(PaymentsError::Void { id: id(1) })
        );
        assert_eq!(
            payments.authorise(cx, id(1), draft(4500, "tok_ok")).await,
            Err(PaymentsError::Void { id: id(1) })
        );
        assert_eq!(sandbox.ledger().await[0]["state"], "voided");
    }

    pub async fn declined(till: &Till) {
        let (folder, cx) = (tempfile::tempdir().unwrap(), &till.cx);
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        for (n, token) in [(1, "tok_declined"), (1, "tok_declined"), (2, "tok_unheard_of")] {
            let declined = payments.authorise(cx, id(n), draft(4500, token)).await;
            assert_eq!(declined, Err(PaymentsError::Declined { id: id(n) }));
            assert_eq!(payments.payment(cx, id(n)).await.unwrap().status, Status::Declined);
        }
        let standing = Status::Declined;
        assert_eq!(
            payments.capture(cx, id(1)).await,
            Err(PaymentsError::NotAuthorised { id: id(1), standing })
        );
        assert_eq!(payments.void(cx, id(1)).await.unwrap().status, Status::Declined);
        let states: Vec<_> = sandbox.ledger().await.iter().map(|e| e["state"].clone()).collect();
        assert_eq!(states, ["declined"]);
    }

    pub async fn voided_before_it_began(till: &Till) {
        let (folder, cx) = (tempfile::tempdir().unwrap(), &till.cx);
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        for _ in 0..2 {
            assert_eq!(payments.void(cx, id(1)).await.unwrap().status, Status::Voided);
        }
        assert_eq!(
            payments.authorise(cx, id(1), draft(1, "tok_ok")).await,
            Err(PaymentsError::Void { id: id(1) })
        );
        assert_eq!(
            payments.capture(cx, id(1)).await,
            Err(PaymentsError::Void { id: id(1) })
        );
        assert!(sandbox.ledger().await.is_empty());
    }

    pub async fn duplicates_at_once(till: &Till) {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        let tasks = (0..60).map(|n| {
            let payments = payments.clone();
            tokio::spawn(async move {
                let (cx, id) = (Cx::system("duplicate"), id(n % 3));
                let paid = payments.authorise(&cx, id, draft(100, "tok_ok")).await.unwrap();
                let captured = payments.capture(&cx, id).await.unwrap();
                (paid.into_value().reference, captured.status)
            })
        });
        for end in join_all(tasks).await {
            assert_eq!(end.unwrap().1, Status::Captured);
        }
        let ledger = sandbox.ledger().await;
        assert_eq!(ledger.len(), 3);
        assert!(ledger.iter().all(|e| e["state"] == "captured" && e["amount"] == 100));
    }

    /// Whoever is first: once the void is answered, nothing is reserved, and nothing will be.
    pub async fn void_and_authorise_at_once(till: &Till) {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        let tasks = (0..40).map(|n| {
            let payments = payments.clone();
            tokio::spawn(async move {
                let cx = Cx::system("both");
                let authorise = payments.authorise(&cx, id(n), draft(100, "tok_ok"));
                let void = async {
                    // The fault: it comes at every point of the other one's way, as far as chance has it.
                    tokio::time::sleep(Duration::from_micros(300 * (n as u64 % 20))).await;
                    payments.void(&cx, id(n)).await
                };
                let (authorised, voided) = tokio::join!(authorise, void);
                assert_eq!(voided.unwrap().status, Status::Voided);
                match authorised {
                    Ok(_) | Err(PaymentsError::Void { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            })
        });
        join_all(tasks).await.into_iter().for_each(|end| end.unwrap());
        let open = sandbox.ledger().await.into_iter().filter(|e| e["state"] != "voided");
        assert_eq!(open.collect::<Vec<_>>(), [json!(null); 0]);
    }

    pub async fn flaky_until_settled(till: &Till) {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        let tasks = (0..30).map(|n| {
            let payments = payments.clone();
            tokio::spawn(async move {
                let cx = Cx::system("flaky");
                while let Err(error) = payments.authorise(&cx, id(n), draft(100, "tok_flaky")).await {
                    assert!(matches!(error, PaymentsError::Unsettled { .. }), "{error:?}");
                }
                let end = async |n| match n % 3 {
                    0 => payments.void(&cx, id(n)).await,
                    _ => payments.capture(&cx, id(n)).await,
                };
                while let Err(error) = end(n).await {
                    assert!(matches!(error, PaymentsError::Unsettled { .. }), "{error:?}");
                }
            })
        });
        join_all(tasks).await.into_iter().for_each(|end| end.unwrap());
        let ledger = sandbox.ledger().await;
        let count = |state: &str| ledger.iter().filter(|e| e["state"] == state).count();
        assert_eq!((ledger.len(), count("captured"), count("voided")), (30, 20, 10));
    }

    pub async fn the_provider_is_down_and_comes_back(till: &Till) {
        let (folder, cx) = (tempfile::tempdir().unwrap(), &till.cx);
        let sandbox = Running::start(folder.path()).await;
        let url = sandbox.url.clone();
        let payments = till.payments(&url);
        payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
        sandbox.stop().await;
        let down = |result| matches!(result, Err(PaymentsError::Unsettled { .. }));
        assert!(down(payments.capture(cx, id(1)).await));
        assert!(down(
            payments
                .authorise(cx, id(2), draft(100, "tok_ok"))
                .await
                .map(Put::into_value)
        ));
        assert!(down(
            payments
                .authorise(cx, id(3), draft(100, "tok_ok"))
                .await
                .map(Put::into_value)
        ));
        assert!(down(payments.void(cx, id(3)).await));
        assert_eq!(payments.payment(cx, id(1)).await.unwrap().status, Status::Capturing);
        assert_eq!(payments.payment(cx, id(3)).await.unwrap().status, Status::Voiding);
        let sandbox = Running::start(folder.path()).await;
        let payments = till.payments(&sandbox.url);
        assert_eq!(payments.capture(cx, id(1)).await.unwrap().status, Status::Captured);
        let paid = payments.authorise(cx, id(2), draft(100, "tok_ok")).await.unwrap();
        assert_eq!(paid.into_value().status, Status::Authorised);
        assert_eq!(payments.void(cx, id(3)).await.unwrap().status, Status::Voided);
        let ledger = sandbox.ledger().await;
        assert_eq!(
            ledger.iter().map(|e| e["state"].clone()).collect::<Vec<_>>(),
            ["captured", "authorized"]
        );
    }
}
