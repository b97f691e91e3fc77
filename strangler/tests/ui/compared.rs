use serde::{Deserialize, Serialize};
use strangler::Compared;

#[derive(Compared)]
struct Wrong {
    #[compare(ignored)]
    a: String,
    #[compare(tolerance = -1.0)]
    b: f64,
    #[compare()]
    c: u8,
    #[compare(tolerance = "much")]
    d: u8,
}

#[derive(Compared)]
enum Either {
    This,
    That,
}

#[derive(Serialize, Deserialize, Compared)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Loud {
    a_name: String,
}

fn main() {}
