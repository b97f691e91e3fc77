//! The groups of mismatches that a parallel run found, kept over a restart.

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::OnConflict};
use serde::Serialize;
use serde_json::Value;
use strangler::{
    BoxFuture,
    parallel::{Answers, Group, GroupKey, GroupStore},
};
use strangler_store::{Query, StoreError, Write};

use super::ControlStore;

mod mismatches {
    //! One row for each group; what is shown of it is JSON.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mismatches")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub module: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub operation: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub place: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub shape: String,
        pub detail: String,
        pub answers: Option<String>,
        pub recorded: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A row as it is written: key, detail, answers, case.
type Row = (GroupKeyText, String, Option<String>, Option<String>);
type GroupKeyText = [String; 4];

fn text(key: GroupKey) -> GroupKeyText {
    [key.operation, key.place, key.kind.name().to_owned(), key.shape]
}

#[derive(Serialize)]
struct KeepGroups {
    module: String,
    groups: Vec<Row>,
    removed: Vec<GroupKeyText>,
}

impl Write for KeepGroups {
    const NAME: &'static str = "keep-mismatches";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        use mismatches::Column as C;
        for [operation, place, kind, shape] in self.removed {
            let key = (self.module.clone(), operation, place, kind, shape);
            mismatches::Entity::delete_by_id(key).exec(connection).await?;
        }
        for ([operation, place, kind, shape], detail, answers, recorded) in self.groups {
            let row = mismatches::ActiveModel {
                module: Set(self.module.clone()),
                operation: Set(operation),
                place: Set(place),
                kind: Set(kind),
                shape: Set(shape),
                detail: Set(detail),
                answers: Set(answers),
                recorded: Set(recorded),
            };
            let replace = OnConflict::columns([C::Module, C::Operation, C::Place, C::Kind, C::Shape])
                .update_columns([C::Detail, C::Answers, C::Recorded])
                .to_owned();
            let insert = mismatches::Entity::insert(row).on_conflict(replace);
            insert.exec_without_returning(connection).await?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct GroupsOf {
    module: String,
}

impl Query for GroupsOf {
    const NAME: &'static str = "mismatches-of-module";
    type Answer = Vec<(String, Option<String>, Option<String>)>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Self::Answer, DbErr> {
        let rows = mismatches::Entity::find().filter(mismatches::Column::Module.eq(self.module));
        let rows = rows.all(connection).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.detail, row.answers, row.recorded))
            .collect())
    }
}

impl GroupStore for ControlStore {
    fn save<'a>(
        &'a self,
        module: &'a str,
        groups: Vec<Group>,
        removed: Vec<GroupKey>,
    ) -> BoxFuture<'a, Result<(), String>> {
        let row = |group: Group| -> Result<Row, serde_json::Error> {
            Ok((
                text(group.key()),
                serde_json::to_string(&group)?,
                group.example.answers.map(|a| serde_json::to_string(&*a)).transpose()?,
                group.example.case.map(|c| serde_json::to_string(&*c)).transpose()?,
            ))
        };
        let groups = groups.into_iter().map(row).collect::<Result<Vec<_>, _>>();
        Box::pin(async move {
            let groups = groups.map_err(|e| e.to_string())?;
            let write = async {
                let mut uow = self.db().begin(&Self::cx()).await?;
                uow.put(KeepGroups {
                    module: module.to_owned(),
                    groups,
                    removed: removed.into_iter().map(text).collect(),
                });
                uow.commit().await
            };
            write.await.map_err(|e: StoreError| e.to_string())
        })
    }

    fn load<'a>(&'a self, module: &'a str) -> BoxFuture<'a, Result<Vec<Group>, String>> {
        Box::pin(async move {
            let asked = GroupsOf {
                module: module.to_owned(),
            };
            let rows = self
                .db()
                .view(&Self::cx())
                .find(asked)
                .await
                .map_err(|e| e.to_string())?;
            // A row that an older version wrote differently is found anew, if it still differs.
            let read = rows.into_iter().filter_map(|(detail, answers, case)| {
                let group = serde_json::from_str::<Group>(&detail);
                if let Err(error) = &group {
                    tracing::warn!(module, %error, "a group of mismatches cannot be read, and is left out");
                }
                let mut group = group.ok()?;
                let read = answers.and_then(|text| serde_json::from_str::<Answers>(&text).ok());
                group.example.answers = read.map(Into::into);
                let read = case.and_then(|text| serde_json::from_str::<Value>(&text).ok());
                group.example.case = read.map(Into::into);
                Some(group)
            });
            Ok(read.collect())
        })
    }
}
