use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Barrier, thread};

use super::super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn tokens_are_made_once_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/data");
    let first = Tokens::open(&data).unwrap();
    assert!(first.operator.expose().starts_with("bo_op_") && first.join.expose().starts_with("bo_join_"));
    assert_eq!(first.operator.expose().len(), "bo_op_".len() + 43);
    let again = Tokens::open(&data).unwrap();
    assert_eq!(first.operator.expose(), again.operator.expose());
    assert_eq!(first.join.expose(), again.join.expose());
    assert_eq!(mode(&data), 0o700);
    for name in [OPERATOR_TOKEN_FILE, JOIN_TOKEN_FILE] {
        assert_eq!(mode(&data.join(name)), 0o600);
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "no temporary file is left");
    assert!(!format!("{first:?}").contains(first.operator.expose()));
}

#[test]
fn processes_that_start_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let data = folder.path().join(round.to_string());
        let start = Barrier::new(8);
        let tokens: Vec<String> = thread::scope(|scope| {
            let open = || {
                start.wait();
                Tokens::open(&data).unwrap().operator.expose().to_owned()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }
}

#[test]
fn only_the_token_itself_matches() {
    let folder = tempfile::tempdir().unwrap();
    let Tokens { operator, join } = Tokens::open(folder.path()).unwrap();
    assert!(operator.matches(operator.expose()));
    assert!(!operator.matches(join.expose()) && !operator.matches("") && !operator.matches("bo_op_"));
    assert!(!operator.matches(&format!("{}x", operator.expose())));
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Tokens::open(folder.path()).unwrap();
    let path = folder.path().join(OPERATOR_TOKEN_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = path.display();
    assert_eq!(
        Tokens::open(folder.path()).unwrap_err().to_string(),
        format!("{shown} holds a secret, and others may read it (mode 0644): chmod 600 {shown}")
    );
}

#[test]
fn empty_and_damaged_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    Tokens::open(folder.path()).unwrap();
    let path = folder.path().join(JOIN_TOKEN_FILE);
    for (text, what) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("bo_join_short", "is damaged"),
        ("bo_op_x", "is damaged"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Tokens::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(what) && (text.len() < 4 || !error.contains(text)),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(
        Tokens::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("it is not text")
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(
        Tokens::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("is not a file")
    );
}

#[test]
fn the_command_line_finds_a_token_or_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let error = operator_token(None, folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("no token: BANYAN_OPERATOR_TOKEN is not set and ") && error.contains("--data"),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it makes nothing");
    let tokens = Tokens::open(folder.path()).unwrap();
    assert!(
        operator_token(None, folder.path())
            .unwrap()
            .matches(tokens.operator.expose())
    );
    assert!(
        join_token(Some(""), folder.path())
            .unwrap()
            .matches(tokens.join.expose())
    );
    let nowhere = Path::new("/nonexistent");
    assert!(
        join_token(Some(tokens.join.expose()), nowhere)
            .unwrap()
            .matches(tokens.join.expose())
    );
    let error = operator_token(Some(tokens.join.expose()), nowhere)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("BANYAN_OPERATOR_TOKEN holds no token of this kind"),
        "{error}"
    );
    assert!(!error.contains(tokens.join.expose()));
}

#[test]
fn role_passwords_are_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let key = DatabaseKey::open(folder.path()).unwrap();
    let password = derive_role_password(&key, "shop_catalog");
    assert_eq!(
        password,
        derive_role_password(&DatabaseKey::open(folder.path()).unwrap(), "shop_catalog")
    );
    assert_ne!(password, derive_role_password(&key, "shop_seating"));
    assert_eq!(mode(&folder.path().join("database-key")), 0o600);
    // Made independently: printf shop_catalog | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
    let known = derive_role_password(&DatabaseKey::from_bytes(&[7; 32]), "shop_catalog");
    assert_eq!(
        known,
        "8c3dc5a8e10fd1957c9051dde21e0aad86ea3747e7ef2465df1b243059552a03"
    );
}
