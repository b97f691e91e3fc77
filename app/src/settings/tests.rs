use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::{keys::KEYS, *};

const MODULES: &[&str] = &["catalog", "seating", "payments", "notifications"];

/// A folder with a `banyan.toml`.
struct Given {
    folder: TempDir,
    env: Vec<(OsString, OsString)>,
    flags: Vec<Flag>,
}

fn given(toml: &str) -> Given {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("banyan.toml"), toml).unwrap();
    Given {
        folder,
        env: Vec::new(),
        flags: Vec::new(),
    }
}

impl Given {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.flags.push(Flag::new(flag, key, value));
        self
    }

    fn load(&self) -> Result<Settings, SettingsErrors> {
        let file = Some(self.folder.path().join("banyan.toml"));
        Settings::load(&Sources {
            file,
            env: self.env.clone(),
            flags: self.flags.clone(),
            modules: MODULES,
        })
    }

    /// The mistakes, without the folder's path.
    fn mistakes(&self) -> Vec<String> {
        let text = self.load().expect_err("this must be refused").to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
            .lines()
            .map(Into::into)
            .collect()
    }

    #[track_caller]
    fn refused(&self, line: &str) {
        assert_eq!(self.mistakes(), [line]);
    }
}

#[test]
fn defaults() {
    let settings = given("").load().unwrap();
    assert_eq!(settings.public.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.internal.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(
        (settings.public.body_limit, settings.public.connections),
        (1_048_576, 1024)
    );
    assert_eq!(settings.public.budget, Duration::from_secs(10));
    assert_eq!(settings.data.folder, PathBuf::from("data"));
    assert_eq!(
        (settings.identity.token_ttl_s, settings.identity.rotate_s),
        (60, 86_400)
    );
    assert_eq!(settings.log.format, LogFormat::Human);
    assert!(settings.public.server_timing && settings.database.url.is_none() && settings.modules.is_empty());
}

#[test]
fn every_default_of_the_table_is_allowed_by_the_table() {
    for key in KEYS {
        if let Some(default) = key.default {
            let raw = keys::Raw::Untyped(default.to_owned());
            assert!(key.kind.check(&raw).is_ok(), "{}", key.name);
        }
    }
    assert_eq!(
        given("").load().unwrap().in_force().len(),
        KEYS.len() - 1 + MODULES.len()
    );
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let given = given("[public]\nlisten = \"127.0.0.1:1\"\nconnections = 7\n[internal]\nlisten = \"127.0.0.1:9\"\n")
        .env("BANYAN_PUBLIC__LISTEN", "127.0.0.1:2")
        .env("BANYAN_INTERNAL__LISTEN", "127.0.0.1:3")
        .env("BANYAN_PARALLEL_RUN__IN_FLIGHT", "3")
        .flag("--listen", "public.listen", "[::1]:4");
    let settings = given.load().unwrap();
    assert_eq!(settings.public.listen.to_string(), "[::1]:4");
    assert_eq!(settings.internal.listen.port(), 3);
    assert_eq!((settings.public.connections, settings.parallel_run.in_flight), (7, 3));
    assert_eq!(settings.origin("public.listen"), Some("--listen"));
    assert_eq!(settings.origin("internal.listen"), Some("BANYAN_INTERNAL__LISTEN"));
    assert!(
        settings
            .origin("public.connections")
            .unwrap()
            .ends_with("banyan.toml:3")
    );
    assert_eq!(settings.origin("data.folder"), Some("default"));
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_its_place() {
    let given = given(
        "[public]\nlisten = \"localhost\"\nlistne = 1\nconnections = \"many\"\n\n[pubic]\nlisten = 1\n\n[log]\nformat = \"xml\"\n",
    )
    .env("BANYAN_PUBLIC__LISTEN", "here")
    .env("BANYAN_PUBLIC__LISTNE", "x")
    .flag("--listen", "public.listen", "there");
    assert_eq!(
        given.mistakes(),
        [
            "banyan.toml:3: public.listne: unknown key, did you mean public.listen?",
            "banyan.toml:6: pubic: unknown section, did you mean [public]?",
            "BANYAN_PUBLIC__LISTNE: no such setting, did you mean BANYAN_PUBLIC__LISTEN?",
            "banyan.toml:2: public.listen: must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, not \"localhost\"",
            "banyan.toml:4: public.connections: must be a whole number from 1 to 65536 (connections), not \"many\"",
            "banyan.toml:10: log.format: must be human or json, not \"xml\"",
            "BANYAN_PUBLIC__LISTEN: must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, not \"here\"",
            "--listen: must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, not \"there\"",
        ]
    );
}

#[test]
fn a_damaged_file_names_line_and_column_and_quotes_nothing() {
    let damaged = given("[public]\nlisten = \"127.0.0.1:1\"\n[database]\nurl = \"postgres://u:hunter2@h/d\n");
    let mistakes = damaged.mistakes();
    assert!(mistakes[0].starts_with("banyan.toml:4:"), "{mistakes:?}");
    assert!(
        mistakes[0].contains(": is not TOML: ") && !mistakes.concat().contains("hunter2"),
        "{mistakes:?}"
    );
    given("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").refused("banyan.toml:3:1: is not TOML: duplicate key");

    let binary = given("");
    fs::write(binary.folder.path().join("banyan.toml"), b"[log]\n\xff\xfe").unwrap();
    binary.refused("banyan.toml:2: is not UTF-8 text from here on");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let sources = |file| Sources {
        file,
        env: Vec::new(),
        flags: Vec::new(),
        modules: MODULES,
    };
    let error = Settings::load(&sources(Some("no/such.toml".into())))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("no/such.toml: cannot be read: No such file"),
        "{error}"
    );
    assert!(Settings::load(&sources(None)).is_ok());
}

#[test]
fn wrong_types_and_impossible_values() {
    given("[public]\nlisten = 8080\n").refused(
        "banyan.toml:2: public.listen: must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, not 8080",
    );
    given("[public]\nserver_timing = \"true\"\n")
        .refused("banyan.toml:2: public.server_timing: must be true or false, not \"true\"");
    given("public.connections = 1.5\n").refused(
        "banyan.toml:1: public.connections: must be a whole number from 1 to 65536 (connections), not a number with a fraction",
    );
    given("[shutdown]\ngrace_ms = -1\n")
        .refused("banyan.toml:2: shutdown.grace_ms: must be a whole number from 0 to 600000 (milliseconds), not -1");
    given("[public]\nbody_limit = 99999999999999999999\n").refused(
        "banyan.toml:2: public.body_limit: must be a whole number from 1024 to 67108864 (bytes), not a number as large as that",
    );
    given("[public.listen]\nport = 1\n")
        .refused("banyan.toml:1: public.listen: must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, not a section");
    given("public = 3\n")
        .refused("banyan.toml:1: public: is a section: write [public] on a line of its own, and its keys below");
    given("")
        .env("BANYAN_DATA__FOLDER", "")
        .refused("BANYAN_DATA__FOLDER: is empty, and must be the path of a folder");
    given("[public]\nbody_limit = 1_048_577\nconnections = 0x10\n")
        .load()
        .unwrap();
}

#[test]
fn a_log_level_that_would_mean_something_else() {
    let wanted = "must be error, warn, info, debug, trace or off, or target=level, separated by commas";
    given("[log]\nlevel = \"inof\"\n").refused(&format!("banyan.toml:2: log.level: {wanted}, not \"inof\""));
    given("")
        .env("BANYAN_LOG__LEVEL", "sqlx=loud")
        .refused(&format!("BANYAN_LOG__LEVEL: {wanted}, not \"sqlx=loud\""));
    given("[log]\nlevel = \"warn,banyan=debug\"\n").load().unwrap();
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    given("body_limit = 1\nremote.in_flight = 1\nserver_timing = true\n")
        .load()
        .unwrap_err();
    given("server_timing = true\n")
        .refused("banyan.toml:1: server_timing: unknown key, did you mean public.server_timing?");
    given("[modules.catlog]\ndatabase_url = \"sqlite:x.db\"\n").refused(
        "banyan.toml:1: modules.catlog: no module is called catlog, did you mean catalog?; there is catalog, seating, payments, notifications",
    );
    given("").env("BANYAN_MODULES__CATLOG__DATABASE_URL", "sqlite:x.db").refused(
        "BANYAN_MODULES__CATLOG__DATABASE_URL: no module is called catlog, did you mean catalog?; there is catalog, seating, payments, notifications",
    );
    given("")
        .env("BANYAN_WHATEVER", "1")
        .refused("BANYAN_WHATEVER: no such setting");
}

#[test]
fn what_is_no_setting_is_left_alone() {
    given("")
        .env("BANYAN_CONTROL", "x")
        .env("BANYAN_OPERATOR_TOKEN", "x")
        .env("BANYAN_JOIN_TOKEN", "x")
        .env("BANYAN_TEST_SEED", "x")
        .env("PATH", "x")
        .load()
        .unwrap();
}

#[test]
fn impossible_combinations() {
    given("[public]\nlisten = \"0.0.0.0:9\"\n[internal]\nlisten = \"127.0.0.1:9\"\n").refused(
        "banyan.toml:4: public.listen (0.0.0.0:9) and internal.listen (127.0.0.1:9) must not be the same address",
    );
    given("[public]\nlisten = \"127.0.0.1:0\"\n[internal]\nlisten = \"127.0.0.1:0\"\n")
        .load()
        .unwrap();
    given("").env("BANYAN_INSTANCES__HEARTBEAT_MS", "2000").refused(
        "BANYAN_INSTANCES__HEARTBEAT_MS: instances.lost_after_ms (3000) must be at least twice instances.heartbeat_ms \
         (2000), or processes that are well count as lost",
    );
    given("[identity]\nrotate_s = 60\ntoken_ttl_s = 120\n").refused(
        "banyan.toml:2: identity.rotate_s (60) must not be less than identity.token_ttl_s (120), or keys pile up faster \
         than their tokens end",
    );
    given("[modules]\ncatalog.database_url = \"sqlite:x.db\"\nseating.database_url = \"sqlite:x.db\"\n").refused(
        "banyan.toml:3: modules.catalog.database_url and modules.seating.database_url must not be the same database: each \
         module has its own",
    );
}

#[test]
fn a_combination_with_a_value_that_is_no_good_is_not_reported_too() {
    let mistakes = given("[instances]\nheartbeat_ms = 60000\nlost_after_ms = \"x\"\n").mistakes();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
}

#[test]
fn secrets_may_be_in_a_file() {
    let given = given("");
    let path = given.folder.path().join("url");
    fs::write(&path, "postgres://u:hunter2@h/d\n").unwrap();
    let path = path.to_str().unwrap();
    let given = given.env("BANYAN_DATABASE__URL_FILE", path);
    let settings = given.load().unwrap();
    assert_eq!(
        settings.database.url.as_ref().unwrap().expose(),
        "postgres://u:hunter2@h/d"
    );
    assert_eq!(
        settings.origin("database.url").unwrap(),
        format!("BANYAN_DATABASE__URL_FILE (from {path})")
    );

    let both = given.env("BANYAN_DATABASE__URL", "postgres://u:hunter2@h/d");
    both.refused(
        "BANYAN_DATABASE__URL_FILE: database.url is given twice, as itself and as a file (here and at \
         BANYAN_DATABASE__URL): leave one of them out",
    );
}

#[test]
fn a_secret_file_that_is_no_good() {
    given("")
        .env("BANYAN_DATABASE__URL_FILE", "no/such")
        .refused("BANYAN_DATABASE__URL_FILE: no/such cannot be read: No such file or directory (os error 2)");
    let given = given("[modules.catalog]\ndatabase_url_file = \"FILE\"\n");
    let (path, file) = (given.folder.path().join("banyan.toml"), given.folder.path().join("url"));
    fs::write(&file, "hunter2").unwrap();
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("FILE", file.to_str().unwrap());
    fs::write(&path, text).unwrap();
    given.refused(
        "banyan.toml:2: modules.catalog.database_url_file: what url holds must be like sqlite:///path/to/file.db or \
         postgres://user:password@host:5432/database",
    );
    let unknown = self::given("[data]\nfolder_file = \"x\"\n").mistakes();
    assert!(unknown[0].contains("data.folder_file: unknown key"), "{unknown:?}");
}

#[test]
fn secrets_are_never_shown() {
    for wrong in [
        "mysql://u:hunter2@h/d",
        "hunter2",
        "postgres://u:hunter2@",
        "postgresql://u:hunter2@h/d",
    ] {
        let mistakes = given("").env("BANYAN_DATABASE__URL", wrong).mistakes();
        assert_eq!(
            mistakes,
            ["BANYAN_DATABASE__URL: must be like postgres://user:password@host:5432/database"],
        );
    }
    let settings =
        given("[modules.catalog]\ndatabase_url = \"postgres://u:hunter2@db:5433/shows?sslpassword=hunter2\"\n")
            .env("BANYAN_DATABASE__URL", "postgres://u:hunter2@h/d")
            .load()
            .unwrap();
    let shown = format!("{}{}{settings:?}", settings.show(), settings.show_json());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("url = \"postgres://u:***@h/d\"  # BANYAN_DATABASE__URL"),
        "{shown}"
    );
    assert!(
        shown.contains("postgres://u:***@db:5433/shows?sslpassword=***"),
        "{shown}"
    );
}

#[test]
fn passwords_in_addresses() {
    assert_eq!(hide_password("postgres://u@h/d"), "postgres://u@h/d");
    assert_eq!(
        hide_password("postgres://u:a%40b@h:1/d?x=1"),
        "postgres://u:***@h:1/d?x=1"
    );
    assert_eq!(hide_password("sqlite:data/catalog.db"), "sqlite:data/catalog.db");
    assert_eq!(
        hide_password("u:p@h"),
        "u:p@h".replace("u:p@h", &hide_password("u:p@h"))
    );
    assert_eq!(hide_password("no address"), "***");
}

#[test]
fn what_is_shown_can_be_read_again() {
    let first = given("[public]\nlisten = \"[::1]:4\"\nserver_timing = false\n[log]\nformat = \"json\"\n")
        .load()
        .unwrap();
    let again = given(&first.show()).load().unwrap();
    let values = |settings: &Settings| {
        settings
            .in_force()
            .iter()
            .map(|one| one.value.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&again));
    let json = first.show_json();
    assert_eq!(json["settings"]["public"]["listen"], "[::1]:4");
    assert!(json["settings"]["modules"]["catalog"]["database_url"].is_null());
    assert_eq!(json["origins"]["data.folder"], "default");
}

#[test]
fn the_reference_has_every_key() {
    let text = reference();
    for key in KEYS {
        assert!(text.contains(&format!("| `{}` | ", key.name)), "{}", key.name);
    }
}
