//! What a promoter and an operator ask for, in one line each.

use ::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Address, Answer, System};

/// An id of its own.
pub fn id() -> Uuid {
    Uuid::from_u128(rand::random())
}

/// The body of an act.
pub fn act(name: &str) -> Value {
    json!({"name": name, "genre": "jazz"})
}

/// The body of a venue with one section of `rows` × `seats`.
pub fn venue(rows: u32, seats: u32) -> Value {
    let sections = json!([{"name": "Stalls", "rows": rows, "seats_per_row": seats}]);
    json!({"name": "The Test House", "city": "Vienna", "time_zone": "Europe/Vienna", "sections": sections})
}

/// The body of a show.
pub fn show(act: Uuid, venue: Uuid) -> Value {
    let prices = json!([{"section": "Stalls", "price": {"amount": 4500, "currency": "EUR"}}]);
    json!({"act": act, "venue": venue, "starts_at": "2031-05-01T19:30:00Z", "prices": prices})
}

/// The path of a show.
pub fn show_path(show: impl std::fmt::Display) -> String {
    format!("/api/v1/catalog/shows/{show}")
}

impl System {
    /// Puts an act, a venue and a show there; the show's id and the three answers.
    pub async fn announce(&self) -> (Uuid, [Answer; 3]) {
        let (a, v, s) = (id(), id(), id());
        let answers = [
            self.put(&format!("/api/v1/catalog/acts/{a}"), &act("Test Act")).await,
            self.put(&format!("/api/v1/catalog/venues/{v}"), &venue(2, 5)).await,
            self.put(&show_path(s), &show(a, v)).await,
        ];
        (s, answers)
    }

    /// The ids of up to `limit` shows.
    pub async fn shows(&self, limit: usize) -> Vec<String> {
        let page = self.get(&format!("/api/v1/catalog/shows?limit={limit}")).await.json();
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|i| i["id"].as_str().map(str::to_owned))
            .collect()
    }

    /// Puts a stage, which must succeed.
    pub async fn stage(&self, target: &str, stage: &str) {
        self.run(&["stage", target, stage, "--why", "test"]).await;
    }

    /// Asks the internal address with this token.
    pub async fn inside(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let bearer = token.map(|t| format!("Bearer {t}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.iter().map(|b| ("authorization", b.as_str())));
        self.send_to(Address::Internal, method, path, &headers, body).await
    }

    /// Asks the control plane as the operator; `None` when there is no good answer.
    pub async fn control(&self, path: &str) -> Option<Value> {
        let answer = self.inside(Method::GET, path, Some(&self.token()), "").await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// Changes a stage over HTTP; the status of the answer.
    pub async fn flip(&self, target: &str, stage: Option<&str>) -> u16 {
        self.change(json!({"target": target, "stage": stage, "why": "test"}))
            .await
    }

    /// Makes this change over HTTP; the status of the answer.
    pub async fn change(&self, change: Value) -> u16 {
        let change = change.to_string();
        let answer = self
            .inside(Method::POST, "/control/v1/stage", Some(&self.token()), change)
            .await;
        answer.map_or(0, |a| a.status)
    }

    /// The module on the map, asked over HTTP; `null` when nobody answers.
    pub async fn on_map(&self, module: &str) -> Value {
        let all = self.control("/control/v1/status").await.unwrap_or_default();
        let modules = all["modules"].as_array().cloned().unwrap_or_default();
        modules.into_iter().find(|m| m["module"] == module).unwrap_or_default()
    }

    /// The process ids of the module's healthy instances.
    pub async fn healthy_pids(&self, module: &str) -> Vec<u64> {
        let instances = self.on_map(module).await["instances"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        instances
            .iter()
            .filter(|i| i["healthy"] == true)
            .filter_map(|i| i["pid"].as_u64())
            .collect()
    }

    /// Every event of the module's log, from its first on.
    pub async fn events(&self, module: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |e| e["position"].as_i64().expect("a position"));
            let last = self
                .control(&format!("/control/v1/events/{module}?limit=1"))
                .await
                .expect("an answer");
            if last["position"].as_i64().expect("a position") <= after {
                return all;
            }
            let path = format!("/control/v1/events/{module}?after={after}&limit=1000");
            let batch = self.control(&path).await.expect("an answer");
            all.extend(batch["events"].as_array().expect("events").iter().cloned());
        }
    }
}

/// Whether a process is there and is no zombie.
pub fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("X")
        .to_owned();
    !matches!(state.as_str(), "X" | "Z")
}

/// The memory that a process holds, in KiB: its own and the pages of its program and of files that it has mapped.
pub fn memory_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// The part of it that is of no file, in KiB: what the process has allocated.
pub fn own_memory_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, of: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|l| l.strip_prefix(of)).expect("its memory");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}
