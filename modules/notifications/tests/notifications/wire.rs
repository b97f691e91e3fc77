//! The contract as it is on the wire: statuses, problems, who may do what, and that no address is shown or logged.

on_both!(what_callers_see);

mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use bytes::Bytes;
    use http::HeaderMap;
    use notifications::post::post_of;
    use notifications_contract::{NOTIFICATIONS, NotificationsServer, NotificationsService, READ, SEND};
    use serde_json::{Value, json};
    use strangler::{Cx, ModuleStats, Principal, Scopes, Serve, wire::Asked};
    use tracing::instrument::WithSubscriber;

    use crate::{
        server::{Point, Server, Whim},
        support::{Office, confirmed},
    };

    async fn ask(server: &dyn Serve, cx: &Cx, operation: &str, params: &[&str], query: &str) -> (u16, Value) {
        let index = NOTIFICATIONS
            .operations
            .iter()
            .position(|o| o.name == operation)
            .unwrap();
        let asked = Asked {
            params,
            query: Some(query),
            headers: &HeaderMap::new(),
            body: &Bytes::new(),
        };
        let answered = server.serve(index, cx, asked).await;
        let body = serde_json::from_slice(&answered.body).unwrap_or_default();
        (answered.status.as_u16(), body)
    }

    pub async fn what_callers_see(office: &Office) {
        let ids = office.queue(3).await;
        let stats = Arc::new(ModuleStats::new(NOTIFICATIONS.operations.len()));
        let server = NotificationsServer::new(office.notifications.clone().guarded(stats));
        let known = |scope: &str| Cx::new(Principal::known("desk", Scopes::Some([scope.into()].into())));
        let (reader, operator) = (known(READ), known(SEND));
        let first = ids[0].to_string();
        let (status, mail) = ask(&server, &reader, "mail", &[&first], "").await;
        let expected = json!({
            "id": first, "order": kernel::Uuid::from_u128(2000), "to": "a***@example.org",
            "subject": "Your tickets: Ólöf Arnalds", "state": "queued", "attempts": 0, "at": "2030-03-17T17:46:40Z",
            "reason": null,
        });
        assert_eq!((status, mail), (200, expected));
        let (_, page) = ask(&server, &reader, "mails", &[], "limit=2&state=queued").await;
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let next = format!("limit=2&cursor={}", page["next"].as_str().unwrap());
        let (_, rest) = ask(&server, &reader, "mails", &[], &next).await;
        assert_eq!(
            (rest["items"][0]["id"].as_str(), &rest["next"]),
            (Some(&*ids[2].to_string()), &Value::Null)
        );
        let of = format!("order={}", kernel::Uuid::from_u128(2001));
        let (_, one) = ask(&server, &reader, "mails", &[], &of).await;
        assert_eq!(one["items"].as_array().unwrap().len(), 1);
        assert_eq!(ask(&server, &reader, "mails", &[], "state=lost").await.0, 400);

        let again = async |cx: &Cx, id: &str, attempt: &str| ask(&server, cx, "send_again", &[id, attempt], "").await.0;
        let nobody = kernel::Uuid::from_u128(1).to_string();
        assert_eq!(ask(&server, &reader, "mail", &[&nobody], "").await.0, 404);
        assert_eq!(again(&operator, &nobody, "1").await, 404);
        assert_eq!(again(&operator, &first, "1").await, 200, "it is coming anyway");
        assert_eq!(again(&operator, &first, "2").await, 409);
        let anybody = Cx::new(Principal::ANYBODY);
        for (cx, status) in [(&anybody, 401), (&reader, 403)] {
            assert_eq!(again(cx, &first, "1").await, status);
        }
        for (cx, status) in [(&anybody, 401), (&operator, 403)] {
            assert_eq!(ask(&server, cx, "mail", &[&first], "").await.0, status);
            assert_eq!(ask(&server, cx, "mails", &[], "").await.0, status);
        }

        // Everything that is logged on the way of mails that are refused, left open and sent.
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone());
        let sending = async {
            let mail_server = Server::start().await;
            let sender = office.sender(post_of(&mail_server.url(), "tickets@example.org").unwrap());
            for whim in [Whim::Answer("550 no <ada@example.org> here"), Whim::Close] {
                mail_server.whim(Some((Point::End, whim)));
                sender.step().await.unwrap();
                office.hear(&confirmed(4000, 4001, 2)).await;
            }
            mail_server.whim(None);
            office.hear(&confirmed(4002, 4003, 2)).await;
            sender.step().await.unwrap();
        };
        sending.with_subscriber(subscriber.finish()).await;
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        for line in [
            "a mail was sent",
            "a mail was not sent",
            "may have been sent or not",
            "(an address)",
        ] {
            assert!(log.contains(line), "{line}: {log}");
        }
        let ours = log.lines().filter(|line| line.contains("notifications"));
        ours.for_each(|line| assert!(!line.contains("ada@"), "{line}"));
        let (_, failed) = ask(&server, &reader, "mails", &[], "state=failed").await;
        let reason = failed["items"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("550") && !reason.contains("ada"), "{reason}");
        assert!(
            !ask(&server, &reader, "mails", &[], "")
                .await
                .1
                .to_string()
                .contains("ada@")
        );
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
