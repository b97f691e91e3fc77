//! Mail servers with TLS: whose certificate is trusted is told everything, and any other nothing.

use std::{sync::Arc, time::Duration};

use kernel::Uuid;
use notifications::post::{Failure, Outgoing, Post, post_of, post_trusting};
use notifications_contract::MailId;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::server::{Server, Tls};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a server with this name has, whose certificate ends in this year.
fn server(authority: &Authority, name: &str, until: i32) -> TlsAcceptor {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A way to speak TLS, and the address of a server on this port that is spoken to in this way.
type Way = (fn(TlsAcceptor) -> Tls, &'static str);

const WAYS: [Way; 3] = [
    (Tls::Starts, "smtp://ada:secret@127.0.0.1:PORT?tls=required"),
    (Tls::Starts, "smtp://ada:secret@127.0.0.1:PORT?tls=opportunistic"),
    (Tls::Wraps, "smtps://ada:secret@127.0.0.1:PORT"),
];

async fn send(post: &dyn Post) -> Result<(), Failure> {
    let mail = Outgoing {
        id: MailId(Uuid::from_u128(1)),
        to: crate::support::ADA.to_owned(),
        subject: "Your tickets".to_owned(),
        text: "They are yours.\n".to_owned(),
        at: "2027-05-01T19:30:00Z".parse().unwrap(),
    };
    let sending = async { post.prepare(&mail).await?.hand_over().await };
    tokio::time::timeout(Duration::from_secs(60), sending).await.unwrap()
}

#[tokio::test]
async fn whom_an_authority_that_is_named_vouches_for_gets_the_mail() {
    let (ours, other) = (authority("ours"), authority("other"));
    let both = other.pem() + &ours.pem();
    for (tls, url) in WAYS {
        let server = Server::with_tls(tls(server(&ours, "127.0.0.1", 4000))).await;
        let url = url.replace("PORT", &server.port.to_string());
        let post = post_trusting(&url, "tickets@example.org", both.as_bytes()).unwrap();
        assert_eq!(send(&*post).await, Ok(()), "{url}");
        assert_eq!(server.mails().len(), 1);
        let said = server.said();
        assert!(said.contains(&("AUTH".to_owned(), true)), "{said:?}");
        let overheard = said.iter().filter(|(_, secret)| !secret);
        assert!(
            overheard.clone().all(|(verb, _)| verb == "EHLO" || verb == "STARTTLS"),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn whom_nobody_vouches_for_is_told_nothing() {
    let (ours, other) = (authority("ours"), authority("other"));
    let (ours, other) = (&ours, &other);
    for (tls, url) in WAYS {
        for (signed_by, name, until, why) in [
            (other, "127.0.0.1", 4000, "UnknownIssuer"),
            (ours, "mail.example.org", 4000, "not valid for"),
            (ours, "127.0.0.1", 2021, "expired"),
        ] {
            let server = Server::with_tls(tls(server(signed_by, name, until))).await;
            let url = url.replace("PORT", &server.port.to_string());
            let post = post_trusting(&url, "tickets@example.org", ours.pem().as_bytes()).unwrap();
            let Err(Failure::NotYet(said)) = send(&*post).await else {
                panic!("{url}: {name} is trusted until {until}");
            };
            assert!(
                said.contains(why) && said.contains("modules.notifications.mail_ca_file"),
                "{said}"
            );
            let said = server.said();
            assert!(
                said.iter().all(|(verb, _)| verb == "EHLO" || verb == "STARTTLS"),
                "{said:?}"
            );
            assert!(server.mails().is_empty());
        }
    }
    // Without a word about authorities it is the public ones that count.
    let server = Server::with_tls(Tls::Wraps(server(ours, "127.0.0.1", 4000))).await;
    let post = post_of(&format!("smtps://127.0.0.1:{}", server.port), "tickets@example.org").unwrap();
    let outcome = send(&*post).await;
    assert!(
        matches!(&outcome, Err(Failure::NotYet(said)) if said.contains("mail_ca_file")),
        "{outcome:?}"
    );
}

#[test]
fn authorities_are_certificates() {
    let good = authority("ours").pem();
    for bad in [
        "not PEM",
        "\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &good[..100],
    ] {
        for url in ["smtps://mail.example.org", "smtp://127.0.0.1?tls=required"] {
            let post = post_trusting(url, "tickets@example.org", bad.as_bytes());
            assert!(
                post.is_err_and(|why| why.contains("PEM") || why.contains("TLS")),
                "{bad:?}"
            );
        }
    }
}
