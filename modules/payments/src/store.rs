//! The table of payments.

use kernel::{Currency, Money, Uuid};
use payments_contract::{PaymentId, PaymentStatus};
use sea_orm::ActiveValue::Set;
use strangler_store::{Aggregate, StoreError};

use crate::domain::{PaymentState, Terms};

pub(crate) mod payments {
    //! The head rows of payments. Of a token only its digest is kept.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "payments")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub amount: Option<i64>,
        pub currency: Option<String>,
        pub token_digest: Option<String>,
        pub phase: String,
        pub reference: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A status is kept under the name that it has outside.
fn status(text: &str) -> Result<PaymentStatus, StoreError> {
    let name = serde_json::Value::from(text);
    serde_json::from_value(name).map_err(|e| StoreError::corrupt_row(format!("phase: {e}")))
}

impl Aggregate for PaymentState {
    const KIND: &'static str = "payment";
    type Entity = payments::Entity;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn from_model(row: payments::Model) -> Result<Self, StoreError> {
        let terms = match (row.amount, row.currency, row.token_digest) {
            (Some(amount), Some(currency), Some(token_digest)) => {
                let currency = Currency::try_from(currency).map_err(StoreError::corrupt_row)?;
                let amount = Money::new(amount, currency).map_err(StoreError::corrupt_row)?;
                Some(Terms { amount, token_digest })
            }
            _ => None,
        };
        Ok(Self {
            id: PaymentId(row.id),
            version: row.version,
            terms,
            status: status(&row.phase)?,
            reference: row.reference,
        })
    }

    fn to_model(&self) -> payments::ActiveModel {
        let terms = self.terms.as_ref();
        payments::ActiveModel {
            id: Set(self.id.0),
            version: Set(self.version),
            amount: Set(terms.map(|t| t.amount.amount())),
            currency: Set(terms.map(|t| t.amount.currency().to_string())),
            token_digest: Set(terms.map(|t| t.token_digest.clone())),
            phase: Set(self.status.to_string()),
            reference: Set(self.reference.clone()),
        }
    }

    fn id_column() -> payments::Column {
        payments::Column::Id
    }

    fn version_column() -> payments::Column {
        payments::Column::Version
    }
}
