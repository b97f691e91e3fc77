use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use strangler::{Principal, Scopes};

use super::{super::*, *};

fn key_count(jwks: &str) -> usize {
    let set: serde_json::Value = serde_json::from_str(jwks).unwrap();
    set["keys"].as_array().unwrap().len()
}

#[test]
fn a_token_is_reused_until_half_its_life_is_over() {
    let issuer = issuer();
    let first = issuer.token();
    issuer.pass(29);
    assert!(Arc::ptr_eq(&first, &issuer.token()));
    issuer.pass(1);
    assert_ne!(first, issuer.token());
}

#[test]
fn who_what_and_for_whom_each_make_another_token() {
    let issuer = issuer();
    let issue = |subject, scopes: &[&str], audience| issuer.ring.issue(subject, scopes, audience).unwrap();
    let all = [
        issue(Some("ada"), &["a", "b"], "catalog"),
        issue(Some("bob"), &["a", "b"], "catalog"),
        issue(None, &["a", "b"], "catalog"),
        issue(Some("ada"), &["a"], "catalog"),
        issue(Some("ada"), &[], "catalog"),
        issue(Some("ada"), &["a", "b"], "seating"),
    ];
    for (at, token) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != token));
    }
    let refused = issuer.ring.issue(None, &["a *"], "catalog").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a scope must be printable ASCII without spaces, quotes and backslashes"
    );
}

#[tokio::test]
async fn principals_arrive_as_they_left() {
    let issuer = issuer();
    let verifier = issuer.verifier("catalog");
    let some = Scopes::Some(["catalog:write".into(), "seating:hold".into()].into());
    for (subject, scopes) in [
        (Some("ada"), some),
        (Some("operator"), Scopes::All),
        (None, Scopes::None),
    ] {
        let principal = Principal {
            subject: subject.map(Into::into),
            scopes,
        };
        let token = issuer.ring.issue_for(&principal, "catalog").unwrap();
        let claims = verifier.verify(&token).await.unwrap();
        assert_eq!(claims.principal, principal);
        assert_eq!(claims.expires_at.timestamp(), 1_800_000_060);
    }
}

#[test]
fn the_key_set_says_what_a_verifier_needs_and_nothing_private() {
    let issuer = issuer();
    let set: serde_json::Value = serde_json::from_str(&issuer.ring.jwks()).unwrap();
    let key = &set["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&"EC".into(), &"P-256".into(), &"ES256".into(), &"sig".into())
    );
    assert_eq!(key["kid"], issuer.ring.signing_key_id());
    assert!(key.get("d").is_none());
    let path = issuer
        .folder
        .path()
        .join("keys")
        .join(format!("{}.pem", issuer.ring.signing_key_id()));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn rotation_signs_with_the_new_key_at_once_and_keeps_the_old_while_it_is_needed() {
    let issuer = issuer();
    let (kid, token) = (issuer.ring.signing_key_id(), issuer.token());
    issuer.ring.rotate().unwrap();
    assert_ne!(issuer.ring.signing_key_id(), kid);
    assert_ne!(issuer.token(), token);
    assert_eq!(key_count(&issuer.ring.jwks()), 2);
    issuer.pass(64);
    assert_eq!((key_count(&issuer.ring.jwks()), issuer.key_files()), (2, 2));
    issuer.pass(2);
    assert_eq!((key_count(&issuer.ring.jwks()), issuer.key_files()), (1, 1));
}

#[test]
fn a_key_that_has_its_age_is_followed_by_another() {
    let issuer = issuer();
    let kid = issuer.ring.signing_key_id();
    issuer.pass(i64::from(ROTATE_S) - 1);
    issuer.ring.maintain().unwrap();
    assert_eq!(issuer.ring.signing_key_id(), kid);
    issuer.pass(1);
    issuer.token();
    assert_ne!(issuer.ring.signing_key_id(), kid);
}

#[test]
fn keys_survive_a_restart() {
    let issuer = issuer();
    issuer.ring.rotate().unwrap();
    let next = issuer.restarted(TTL_S);
    assert_eq!(next.signing_key_id(), issuer.ring.signing_key_id());
    assert_eq!(key_count(&next.jwks()), 2);
    // Another life of tokens begins with another key, so that the old one knows how long it is needed.
    let other = issuer.restarted(TTL_S * 2);
    assert_ne!(other.signing_key_id(), next.signing_key_id());
    issuer.pass(66);
    assert_eq!(key_count(&issuer.restarted(TTL_S * 2).jwks()), 1);
}

#[test]
fn a_damaged_key_is_refused_with_its_path() {
    let issuer = issuer();
    let path = issuer
        .folder
        .path()
        .join("keys")
        .join(format!("{}.pem", issuer.ring.signing_key_id()));
    let good = fs::read_to_string(&path).unwrap();
    let open = || KeyRing::open(issuer.folder.path(), TTL_S, ROTATE_S, Arc::new(issuer.clock.clone()));
    let other = tempfile::tempdir().unwrap();
    let foreign = KeyRing::open(other.path(), TTL_S, ROTATE_S, Arc::new(issuer.clock.clone())).unwrap();
    let foreign = other
        .path()
        .join("keys")
        .join(format!("{}.pem", foreign.signing_key_id()));
    let cut: String = good.lines().filter(|line| !line.starts_with("-----END")).collect();
    for bad in [
        "",
        "nonsense",
        &cut,
        &good.replace("created", "made"),
        &fs::read_to_string(foreign).unwrap(),
    ] {
        fs::write(&path, bad).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} is damaged", path.display())), "{error}");
    }
    fs::write(&path, &good).unwrap();
    open().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(open().unwrap_err().to_string().contains("chmod 600"));
}
