//! The README's tour, every command of it run as it is written.

use std::{path::Path, process::Command, time::Duration};

use system_tests::{System, banyan, eventually};

/// The `sh` blocks of a section, in order.
pub(crate) fn commands(readme: &str, section: &str) -> Vec<String> {
    let from = readme.split_once(&format!("## {section}\n")).expect("the section").1;
    let text = from.split("\n## ").next().expect("its text");
    text.split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().expect("its end").to_owned())
        .collect()
}

#[tokio::test]
async fn the_tour_runs_as_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let blocks = commands(&readme, "A five-minute tour");
    assert!(blocks.len() >= 7, "the tour has {} steps", blocks.len());
    let system = System::start().await;
    let mut said = Vec::new();
    for block in blocks {
        // Only the addresses and the place of the binary are those of this test.
        let script = block
            .replace("http://127.0.0.1:8080", &system.public())
            .replace("target/debug/banyan", &banyan().display().to_string());
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(system.folder());
        let model = system.command(&[]);
        command.envs(model.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let out = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("joined")
            .expect("bash runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{script}\n{text}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        said.push(text);
    }
    // On a busy machine the event is a moment later in the log than its writer's answer.
    let tail = ["events", "tail", "--once", "--last", "10"];
    let told = eventually("the event is told", Duration::from_secs(20), || async {
        let told = system.run(&tail).await;
        told.contains("catalog.act.announced").then_some(told)
    })
    .await;
    said.push(told);
    let all = said.join("\n");
    for expected in [
        "desc=\"local\"",
        "\"status\":\"confirmed\"",
        "also runs in process",
        "catalog: local → shadow",
        "catalog: shadow → remote",
        "desc=\"remote\"",
        "HTTP/1.1 201 Created",
        "catalog.act.announced",
        "catalog.show: inherit → local",
        "catalog is local again; 1 process was ended",
        "The Tourists",
        "it agrees",
    ] {
        assert!(all.contains(expected), "the tour never said `{expected}`:\n{all}");
    }
    assert!(
        !all.contains("HTTP/1.1 4") && !all.contains("HTTP/1.1 5"),
        "a request of the tour failed:\n{all}"
    );
}
