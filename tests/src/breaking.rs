//! What between two OpenAPI documents of a contract would break somebody: a client that was written for the old one and
//! talks to the new one. Additions break nobody, as readers are tolerant: they ignore what they do not know.
//!
//! Inputs and answers are looked at from opposite sides: an input must take all that it took, an answer must give all
//! that it gave. A value more in an answer's `enum` counts as breaking, since a client that reads it into a closed type
//! cannot read it.

mod events;
mod schema;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use events::breaking_events;

use self::schema::{Direction, Schemas};

/// The methods that an OpenAPI path may have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Every breaking difference from `old` to `new`, as a sentence that names the place. Empty when nobody breaks.
pub fn breaking(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Findings {
        old,
        new,
        sentences: Vec::new(),
    };
    for (path, item) in map(&old["paths"]) {
        let there = &new["paths"][path.as_str()];
        if there.is_null() {
            found.say(format!("{path}: the path is gone"));
            continue;
        }
        for method in METHODS {
            let (was, is) = (&item[method], &there[method]);
            let place = format!("{} {path}", method.to_uppercase());
            match (was.is_null(), is.is_null()) {
                (true, _) => {}
                (false, true) => found.say(format!("{place}: the operation is gone")),
                (false, false) => found.operation(&place, was, is),
            }
        }
    }
    found.sentences
}

/// The properties of an object; none when it is no object.
fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

struct Findings<'a> {
    old: &'a Value,
    new: &'a Value,
    sentences: Vec<String>,
}

impl<'a> Findings<'a> {
    fn say(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }

    fn operation(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        if old["operationId"] != new["operationId"] {
            let (was, is) = (&old["operationId"], &new["operationId"]);
            self.say(format!("{place}: the operation was called {was} and is called {is}"));
        }
        self.parameters(place, list(&old["parameters"]), list(&new["parameters"]));
        self.request_body(place, &old["requestBody"], &new["requestBody"]);
        self.responses(place, &old["responses"], &new["responses"]);
        self.security(place, &old["security"], &new["security"]);
    }

    fn parameters(&mut self, place: &str, old: &'a [Value], new: &'a [Value]) {
        let same = |a: &Value, b: &Value| a["name"] == b["name"] && a["in"] == b["in"];
        let called = |p: &Value| {
            let text = |key: &str| p[key].as_str().unwrap_or("?").to_owned();
            format!("the {} parameter `{}`", text("in"), text("name"))
        };
        for was in old {
            let Some(is) = new.iter().find(|p| same(was, p)) else {
                self.say(format!("{place}: {} is gone", called(was)));
                continue;
            };
            if was["required"] != true && is["required"] == true {
                self.say(format!("{place}: {} is required now", called(was)));
            }
            self.schema(
                &format!("{place}: {}", called(was)),
                &was["schema"],
                &is["schema"],
                Direction::Input,
            );
        }
        for is in new
            .iter()
            .filter(|p| p["required"] == true && !old.iter().any(|was| same(was, p)))
        {
            self.say(format!("{place}: {} is new and required", called(is)));
        }
    }

    fn request_body(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        if new["required"] == true && old["required"] != true {
            self.say(format!("{place}: a body is required now"));
        }
        if old.is_null() {
            return;
        }
        self.content(
            &format!("{place}: the body"),
            &old["content"],
            &new["content"],
            Direction::Input,
        );
    }

    fn responses(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        for (status, was) in map(old) {
            let is = &new[status.as_str()];
            if is.is_null() {
                self.say(format!("{place}: the answer {status} is gone"));
                continue;
            }
            let answer = format!("{place}: the answer {status}");
            for (header, _) in map(&was["headers"]).filter(|(h, _)| is["headers"][h.as_str()].is_null()) {
                self.say(format!("{answer} no longer has the header `{header}`"));
            }
            self.content(&answer, &was["content"], &is["content"], Direction::Answer);
        }
    }

    fn content(&mut self, place: &str, old: &'a Value, new: &'a Value, direction: Direction) {
        for (media, was) in map(old) {
            match &new[media.as_str()] {
                Value::Null => self.say(format!("{place} is no longer there as {media}")),
                is => self.schema(place, &was["schema"], &is["schema"], direction),
            }
        }
    }

    fn security(&mut self, place: &str, old: &Value, new: &Value) {
        let scopes = |all: &Value| -> Vec<String> {
            let each = list(all).iter().flat_map(|one| map(one).map(|(_, s)| s)).flat_map(list);
            each.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if list(old).is_empty() && !list(new).is_empty() {
            self.say(format!("{place}: asks for a token now"));
            return;
        }
        let known = scopes(old);
        for scope in scopes(new).iter().filter(|s| !known.contains(s)) {
            self.say(format!("{place}: asks for the scope `{scope}` now"));
        }
    }

    fn schema(&mut self, place: &str, old: &Value, new: &Value, direction: Direction) {
        let mut schemas = Schemas::new(self.old, self.new, direction);
        schemas.compare(place, old, new);
        self.sentences.append(&mut schemas.sentences);
    }
}
