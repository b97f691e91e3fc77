//! A small module to test with: notes that are counted up, and a place where effects of events are written down.

use std::time::Duration;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    entity::prelude::*,
};
use sea_orm_migration::{MigrationName, SchemaManager, async_trait};
use serde::{Deserialize, Serialize};
use strangler::{BoxFuture, Cx, Event};
use strangler_store::{Aggregate, Db, Envelope, Handler, HandlerError, MigrationTrait, Query, StoreError, Uow, Write};

pub mod note {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "notes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub text: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What subscribers did.
pub mod effect {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "effects")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub position: i64,
        pub subject: Uuid,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What an outbox with plain `id > cursor` readers would be.
pub mod shadow {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "shadow")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub subject: Uuid,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

struct Tables;

impl MigrationName for Tables {
    fn name(&self) -> &str {
        "notes_0001"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Tables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = sea_orm::Schema::new(manager.get_database_backend());
        manager
            .create_table(schema.create_table_from_entity(note::Entity))
            .await?;
        manager
            .create_table(schema.create_table_from_entity(effect::Entity))
            .await?;
        manager
            .create_table(schema.create_table_from_entity(shadow::Entity))
            .await
    }
}

pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    let mut list = strangler_store::migrations();
    list.push(Box::new(Tables));
    list
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub id: Uuid,
    pub version: i64,
    pub text: String,
}

impl Note {
    pub fn first(id: Uuid, text: &str) -> Self {
        Self {
            id,
            version: 1,
            text: text.to_owned(),
        }
    }

    pub fn next(&self, text: &str) -> Self {
        Self {
            id: self.id,
            version: self.version + 1,
            text: text.to_owned(),
        }
    }
}

impl Aggregate for Note {
    const KIND: &'static str = "note";
    type Entity = note::Entity;

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn from_model(model: note::Model) -> Result<Self, StoreError> {
        if model.text == "unreadable" {
            return Err(StoreError::corrupt_row("its text is unreadable"));
        }
        Ok(Self {
            id: model.id,
            version: model.version,
            text: model.text,
        })
    }

    fn to_model(&self) -> note::ActiveModel {
        note::Model {
            id: self.id,
            version: self.version,
            text: self.text.clone(),
        }
        .into()
    }

    fn id_column() -> note::Column {
        note::Column::Id
    }

    fn version_column() -> note::Column {
        note::Column::Version
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum NoteEvent {
    Changed {
        text: String,
    },
    Filed {
        text: String,
    },
    /// Of another kind of thing, which may have the same id.
    Folded {
        text: String,
    },
}

impl Event for NoteEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "notes.note.changed",
            Self::Filed { .. } => "notes.note.filed",
            Self::Folded { .. } => "notes.folder.folded",
        }
    }
}

pub fn changed(note: &Note) -> NoteEvent {
    NoteEvent::Changed {
        text: note.text.clone(),
    }
}

#[derive(Serialize)]
pub struct CountNotes {
    pub text: String,
}

impl Query for CountNotes {
    const NAME: &'static str = "count-notes";
    type Answer = u64;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<u64, DbErr> {
        note::Entity::find()
            .filter(note::Column::Text.eq(self.text))
            .count(connection)
            .await
    }
}

/// Asks for what is not there.
#[derive(Serialize)]
pub struct Nonsense;

impl Query for Nonsense {
    const NAME: &'static str = "nonsense";
    type Answer = ();

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let backend = connection.get_database_backend();
        let ask = sea_orm::Statement::from_string(backend, "SELECT nothing FROM nowhere");
        connection.query_one_raw(ask).await.map(drop)
    }
}

#[derive(Serialize)]
pub struct Effects;

impl Query for Effects {
    const NAME: &'static str = "effects";
    type Answer = Vec<(i64, Uuid, i64)>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Self::Answer, DbErr> {
        let rows = effect::Entity::find()
            .order_by_asc(effect::Column::Id)
            .all(connection)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.position, row.subject, row.version))
            .collect())
    }
}

#[derive(Serialize)]
pub struct AddEffect {
    pub position: i64,
    pub subject: Uuid,
    pub version: i64,
}

impl Write for AddEffect {
    const NAME: &'static str = "add-effect";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = effect::ActiveModel {
            position: Set(self.position),
            subject: Set(self.subject),
            version: Set(self.version),
            ..Default::default()
        };
        effect::Entity::insert(row)
            .exec_without_returning(connection)
            .await
            .map(drop)
    }
}

#[derive(Serialize)]
pub struct AddShadow {
    pub subject: Uuid,
    pub version: i64,
}

impl Write for AddShadow {
    const NAME: &'static str = "add-shadow";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = shadow::ActiveModel {
            subject: Set(self.subject),
            version: Set(self.version),
            ..Default::default()
        };
        shadow::Entity::insert(row)
            .exec_without_returning(connection)
            .await
            .map(drop)
    }
}

/// Writes each event down.
pub struct WriteDown;

impl Handler for WriteDown {
    fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (position, subject, version) = (event.position, event.subject, event.aggregateversion);
            uow.put(AddEffect {
                position,
                subject,
                version,
            });
            Ok(())
        })
    }
}

pub fn cx() -> Cx {
    Cx::system("test").with_budget(Duration::from_secs(60))
}

pub fn id() -> Uuid {
    Uuid::now_v7()
}

/// Makes or changes a note, with its event; the ordinary command.
pub async fn write(db: &Db, id: Uuid, text: &str) -> Result<Note, StoreError> {
    let mut uow = db.begin(&cx()).await?;
    let note = match uow.load::<Note>(id).await? {
        Some(note) => note.next(text),
        None => Note::first(id, text),
    };
    uow.save(&note);
    uow.emit(note.id, note.version, &changed(&note));
    uow.commit().await?;
    Ok(note)
}
