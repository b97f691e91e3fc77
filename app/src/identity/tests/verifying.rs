use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use ring::hmac;
use serde_json::json;

use super::{super::*, *};

/// A token with another header, whose signature is made by `sign`.
fn forged(token: &str, header: serde_json::Value, sign: impl FnOnce(&str) -> Vec<u8>) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let message = format!("{}.{claims}", B64.encode(header.to_string()));
    let signature = B64.encode(sign(&message));
    format!("{message}.{signature}")
}

/// A token whose header names a key that there is not.
fn with_key(token: &str, kid: &str) -> String {
    forged(token, json!({"alg": "ES256", "typ": "JWT", "kid": kid}), |_| {
        vec![0; 64]
    })
}

/// A token with these claims, signed by the issuer's own key.
fn signed(issuer: &Issuer, claims: serde_json::Value) -> String {
    let keys = keys::SigningKey::load_all(&issuer.folder.path().join("keys")).unwrap();
    let key = keys.last().unwrap();
    let header = jsonwebtoken::Header {
        kid: Some(key.kid.clone()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256)
    };
    jsonwebtoken::encode(&header, &claims, &key.private).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_checked_once_and_the_keys_are_fetched_once() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let token = issuer.token();
    let first = verifier.verify(&token).await.unwrap();
    assert_eq!(first.principal.subject.as_deref(), Some("ada"));
    assert!(first.principal.scopes.allow("catalog:write") && !first.principal.scopes.allow("seating:hold"));
    assert!(Arc::ptr_eq(&first, &verifier.verify(&token).await.unwrap()));
    verifier
        .verify(&issuer.ring.issue(None, &[] as &[&str], "catalog").unwrap())
        .await
        .unwrap();
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn expired_with_leeway_even_when_it_was_checked_before() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let token = issuer.token();
    verifier.verify(&token).await.unwrap();
    issuer.pass(64);
    verifier.verify(&token).await.unwrap();
    issuer.pass(1);
    assert_eq!(verifier.verify(&token).await, Err(TokenError::Expired));
}

#[tokio::test(start_paused = true)]
async fn too_early() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let token = issuer.token();
    issuer.pass(-5);
    verifier.verify(&token).await.unwrap();
    issuer.pass(-1);
    assert_eq!(
        issuer.verifier("catalog").verify(&token).await,
        Err(TokenError::NotYetValid)
    );
}

#[tokio::test(start_paused = true)]
async fn another_audience_or_issuer_or_none() {
    let issuer = issuer();
    assert_eq!(
        issuer.verifier("seating").verify(&issuer.token()).await,
        Err(TokenError::Audience)
    );
    let verifier = issuer.verifier("catalog");
    let exp = 1_800_000_060;
    for (claims, error) in [
        (json!({"iss": "oak", "aud": "catalog", "exp": exp}), TokenError::Issuer),
        (json!({"aud": "catalog", "exp": exp}), TokenError::Issuer),
        (json!({"iss": "banyan", "exp": exp}), TokenError::Audience),
        (json!({"iss": "banyan", "aud": "catalog"}), TokenError::Malformed),
        (
            json!({"iss": "banyan", "aud": "catalog", "exp": "soon"}),
            TokenError::Malformed,
        ),
        (
            json!({"iss": "banyan", "aud": "catalog", "exp": i64::MAX}),
            TokenError::Malformed,
        ),
    ] {
        assert_eq!(
            verifier.verify(&signed(&issuer, claims.clone())).await,
            Err(error),
            "{claims}"
        );
    }
    verifier
        .verify(&signed(&issuer, json!({"iss": "banyan", "aud": "catalog", "exp": exp})))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_other_algorithm_counts() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let token = issuer.token();
    verifier.verify(&token).await.unwrap();
    let kid = issuer.ring.signing_key_id();
    let unsigned = forged(&token, json!({"alg": "none", "kid": kid}), |_| Vec::new());
    assert_eq!(verifier.verify(&unsigned).await, Err(TokenError::Algorithm));

    // The published key as the secret of an HMAC, in the forms in which a library might take it.
    let set: serde_json::Value = serde_json::from_str(&issuer.ring.jwks()).unwrap();
    let coordinate = |name: &str| B64.decode(set["keys"][0][name].as_str().unwrap()).unwrap();
    let point = [&[4], coordinate("x").as_slice(), coordinate("y").as_slice()].concat();
    for secret in [
        point,
        set["keys"][0].to_string().into_bytes(),
        issuer.ring.jwks().as_bytes().to_vec(),
    ] {
        let sign = |message: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes())
                .as_ref()
                .to_vec()
        };
        let mixed_up = forged(&token, json!({"alg": "HS256", "kid": kid}), sign);
        assert_eq!(verifier.verify(&mixed_up).await, Err(TokenError::Algorithm));
        let renamed = forged(&token, json!({"alg": "ES256", "kid": kid}), sign);
        assert_eq!(verifier.verify(&renamed).await, Err(TokenError::Signature));
    }
    let critical = forged(&token, json!({"alg": "ES256", "kid": kid, "crit": ["b64"]}), |_| {
        vec![0; 64]
    });
    assert_eq!(verifier.verify(&critical).await, Err(TokenError::Malformed));
}

#[tokio::test(start_paused = true)]
async fn tampered_or_no_token_at_all() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let token = issuer.token();
    let parts: Vec<&str> = token.split('.').collect();
    let claims = String::from_utf8(B64.decode(parts[1]).unwrap()).unwrap();
    for (from, to) in [("ada", "eve"), ("catalog:write", "*"), ("1800000060", "1900000060")] {
        let claims = B64.encode(claims.replace(from, to));
        let tampered = [parts[0], &claims, parts[2]].join(".");
        assert_eq!(verifier.verify(&tampered).await, Err(TokenError::Signature));
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(verifier.verify(&unsigned).await, Err(TokenError::Signature));
    let long = "x".repeat(100_000);
    for nonsense in ["", ".", "a.b.c", &parts[..2].join("."), &format!("{token}.x"), &long] {
        let error = verifier.verify(nonsense).await.unwrap_err();
        assert_eq!(error, TokenError::Malformed, "{nonsense}");
        assert!(!error.is_temporary());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_refuses_nobody() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let before = issuer.token();
    verifier.verify(&before).await.unwrap();
    issuer.ring.rotate().unwrap();
    let after = issuer.token();
    verifier.verify(&after).await.unwrap();
    // In flight during the rotation, and met by a verifier that has only the keys of afterwards.
    issuer.verifier("catalog").verify(&before).await.unwrap();
    verifier.verify(&before).await.unwrap();
    assert_eq!(issuer.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn invented_keys_cause_one_fetch_a_second() {
    let issuer = issuer();
    let verifier = Arc::new(issuer.verifier("catalog"));
    let token = issuer.token();
    verifier.verify(&token).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut flood = tokio::task::JoinSet::new();
    for at in 0..500 {
        let (verifier, forged) = (verifier.clone(), with_key(&token, &format!("invented-{at}")));
        flood.spawn(async move { verifier.verify(&forged).await.unwrap_err() });
    }
    let refused = flood.join_all().await;
    assert!(refused.contains(&TokenError::UnknownKey));
    let seconds = began.elapsed().as_secs();
    assert!(
        seconds <= 3 && issuer.fetches() as u64 <= 2 + seconds,
        "{} in {seconds} s",
        issuer.fetches()
    );

    for at in 0..5 {
        let forged = with_key(&token, &format!("one-by-one-{at}"));
        assert_eq!(verifier.verify(&forged).await, Err(TokenError::UnknownKey));
    }
    assert!(issuer.fetches() as u64 <= 2 + began.elapsed().as_secs());
    verifier.verify(&token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_the_issuer_is_away_its_last_keys_stay_in_use() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    issuer.away.store(true, Ordering::SeqCst);
    let error = verifier.verify(&issuer.token()).await.unwrap_err();
    assert!(error == TokenError::IssuerAway && error.is_temporary());
    issuer.away.store(false, Ordering::SeqCst);
    verifier.verify(&issuer.token()).await.unwrap();

    issuer.away.store(true, Ordering::SeqCst);
    issuer.pass(40);
    verifier.verify(&issuer.token()).await.unwrap();
    assert_eq!(
        verifier.verify(&with_key(&issuer.token(), "other")).await,
        Err(TokenError::IssuerAway)
    );
    verifier.verify(&issuer.token()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_or_talks_nonsense_is_away() {
    let issuer = issuer();
    let clock = Arc::new(issuer.clock.clone());
    let silent = Verifier::new("catalog", Box::new(|| Box::pin(std::future::pending())), clock.clone());
    let began = tokio::time::Instant::now();
    assert_eq!(silent.verify(&issuer.token()).await, Err(TokenError::IssuerAway));
    assert!(began.elapsed() < Duration::from_secs(6));
    for answer in [
        "",
        "{}",
        r#"{"keys": []}"#,
        r#"{"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}"#,
    ] {
        let fetch: FetchJwks = Box::new(move || Box::pin(async move { Ok(answer.to_owned()) }));
        let verifier = Verifier::new("catalog", fetch, clock.clone());
        assert_eq!(
            verifier.verify(&issuer.token()).await,
            Err(TokenError::IssuerAway),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_it_fetches_harms_nobody() {
    let issuer = issuer();
    let (ring, calls) = (issuer.ring.clone(), Arc::new(AtomicUsize::new(0)));
    let fetch: FetchJwks = Box::new(move || {
        let (ring, first) = (ring.clone(), calls.fetch_add(1, Ordering::SeqCst) == 0);
        Box::pin(async move {
            if first {
                std::future::pending::<()>().await;
            }
            Ok(ring.jwks().to_string())
        })
    });
    let verifier = Arc::new(Verifier::new("catalog", fetch, Arc::new(issuer.clock.clone())));
    let verify = || {
        let (verifier, token) = (verifier.clone(), issuer.token());
        tokio::spawn(async move { verifier.verify(&token).await })
    };
    let (first, second) = (verify(), verify());
    // The clock stands still while anybody has something to do: this is over when both wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.abort();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_verifier_in_the_issuers_own_process() {
    let issuer = issuer();
    let verifier = Verifier::new("catalog", issuer.ring.fetch(), Arc::new(issuer.clock.clone()));
    verifier.verify(&issuer.token()).await.unwrap();
}
