//! How a saga moves: no I/O, no clock of its own. What is decided here is written by the engine in one transaction.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    Deed, Kind, Saga, SagaStatus, StepRecord, StepState,
    definition::{Answer, Shape, ShapeStep},
};

/// A saga with all that is known of its steps, being changed.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) saga: Saga,
    pub(super) records: Vec<StepRecord>,
    /// Indexes into `records` of what has to be written.
    pub(super) touched: Vec<usize>,
}

impl Sheet {
    pub(super) fn new(saga: Saga, records: Vec<StepRecord>) -> Self {
        Self {
            saga,
            records,
            touched: Vec::new(),
        }
    }

    /// Decides what is done next. `None` when there is nothing to do, now or at all.
    pub(super) fn next(&mut self, shape: &Shape, now: DateTime<Utc>) -> Option<(usize, Deed)> {
        if self.saga.status == SagaStatus::Running {
            self.look_at_deadline(shape, now);
        }
        match self.saga.status {
            SagaStatus::Running => self.next_do(shape, now),
            SagaStatus::Compensating => Some((self.next_undo(shape)?, Deed::Undo)),
            SagaStatus::Done | SagaStatus::Undone | SagaStatus::Stuck | SagaStatus::Abandoned => None,
        }
    }

    /// Notes that what is done next has started.
    pub(super) fn start(&mut self, step: &ShapeStep, deed: Deed, now: DateTime<Utc>, hold: TimeDelta) {
        self.saga.attempts = self.saga.attempts.saturating_add(1);
        self.saga.due_at = Some(now + hold);
        if deed == Deed::Do && step.undo.is_some() && self.find(&step.name, Deed::Undo).is_none() {
            self.put(&step.name, Deed::Undo, now, |undo| undo.state = StepState::Recorded);
        }
        self.put(&step.name, deed, now, |record| {
            record.state = StepState::Started;
            record.attempts = record.attempts.saturating_add(1);
        });
    }

    fn next_do(&mut self, shape: &Shape, now: DateTime<Utc>) -> Option<(usize, Deed)> {
        let Some(index) = shape.index(&self.saga.step) else {
            let cause = format!("its definition has no step {} any more", self.saga.step);
            self.stick(json!({ "step": self.saga.step, "cause": cause }));
            return None;
        };
        let step = &shape.steps[index];
        // Its workers were lost again and again.
        if step.kind == Kind::Compensatable && self.saga.attempts >= step.retry.attempts {
            self.turn_round(
                shape,
                json!({ "step": step.name, "gave_up": "its workers were lost" }),
                now,
            );
            return Some((self.next_undo(shape)?, Deed::Undo));
        }
        Some((index, Deed::Do))
    }

    /// The last step that is not undone yet.
    fn next_undo(&mut self, shape: &Shape) -> Option<usize> {
        let lost = self.open_undos().find(|r| shape.index(&r.step).is_none());
        if let Some(lost) = lost {
            let cause = format!("its definition has no step {} any more", lost.step);
            self.stick(json!({ "step": lost.step, "cause": cause }));
            return None;
        }
        let Some(index) = self.last_undo(shape) else {
            self.end(SagaStatus::Undone);
            return None;
        };
        let step = &shape.steps[index];
        if self.saga.step != step.name {
            self.saga.step.clone_from(&step.name);
            self.saga.attempts = 0;
        }
        if self.saga.attempts >= step.retry.attempts {
            self.stick(json!({ "step": step.name, "cause": "its undo was not answered, however often it was tried" }));
            return None;
        }
        Some(index)
    }

    fn last_undo(&self, shape: &Shape) -> Option<usize> {
        self.open_undos().filter_map(|r| shape.index(&r.step)).max()
    }

    fn open_undos(&self) -> impl Iterator<Item = &StepRecord> {
        self.records
            .iter()
            .filter(|r| r.deed == Deed::Undo && r.state != StepState::Done)
    }

    /// Notes what came of a step. It is due again at once, later or never.
    pub(super) fn record(&mut self, shape: &Shape, now: DateTime<Utc>, index: usize, deed: Deed, answer: Answer) {
        let step = &shape.steps[index];
        match (deed, answer) {
            (Deed::Do, Answer::Done(state)) => {
                self.put(&step.name, deed, now, |r| {
                    (r.state, r.outcome) = (StepState::Done, None)
                });
                self.saga.state = state;
                self.saga.attempts = 0;
                self.saga.due_at = Some(now);
                match shape.steps.get(index + 1) {
                    Some(next) => self.saga.step.clone_from(&next.name),
                    None => self.end(SagaStatus::Done),
                }
            }
            (Deed::Undo, Answer::Done(state)) => {
                self.put(&step.name, deed, now, |r| {
                    (r.state, r.outcome) = (StepState::Done, None)
                });
                self.put(&step.name, Deed::Do, now, |r| r.state = StepState::Undone);
                self.saga.state = state;
                self.saga.attempts = 0;
                self.saga.due_at = Some(now);
            }
            (_, Answer::Refused(reason)) => {
                let why = json!({ "step": step.name, "refused": reason });
                self.put(&step.name, deed, now, |r| {
                    (r.state, r.outcome) = (StepState::Refused, Some(json!({ "refused": reason })));
                });
                match (deed, step.kind) {
                    (Deed::Do, Kind::Compensatable | Kind::Pivot) => self.turn_round(shape, why, now),
                    (Deed::Undo, _) | (Deed::Do, Kind::Retriable) => self.stick(why),
                }
            }
            (_, Answer::Retry(cause)) => self.again(shape, step, deed, now, &cause),
            (_, Answer::Unreadable(cause)) => self.stick(json!({ "step": step.name, "cause": cause })),
        }
    }

    fn again(&mut self, shape: &Shape, step: &ShapeStep, deed: Deed, now: DateTime<Utc>, cause: &str) {
        self.put(&step.name, deed, now, |r| r.outcome = Some(json!({ "retry": cause })));
        let used_up = self.saga.attempts >= step.retry.attempts;
        match (deed, step.kind) {
            (Deed::Undo, _) if used_up => {
                return self.stick(json!({ "step": step.name, "gave_up": cause }));
            }
            (Deed::Do, Kind::Compensatable) if used_up => {
                return self.turn_round(shape, json!({ "step": step.name, "gave_up": cause }), now);
            }
            _ => {}
        }
        let pause = TimeDelta::from_std(step.retry.pause(self.saga.attempts)).unwrap_or(TimeDelta::MAX);
        let mut due = now + pause;
        if let Some(deadline) = self.saga.deadline
            && self.saga.status == SagaStatus::Running
            && !self.saga.overdue
            && deadline > now
        {
            due = due.min(deadline);
        }
        self.saga.due_at = Some(due);
        // A deadline that passed while the step ran.
        if self.saga.status == SagaStatus::Running {
            self.look_at_deadline(shape, now);
        }
    }

    fn look_at_deadline(&mut self, shape: &Shape, now: DateTime<Utc>) {
        let Some(deadline) = self.saga.deadline.filter(|d| *d <= now && !self.saga.overdue) else {
            return;
        };
        if self.may_turn_round(shape) {
            self.turn_round(shape, json!({ "deadline": deadline }), now);
        } else {
            self.saga.overdue = true;
        }
    }

    /// Asks it to turn round. Whether it could.
    pub(super) fn cancel(&mut self, shape: &Shape, now: DateTime<Utc>, reason: Value) -> bool {
        let forward = match self.saga.status {
            SagaStatus::Running => true,
            SagaStatus::Stuck => !self.saga.undoing,
            SagaStatus::Compensating | SagaStatus::Done | SagaStatus::Undone | SagaStatus::Abandoned => false,
        };
        if !forward || !self.may_turn_round(shape) {
            return false;
        }
        self.turn_round(shape, json!({ "cancelled": reason }), now);
        true
    }

    /// Gives up a stuck saga: it turns round where it can, and is over where it cannot. Otherwise a sentence that says why not.
    pub(super) fn abandon(&mut self, shape: &Shape, now: DateTime<Utc>, reason: Value) -> Result<(), String> {
        let standing = self.saga.status;
        if standing != SagaStatus::Stuck {
            return Err(format!("it is {}, and only a stuck one is given up", standing.as_str()));
        }
        if self.saga.undoing {
            return Err("it is on its way back already: mend what it is stuck at, and resume it".to_owned());
        }
        if self.cancel(shape, now, reason.clone()) {
            return Ok(());
        }
        if !shape.abandonable {
            return Err(format!(
                "{} may have happened, and nothing is defined that takes a {} back from there: mend what it is stuck at, and resume it",
                self.saga.step, shape.name
            ));
        }
        // What it was stuck at is still worth knowing.
        let mut told = json!({ "abandoned": reason });
        if let Some(stuck) = self.saga.reason.as_mut().and_then(|r| r.get_mut("stuck")) {
            told["stuck"] = stuck.take();
        }
        self.saga.reason = Some(told);
        self.end(SagaStatus::Abandoned);
        Ok(())
    }

    /// Puts a stuck saga back to work. Whether it was stuck.
    pub(super) fn resume(&mut self, now: DateTime<Utc>) -> bool {
        if self.saga.status != SagaStatus::Stuck {
            return false;
        }
        self.saga.status = match self.saga.undoing {
            true => SagaStatus::Compensating,
            false => SagaStatus::Running,
        };
        self.saga.attempts = 0;
        self.saga.due_at = Some(now);
        true
    }

    /// Whether nothing has been tried that cannot be undone.
    fn may_turn_round(&self, shape: &Shape) -> bool {
        !self.records.iter().any(|r| {
            let step = shape.index(&r.step).map(|i| &shape.steps[i]);
            r.deed == Deed::Do && r.state != StepState::Refused && step.is_none_or(|s| s.kind != Kind::Compensatable)
        })
    }

    fn turn_round(&mut self, shape: &Shape, reason: Value, now: DateTime<Utc>) {
        // It waits for a place where it goes to, and not where it comes from.
        if let Some(index) = self.last_undo(shape) {
            self.saga.step.clone_from(&shape.steps[index].name);
        }
        self.saga.status = SagaStatus::Compensating;
        self.saga.undoing = true;
        self.saga.reason = Some(reason);
        self.saga.attempts = 0;
        self.saga.due_at = Some(now);
    }

    fn stick(&mut self, cause: Value) {
        // Why it turned round is still worth knowing.
        let reason = match self.saga.reason.take() {
            Some(turned) if self.saga.undoing && turned.get("stuck").is_none() => {
                json!({ "stuck": cause, "undoing": turned })
            }
            Some(mut stuck) if self.saga.undoing => {
                stuck["stuck"] = cause;
                stuck
            }
            _ => json!({ "stuck": cause }),
        };
        self.saga.reason = Some(reason);
        self.end(SagaStatus::Stuck);
    }

    fn end(&mut self, status: SagaStatus) {
        self.saga.status = status;
        self.saga.due_at = None;
    }

    fn find(&self, step: &str, deed: Deed) -> Option<usize> {
        self.records.iter().position(|r| r.step == step && r.deed == deed)
    }

    fn put(&mut self, step: &str, deed: Deed, now: DateTime<Utc>, change: impl FnOnce(&mut StepRecord)) {
        let index = self.find(step, deed).unwrap_or_else(|| {
            self.records.push(StepRecord {
                step: step.to_owned(),
                deed,
                state: StepState::Recorded,
                attempts: 0,
                at: now,
                outcome: None,
            });
            self.records.len() - 1
        });
        let record = &mut self.records[index];
        change(record);
        record.at = now;
        if !self.touched.contains(&index) {
            self.touched.push(index);
        }
    }
}
