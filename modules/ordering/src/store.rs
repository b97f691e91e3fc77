//! The table of orders.

use kernel::{Currency, Money, Uuid};
use ordering_contract::{Email, OrderId, ShowId};
use sea_orm::ActiveValue::Set;
use serde::{Serialize, de::DeserializeOwned};
use strangler_store::{Aggregate, StoreError};

use crate::domain::OrderState;

pub(crate) mod orders {
    //! The head rows of orders; seats, tickets and reason are JSON. Of a token only its digest is kept.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub show: Uuid,
        pub seats: String,
        pub email: String,
        pub token_digest: String,
        pub status: String,
        pub cancel_asked: bool,
        pub cancellation: Option<Uuid>,
        pub reason: Option<String>,
        pub amount: Option<i64>,
        pub currency: Option<String>,
        pub tickets: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::corrupt_row(format!("{column}: {e}")))
}

fn json_text<T: Serialize>(value: &T) -> String {
    // Plain structs of strings and numbers: there is nothing in them that JSON could refuse.
    serde_json::to_string(value).unwrap_or_default()
}

impl Aggregate for OrderState {
    const KIND: &'static str = "order";
    type Entity = orders::Entity;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn from_model(row: orders::Model) -> Result<Self, StoreError> {
        let total = match (row.amount, row.currency) {
            (Some(amount), Some(currency)) => {
                let currency = Currency::try_from(currency).map_err(StoreError::corrupt_row)?;
                Some(Money::new(amount, currency).map_err(StoreError::corrupt_row)?)
            }
            _ => None,
        };
        // A status is kept under the name that it has outside.
        let status = serde_json::from_value(row.status.into());
        Ok(Self {
            id: OrderId(row.id),
            version: row.version,
            show: ShowId(row.show),
            seats: json("seats", &row.seats)?,
            email: Email::try_from(row.email).map_err(StoreError::corrupt_row)?,
            token_digest: row.token_digest,
            status: status.map_err(|e| StoreError::corrupt_row(format!("status: {e}")))?,
            cancel_asked: row.cancel_asked,
            cancellation: row.cancellation,
            reason: row.reason.map(|text| json("reason", &text)).transpose()?,
            total,
            tickets: json("tickets", &row.tickets)?,
        })
    }

    fn to_model(&self) -> orders::ActiveModel {
        orders::ActiveModel {
            id: Set(self.id.0),
            version: Set(self.version),
            show: Set(self.show.0),
            seats: Set(json_text(&self.seats)),
            email: Set(self.email.expose().to_owned()),
            token_digest: Set(self.token_digest.clone()),
            status: Set(self.status.to_string()),
            cancel_asked: Set(self.cancel_asked),
            cancellation: Set(self.cancellation),
            reason: Set(self.reason.as_ref().map(json_text)),
            amount: Set(self.total.map(|t| t.amount())),
            currency: Set(self.total.map(|t| t.currency().to_string())),
            tickets: Set(json_text(&self.tickets)),
        }
    }

    fn id_column() -> orders::Column {
        orders::Column::Id
    }

    fn version_column() -> orders::Column {
        orders::Column::Version
    }
}
