//! Lists of sagas, a page at a time.

on_both!(pages_go_from_group_to_group);

mod tests {
    use std::sync::Arc;

    use strangler_store::{After, Saga, SagaChoice, SagaGroup, SagaStatus, Same};

    use crate::{
        notes::cx,
        support::{Home, eventually},
        world::{Fault, World, begin, sagas, working},
    };

    fn rank(saga: &Saga) -> usize {
        SagaGroup::ALL
            .iter()
            .position(|group| {
                group.statuses.contains(&saga.status) && group.late.unwrap_or(saga.overdue) == saga.overdue
            })
            .expect("every saga is of a group")
    }

    pub async fn pages_go_from_group_to_group(home: &Home) {
        let db = home.db("ordering").await;
        let world = Arc::<World>::default();
        let sagas = sagas(&db, &world);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(begin(&db, &sagas, None).await);
        }
        world.plan("assign:do", [Fault::Refuse]);
        all.push(begin(&db, &sagas, None).await);
        let over = async |id| sagas.find(id).await.unwrap().unwrap().status;
        working(&sagas, async {
            for id in &all {
                eventually(
                    "it is over",
                    async || over(*id).await,
                    |status| matches!(status, SagaStatus::Done | SagaStatus::Stuck),
                )
                .await;
            }
        })
        .await;
        // Nobody works on these any more.
        for n in 0..5 {
            let saga = begin(&db, &sagas, None).await;
            if n % 2 == 0 {
                let mut uow = db.begin(&cx()).await.unwrap();
                sagas
                    .cancel(&mut uow, saga, serde_json::json!("as told"))
                    .await
                    .unwrap();
                uow.commit().await.unwrap();
            }
            all.push(saga);
        }
        let mut expected = Vec::new();
        for id in &all {
            expected.push(sagas.find(*id).await.unwrap().unwrap());
        }
        expected.sort_by_key(|saga| (rank(saga), std::cmp::Reverse(saga.changed_at), saga.id));
        let statuses: Vec<_> = expected.iter().map(|saga| saga.status).collect();
        for status in [
            SagaStatus::Stuck,
            SagaStatus::Compensating,
            SagaStatus::Running,
            SagaStatus::Done,
        ] {
            assert!(statuses.contains(&status), "{statuses:?}");
        }
        let ids = |sagas: &[Saga]| sagas.iter().map(|saga| saga.id).collect::<Vec<_>>();

        for size in [1, 2, 4, 100] {
            let (mut seen, mut begins, mut after) = (Vec::<Saga>::new(), 0, None);
            loop {
                let choices: Vec<_> = SagaGroup::ALL[begins..]
                    .iter()
                    .enumerate()
                    .map(|(n, &group)| SagaChoice {
                        group,
                        after: after.clone().filter(|_| n == 0),
                    })
                    .collect();
                let page = sagas.page(&choices, size).await.unwrap();
                assert!(page.len() as u64 <= size);
                assert!(
                    page.iter().all(|(place, saga)| begins + place == rank(saga)),
                    "{page:?}"
                );
                let Some((place, last)) = page.last() else { break };
                begins += place;
                after = Some(After {
                    at: last.changed_at,
                    same: Same::Beyond(last.id),
                });
                seen.extend(page.into_iter().map(|(_, saga)| saga));
            }
            assert_eq!(ids(&seen), ids(&expected), "in pages of {size}");
        }
        assert_eq!(sagas.page(&[], 10).await.unwrap(), []);
    }
}
