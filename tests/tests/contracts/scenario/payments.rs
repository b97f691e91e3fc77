//! Money: reserved, taken, let go, given back, each once, and refused.

use serde_json::{Value, json};

use super::line::{Line, ask, put};

fn draft(amount: i64, token: &str) -> Value {
    json!({"amount": {"amount": amount, "currency": "EUR"}, "token": token})
}

pub(super) fn story() -> Vec<Line> {
    vec![
        // Nothing is there.
        ask("payments.payment", 300).gets(404),
        ask("payments.capture", 300).gets(404),
        ask("payments.refund", 300).gets(404),
        // Reserved, taken, given back.
        put("payments.authorise", 300, draft(4500, "tok_ok")).gets(201),
        put("payments.authorise", 300, draft(4500, "tok_ok")).gets(200),
        put("payments.authorise", 300, draft(4600, "tok_ok")).gets(422),
        put("payments.authorise", 300, draft(4500, "tok_other")).gets(422),
        ask("payments.payment", 300).gets(200),
        ask("payments.refund", 300).gets(409),
        ask("payments.capture", 300).gets(200),
        ask("payments.capture", 300).gets(200),
        ask("payments.void", 300).gets(409),
        put("payments.authorise", 300, draft(4500, "tok_ok")).gets(200),
        ask("payments.refund", 300).gets(200),
        ask("payments.refund", 300).gets(200),
        ask("payments.capture", 300).gets(409),
        ask("payments.payment", 300).gets(200),
        // Reserved and let go; its id is never used again.
        put("payments.authorise", 301, draft(100, "tok_ok")).gets(201),
        ask("payments.void", 301).gets(200),
        ask("payments.void", 301).gets(200),
        ask("payments.capture", 301).gets(410),
        ask("payments.refund", 301).gets(409),
        put("payments.authorise", 301, draft(100, "tok_ok")).gets(410),
        put("payments.authorise", 301, draft(101, "tok_ok")).gets(422),
        // Let go before it was reserved.
        ask("payments.void", 302).gets(200),
        ask("payments.payment", 302).gets(200),
        put("payments.authorise", 302, draft(100, "tok_ok")).gets(410),
        // Declined, for good.
        put("payments.authorise", 303, draft(9900, "tok_declined")).gets(402),
        put("payments.authorise", 303, draft(9900, "tok_declined")).gets(402),
        put("payments.authorise", 303, draft(9900, "tok_ok")).gets(422),
        ask("payments.payment", 303).gets(200),
        ask("payments.capture", 303).gets(409),
        ask("payments.refund", 303).gets(409),
        ask("payments.void", 303).gets(200),
        ask("payments.payment", 303).gets(200),
        // A provider that fails now and then, as often and in the same way for the same id, before and after it did what
        // was asked; the second attempt finds out.
        put("payments.authorise", 304, draft(700, "tok_flaky")).gets(201),
        ask("payments.capture", 304).gets(200),
        ask("payments.refund", 304).gets(200),
        put("payments.authorise", 305, draft(700, "tok_flaky")).gets(201),
        ask("payments.void", 305).gets(200),
        // Free of charge.
        put("payments.authorise", 306, draft(0, "tok_ok")).gets(201),
        ask("payments.capture", 306).gets(200),
    ]
}
