//! Units of work: all or nothing, guarded by versions.

on_both!(
    a_stale_save_is_a_conflict_and_nothing_of_it_remains,
    creators_of_one_id_take_turns,
    dropping_rolls_back,
    dropped_while_it_begins_it_leaves_nothing_open,
    one_version_has_one_event,
    a_swallowed_error_does_not_commit,
    history_keeps_every_version,
    a_saved_aggregate_is_loaded_again,
    views_read_and_do_nothing_else,
    a_row_that_makes_no_sense_is_said_to_be_damaged,
);

mod tests {
    use strangler_store::StoreError;
    use tokio::task::JoinSet;

    use crate::{
        notes::{AddEffect, CountNotes, Effects, Nonsense, Note, NoteEvent, changed, cx, id, write},
        support::Home,
    };

    /// Callers go away at any moment. The connection of one that went away while its transaction began must not carry that
    /// on into what others do on it.
    pub async fn dropped_while_it_begins_it_leaves_nothing_open(home: &Home) {
        let db = home.db("notes").await;
        let kept = write(&db, id(), "kept").await.unwrap();
        for n in 0..400_u32 {
            let cx = cx();
            let begun = async {
                drop(db.view(&cx).snapshot().await);
                drop(db.begin(&cx).await);
            };
            // Finer than any timer is.
            let moment = async {
                for _ in 0..n {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { () = begun => {}, () = moment => {} }
            let read = db.view(&cx).load::<Note>(kept.id).await.unwrap();
            assert_eq!(read.map(|note| note.id), Some(kept.id));
            // It would not be allowed to say how isolated it is, in the middle of another transaction.
            let snapshot = db.view(&cx).snapshot().await;
            assert!(snapshot.is_ok(), "dropped after {n} turns: {:?}", snapshot.err());
        }
    }

    pub async fn a_stale_save_is_a_conflict_and_nothing_of_it_remains(home: &Home) {
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        let first = write(&db, id(), "first").await.unwrap();
        write(&other, first.id, "theirs").await.unwrap();

        let mut uow = db.begin(&cx()).await.unwrap();
        uow.put(AddEffect {
            position: 1,
            subject: first.id,
            version: 1,
        });
        uow.save(&Note::first(id(), "beside"));
        uow.save(&first.next("mine"));
        let error = uow.commit().await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(_)), "{error}");
        assert!(error.retryable());
        assert!(error.to_string().contains("in schema notes ("), "{error}");

        let view = db.view(&cx());
        assert_eq!(view.load::<Note>(first.id).await.unwrap().unwrap().text, "theirs");
        assert_eq!(view.find(CountNotes { text: "beside".into() }).await.unwrap(), 0);
        assert_eq!(view.find(Effects).await.unwrap(), []);

        // The same for one that exists already.
        let mut uow = db.begin(&cx()).await.unwrap();
        uow.save(&Note::first(first.id, "again"));
        let error = uow.commit().await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(_)), "{error}");
    }

    pub async fn creators_of_one_id_take_turns(home: &Home) {
        let handles = [home.db("notes").await, home.handle("notes").await];
        let id = id();
        let mut racing = JoinSet::new();
        for n in 0..12 {
            let db = handles[n % 2].clone();
            racing.spawn(async move { write(&db, id, "mine").await.unwrap().version });
        }
        let mut versions = racing.join_all().await;
        versions.sort_unstable();
        assert_eq!(versions, (1..=12).collect::<Vec<i64>>());
    }

    pub async fn dropping_rolls_back(home: &Home) {
        let db = home.db("notes").await;
        let id = id();
        let mut uow = db.begin(&cx()).await.unwrap();
        uow.save(&Note::first(id, "never"));
        uow.emit(id, 1, &NoteEvent::Changed { text: "never".into() });
        uow.flush().await.unwrap();
        drop(uow);
        assert_eq!(db.view(&cx()).load::<Note>(id).await.unwrap(), None);
        assert_eq!(db.relay().pass().await.unwrap(), 0);
        // The writer is free again, also when the future was dropped in the middle of a statement.
        for millis in 0..20 {
            let attempt = write(&db, id, "perhaps");
            let _ = tokio::time::timeout(std::time::Duration::from_micros(millis * 150), attempt).await;
        }
        write(&db, id, "kept").await.unwrap();
        let kept = db.view(&cx()).load::<Note>(id).await.unwrap().unwrap();
        assert_eq!(kept.text, "kept");
        let raw = home.raw("notes").await;
        assert_eq!(raw.number("SELECT count(*) FROM snapshots").await, kept.version);
        assert_eq!(raw.number("SELECT count(*) FROM outbox").await, kept.version);
    }

    pub async fn one_version_has_one_event(home: &Home) {
        let db = home.db("notes").await;
        let note = write(&db, id(), "first").await.unwrap();
        for relayed in [false, true] {
            if relayed {
                assert!(db.relay().pass().await.unwrap() > 0);
            }
            let mut uow = db.begin(&cx()).await.unwrap();
            uow.emit(note.id, 1, &NoteEvent::Filed { text: "twice".into() });
            let error = uow.commit().await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict(_)), "{error}");
        }
        // Ids come from clients: a folder may have the id of a note.
        let mut uow = db.begin(&cx()).await.unwrap();
        uow.emit(
            note.id,
            1,
            &NoteEvent::Folded {
                text: "another kind".into(),
            },
        );
        uow.commit().await.unwrap();
        assert_eq!(db.relay().pass().await.unwrap(), 1);
    }

    pub async fn a_swallowed_error_does_not_commit(home: &Home) {
        let db = home.db("notes").await;
        let id = id();
        let mut uow = db.begin(&cx()).await.unwrap();
        uow.save(&Note::first(id, "half"));
        uow.flush().await.unwrap();
        let error = uow.find(Nonsense).await.unwrap_err();
        assert!(error.to_string().contains("asking nonsense in schema notes"), "{error}");
        assert_eq!(uow.commit().await.unwrap_err().to_string(), error.to_string());
        assert_eq!(db.view(&cx()).load::<Note>(id).await.unwrap(), None);
    }

    pub async fn history_keeps_every_version(home: &Home) {
        let db = home.db("notes").await;
        let id = id();
        for text in ["one", "two", "three"] {
            write(&db, id, text).await.unwrap();
        }
        let raw = home.raw("notes").await;
        let versions = "SELECT version, CASE by WHEN 'test' THEN 1 ELSE 0 END + 0 FROM snapshots ORDER BY version";
        let versions = if home.is_postgres() {
            versions.replace("+ 0", "+ 0::bigint")
        } else {
            versions.to_owned()
        };
        assert_eq!(raw.pairs(&versions).await, [(1, 1), (2, 1), (3, 1)]);
    }

    pub async fn a_saved_aggregate_is_loaded_again(home: &Home) {
        let db = home.db("notes").await;
        let id = id();
        let mut uow = db.begin(&cx()).await.unwrap();
        assert_eq!(uow.load::<Note>(id).await.unwrap(), None);
        let first = Note::first(id, "one");
        uow.save(&first);
        assert_eq!(uow.peek::<Note>(id).await.unwrap(), Some(first.clone()));
        let second = first.next("two");
        uow.save(&second);
        uow.emit(id, 2, &changed(&second));
        assert_eq!(uow.load::<Note>(id).await.unwrap(), Some(second.clone()));
        assert_eq!(uow.now().timestamp_subsec_nanos() % 1000, 0);
        uow.commit().await.unwrap();
        assert_eq!(db.view(&cx()).load::<Note>(id).await.unwrap(), Some(second));
    }

    pub async fn views_read_and_do_nothing_else(home: &Home) {
        let db = home.db("notes").await;
        let note = write(&db, id(), "before").await.unwrap();
        let cx = cx();
        let view = db.view(&cx);
        let snapshot = view.snapshot().await.unwrap();
        assert_eq!(snapshot.find(CountNotes { text: "before".into() }).await.unwrap(), 1);
        write(&db, note.id, "after").await.unwrap();
        assert_eq!(snapshot.load::<Note>(note.id).await.unwrap().unwrap().text, "before");
        assert_eq!(view.load::<Note>(note.id).await.unwrap().unwrap().text, "after");
        let error = view.find(crate::faults::WritingQuery).await.unwrap_err();
        assert!(error.to_string().contains("a view only reads"), "{error}");
    }

    pub async fn a_row_that_makes_no_sense_is_said_to_be_damaged(home: &Home) {
        let db = home.db("notes").await;
        let note = write(&db, id(), "unreadable").await.unwrap();
        let error = db.view(&cx()).load::<Note>(note.id).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("loading note {} in schema notes (", note.id)),
            "{error}"
        );
    }
}
