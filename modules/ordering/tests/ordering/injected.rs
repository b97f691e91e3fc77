//! Every step and every undo, failing in every way, twice in a row: each order ends as if nothing had happened.

on_both!(
    a_failure_of_any_step_changes_nothing,
    a_failure_of_any_undo_changes_nothing
);

mod tests {
    use ordering_contract::{OrderId, OrderStatus};

    use crate::{
        faults::{EVERY, Fault},
        support::{Office, all, draft},
    };

    /// Places an order for each case, all at once, with each failure once and twice; then has what was late arrive.
    async fn run(
        office: &Office,
        operations: &[&'static str],
        ends: OrderStatus,
        prepare: impl Fn(OrderId) + Copy,
        meanwhile: impl AsyncFn(OrderId) + Copy,
    ) {
        let mut cases = Vec::new();
        for operation in operations {
            for fault in EVERY {
                cases.extend([(*operation, vec![fault]), (*operation, vec![fault, fault])]);
            }
        }
        let follow = cases.iter().map(|(operation, faults)| async move {
            let id = office.id();
            prepare(id);
            office.faults.plan(id.0, operation, faults.clone());
            office.place_with(id, draft(id, "tok_ok")).await;
            meanwhile(id).await;
            office.assert_settled(&office.reaches(id, ends).await);
            let called = office.faults.called(id.0);
            let attempts = called.iter().filter(|c| *c == operation).count();
            assert!(attempts >= 1, "{operation} was never called: {called:?}");
            id
        });
        let ended = office.working(all(follow)).await;
        office.faults.release().await;
        for id in ended {
            let order = office.order(id).await;
            assert_eq!(order.status, ends);
            office.assert_settled(&order);
        }
    }

    pub async fn a_failure_of_any_step_changes_nothing(office: &Office) {
        let steps = ["hold", "authorise", "commit", "capture", "assign"];
        run(office, &steps, OrderStatus::Confirmed, |_| {}, async |_| {}).await;
    }

    pub async fn a_failure_of_any_undo_changes_nothing(office: &Office) {
        // Everything before the pivot is undone.
        let refuse = |id: OrderId| office.faults.plan(id.0, "capture", [Fault::Refused]);
        let undos = ["held", "unassign", "void"];
        run(office, &undos, OrderStatus::Refused, refuse, async |_| {}).await;
        // Everything after it is taken back.
        let cancel = async |id: OrderId| {
            office.reaches(id, OrderStatus::Confirmed).await;
            office.ordering.cancel(&office.cx, id).await.unwrap();
        };
        run(office, &["unassign", "refund"], OrderStatus::Cancelled, |_| {}, cancel).await;
    }
}
