//! Mails as files: what is in them, whatever people wrote.

use std::path::Path;

use kernel::Uuid;
use notifications::post::{Failure, Outgoing, Post, post_of};
use notifications_contract::MailId;
use proptest::{prelude::*, test_runner::TestRunner};

fn outgoing(to: &str, subject: &str, text: &str) -> Outgoing {
    Outgoing {
        id: MailId(Uuid::from_u128(7)),
        to: to.to_owned(),
        subject: subject.to_owned(),
        text: text.to_owned(),
        at: "2027-05-01T19:30:00Z".parse().unwrap(),
    }
}

async fn write(post: &dyn Post, mail: &Outgoing) -> Result<(), Failure> {
    post.prepare(mail).await?.hand_over().await
}

fn read(folder: &Path) -> String {
    let bytes = std::fs::read(folder.join(format!("{}.eml", Uuid::from_u128(7)))).unwrap();
    assert!(bytes.is_ascii(), "what is not ASCII is encoded");
    String::from_utf8(bytes).unwrap()
}

/// The names of the headers; folded lines belong to the one before.
fn headers(mail: &str) -> Vec<&str> {
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split(':').next().unwrap()).collect()
}

const HEADERS: [&str; 9] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
];

fn are_right(mail: &str) -> bool {
    let mut names = headers(mail);
    let mut right = HEADERS.to_vec();
    names.sort_unstable();
    names.dedup();
    right.sort_unstable();
    names == right && headers(mail).len() == HEADERS.len() && !mail.replace("\r\n", "").contains(['\r', '\n'])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_people_wrote_ends_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let post = post_of(
        &format!("file:{}", folder.path().display()),
        "Бокс \"Офис\" <tickets@example.org>",
    )
    .unwrap();
    let nasty = [
        "x\r\nBcc: all@example.org",
        "x\nBcc: all@example.org\n\nbody",
        "x\r\n\r\nbody",
        "\r\n",
        "x\rBcc: y",
        "=?utf-8?q?=0D=0ABcc:_x?=",
        "<script>alert(1)</script> & \"quotes\"",
        "مقهى בית 東京 🎭",
        "\u{85}\u{2028}Bcc: x\u{2029}",
        "\0",
        "",
    ];
    for subject in nasty.into_iter().chain([&*"ж".repeat(300), &*"a".repeat(3000)]) {
        assert_eq!(
            write(&*post, &outgoing("ada@example.org", subject, "x\n")).await,
            Ok(())
        );
        let mail = read(folder.path());
        assert!(are_right(&mail), "{subject:?}: {mail}");
        assert!(mail.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.org>\r\n"));
        assert!(mail.contains("Date: Sat, 01 May 2027 19:30:00 "));
    }
    for to in [
        "",
        "ada",
        "ada@example.org\r\nBcc: bob@example.org",
        "ada@example.org>\r\nDATA",
        "ada@example.org, bob@example.org",
        "\"a b\"@example.org",
        "<ada@example.org>",
    ] {
        let outcome = write(&*post, &outgoing(to, "x", "x\n")).await;
        assert!(matches!(outcome, Err(Failure::Refused(_))), "{to:?}: {outcome:?}");
    }
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let config = ProptestConfig {
            cases: 200,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let anything = (any::<String>(), any::<String>());
        let outcome = TestRunner::new(config).run(&anything, |(subject, text)| {
            let mail = outgoing("ada@example.org", &subject, &text);
            runtime
                .block_on(write(&*post, &mail))
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(are_right(&read(folder.path())));
            Ok(())
        });
        outcome.unwrap();
    });
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "the same mail is one file, and nothing else stays");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("mail");
    std::fs::write(&blocked, "in the way").unwrap();
    let post = post_of(&format!("file:{}", blocked.display()), "tickets@example.org").unwrap();
    let mail = outgoing("ada@example.org", "x", "x\n");
    assert!(matches!(write(&*post, &mail).await, Err(Failure::NotYet(_))));
    std::fs::remove_file(&blocked).unwrap();
    assert_eq!(write(&*post, &mail).await, Ok(()));
    assert!(are_right(&read(&blocked)));
}
