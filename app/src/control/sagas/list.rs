//! Pages of sagas over every schema, what needs a person first.

use std::cmp::Ordering;

use chrono::DateTime;
use serde::Deserialize;
use strangler_store::{After, Db, SagaChoice, SagaGroup, SagaStatus, Sagas, Same};
use uuid::Uuid;

use super::{
    super::{Control, api::MOST, cursor, text::searchable},
    SagaLine, SagaList, line,
};

/// Which sagas are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SagaQuery {
    /// Those of this module.
    pub module: Option<String>,
    /// `open` unless told otherwise: those that are not over. `all`, `late`, or a status.
    pub status: Option<String>,
    /// How many at most.
    pub limit: Option<u64>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

impl SagaQuery {
    /// What can be asked for.
    pub const STATUSES: [&str; 9] = [
        "open",
        "all",
        "late",
        SagaStatus::Stuck.as_str(),
        SagaStatus::Compensating.as_str(),
        SagaStatus::Running.as_str(),
        SagaStatus::Abandoned.as_str(),
        SagaStatus::Undone.as_str(),
        SagaStatus::Done.as_str(),
    ];

    /// The groups that are asked for, the most urgent first.
    fn groups(&self) -> Result<Vec<SagaGroup>, String> {
        let of = |statuses| SagaGroup { statuses, late: None };
        Ok(match self.status.as_deref().unwrap_or("open") {
            "open" => SagaGroup::OPEN.to_vec(),
            "all" => SagaGroup::ALL.to_vec(),
            "late" => vec![SagaGroup::LATE],
            "stuck" => vec![SagaGroup::STUCK],
            "compensating" => vec![of(&[SagaStatus::Compensating])],
            "running" => vec![of(&[SagaStatus::Running])],
            "abandoned" => vec![SagaGroup::ABANDONED],
            "undone" => vec![SagaGroup::UNDONE],
            "done" => vec![SagaGroup::DONE],
            other => {
                let all = Self::STATUSES.join(", ");
                return Err(format!("`{other}` is no status of a saga; there are: {all}"));
            }
        })
    }
}

/// The last saga of a page: its group's place, when it changed, in microseconds, its module and its id.
type Place = (usize, i64, String, Uuid);

/// What is left of a schema after this saga.
fn after((_, at, module, id): &Place, schema: &str) -> Result<After<Uuid>, String> {
    let at = DateTime::from_timestamp_micros(*at).ok_or("the cursor is of no time; begin without")?;
    let same = match schema.cmp(module.as_str()) {
        Ordering::Less => Same::None,
        Ordering::Greater => Same::All,
        Ordering::Equal => Same::Beyond(*id),
    };
    Ok(After { at, same })
}

impl Control {
    /// A page of sagas: what needs a person first, then what is late, then the others; of each the one that changed last first.
    ///
    /// # Errors
    /// A sentence, when there is no such module, status or cursor. A module that cannot be asked is named in the answer.
    pub async fn sagas(&self, query: &SagaQuery) -> Result<SagaList, String> {
        searchable("module", query.module.as_deref())?;
        let groups = query.groups()?;
        let schemas: Vec<&Db> = match query.module.as_deref() {
            Some(module) => vec![self.schema(module)?],
            None => self.schemas().collect(),
        };
        let limit = query.limit.unwrap_or(100).clamp(1, MOST);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let last: Option<Place> = cursor::decode(query.cursor.as_deref())?;
        let begin = last.as_ref().map_or(0, |last| last.0).min(groups.len());
        let reads = schemas.iter().map(|&db| {
            let (last, groups) = (last.as_ref(), &groups[begin..]);
            async move {
                let mut choices: Vec<_> = groups.iter().map(|&group| SagaChoice { group, after: None }).collect();
                if let (Some(last), Some(first)) = (last, choices.first_mut()) {
                    first.after = Some(after(last, db.schema())?);
                }
                let sagas = Sagas::new(db.clone()).page(&choices, limit as u64 + 1).await;
                let of_schema = |(n, saga): &(usize, _)| (begin + n, line(db.schema(), saga));
                Ok::<_, String>(sagas.map(|all| all.iter().map(of_schema).collect::<Vec<_>>()))
            }
        });
        let mut found = Vec::<(usize, SagaLine)>::new();
        let mut not_read = std::collections::BTreeSet::new();
        for read in futures_util::future::try_join_all(reads).await? {
            match read {
                Ok(sagas) => found.extend(sagas),
                Err(error) => _ = not_read.insert(error.to_string()),
            }
        }
        // Stable: of one moment and module, the database's own order stays.
        found.sort_by(|(m, a), (n, b)| (m, b.changed_at, &a.module).cmp(&(n, a.changed_at, &b.module)));
        let more = found.len() > limit;
        found.truncate(limit);
        let place = |(n, l): &(usize, SagaLine)| (*n, l.changed_at.timestamp_micros(), l.module.clone(), l.id);
        let next = found.last().filter(|_| more).map(|last| cursor::encode(&place(last)));
        Ok(SagaList {
            sagas: found.into_iter().map(|(_, line)| line).collect(),
            not_read: not_read.into_iter().collect(),
            next,
        })
    }
}
