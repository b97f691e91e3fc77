//! The tables. Times are microseconds since 1970.

macro_rules! table {
    ($(#[$doc:meta])* $module:ident, $name:literal { $($column:ident: $type:ty,)* }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $name)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: Uuid,
                pub version: i64,
                $(pub $column: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

table! {
    /// What was heard of acts.
    acts, "acts" { name: String, }
}
table! {
    /// What was heard of venues.
    venues, "venues" { name: String, city: String, time_zone: String, }
}
table! {
    /// What was heard of shows. A cancelled one keeps what it was: mails still name it.
    shows, "shows" { act: Uuid, venue: Uuid, starts_at: i64, }
}
table! {
    /// The head rows of mails; the letter is JSON.
    mails, "mails" {
        order_id: Uuid,
        order_version: i64,
        address: String,
        letter: String,
        phase: String,
        attempts: i32,
        tries: i32,
        queued_at: i64,
        due_at: Option<i64>,
        subject: Option<String>,
        reason: Option<String>,
    }
}
