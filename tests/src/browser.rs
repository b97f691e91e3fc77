//! A headless Chromium that a test drives as a person would: by what is to be seen and by keys.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    BrowserLogEntry, By, ChromiumLikeCapabilities, DesiredCapabilities, Key, LoggingPrefsLogLevel, WebDriver,
    WebElement,
};

use crate::eventually;

/// How long something may take to be seen.
const SOON: Duration = Duration::from_secs(20);

/// How a page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// In CSS pixels.
    pub width: u32,
    /// Whether the person prefers dark.
    pub dark: bool,
}

impl View {
    /// Desktop and phone, light and dark.
    pub const ALL: [Self; 4] = [
        Self::new(1280, false),
        Self::new(1280, true),
        Self::new(390, false),
        Self::new(390, true),
    ];

    const fn new(width: u32, dark: bool) -> Self {
        Self { width, dark }
    }

    /// Such as `390-dark`.
    pub fn name(self) -> String {
        format!("{}-{}", self.width, if self.dark { "dark" } else { "light" })
    }
}

/// A browser with a profile of its own. Dropped, it is ended with everything that it started.
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with the chromedriver that `BANYAN_TEST_BROWSER` names. `None`, said loudly, when it names none.
    #[expect(clippy::disallowed_methods, reason = "a test's own settings")]
    pub async fn open(test: &str) -> Option<Self> {
        let Ok(program) = std::env::var("BANYAN_TEST_BROWSER") else {
            println!("SKIPPED (BANYAN_TEST_BROWSER does not name a chromedriver): {test}");
            return None;
        };
        let profile = tempfile::Builder::new()
            .prefix("banyan-browser-")
            .tempdir()
            .expect("a folder");
        let mut chromedriver = Command::new(&program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("BANYAN_TEST_BROWSER={program}: {error}"));
        let said = BufReader::new(chromedriver.stdout.take().expect("its output"));
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver says its port");
        let mut wanted = DesiredCapabilities::chrome();
        let folder = format!("--user-data-dir={}", profile.path().display());
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1280,900",
            &folder,
        ] {
            wanted.add_arg(argument).expect("an argument");
        }
        wanted
            .set_browser_log_level(LoggingPrefsLogLevel::All)
            .expect("a level");
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted)
            .await
            .expect("a session");
        Some(Self {
            driver,
            chromedriver,
            _profile: profile,
        })
    }

    /// Ends it.
    pub async fn close(self) {
        self.driver.clone().quit().await.expect("the browser ends");
    }

    async fn devtools(&self, command: &str, with: Value) -> Value {
        self.driver
            .cdp()
            .send_raw(command, with)
            .await
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Looks at pages like this from now on.
    pub async fn view(&self, view: View) {
        let screen = json!({"width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": view.width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let scheme = if view.dark { "dark" } else { "light" };
        let media = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Runs no script of any page from now on.
    pub async fn without_script(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}))
            .await;
    }

    /// Opens an address and waits until it is loaded.
    pub async fn go(&self, url: &str) {
        self.driver
            .goto(url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The address it is at.
    pub async fn at(&self) -> String {
        self.driver.current_url().await.expect("an address").to_string()
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.driver.refresh().await.expect("the page");
    }

    /// What a person reads on the page.
    pub async fn text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until this is to be read on the page.
    pub async fn sees(&self, words: &str) {
        let mut last = String::new();
        let found = tokio::time::timeout(SOON, async {
            loop {
                last = self.text().await;
                if last.contains(words) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if found.await.is_err() {
            panic!("{words:?} is not to be read at {} in:\n{last}", self.at().await);
        }
    }

    /// The first element that this selector finds, waited for.
    pub async fn find(&self, css: &str) -> WebElement {
        eventually(css, SOON, || async { self.driver.find(By::Css(css)).await.ok() }).await
    }

    /// All elements that this selector finds now.
    pub async fn all(&self, css: &str) -> Vec<WebElement> {
        self.driver.find_all(By::Css(css)).await.expect("elements")
    }

    /// Clicks what this selector finds, when it can be clicked.
    pub async fn click(&self, css: &str) {
        eventually(&format!("{css} can be clicked"), SOON, || async {
            let found = self.driver.find(By::Css(css)).await.ok()?;
            // A click on a disabled one is no error, and does nothing.
            if !found.is_enabled().await.ok()? {
                return None;
            }
            found.click().await.ok()
        })
        .await;
    }

    /// Clicks the link or button that says this.
    pub async fn press(&self, words: &str) {
        let says = format!("[contains(normalize-space(.), {words:?})]");
        let path = format!(
            "//main//button[not(@disabled)]{says} | //main//a{says} | //main//summary{says} | //header//a{says}"
        );
        eventually(&format!("a button or link that says {words:?}"), SOON, || async {
            for found in self.driver.find_all(By::XPath(&*path)).await.ok()? {
                if found.click().await.is_ok() {
                    return Some(());
                }
            }
            None
        })
        .await;
    }

    /// Types into the field that this selector finds, in the place of what is in it.
    pub async fn fill(&self, css: &str, text: &str) {
        // The page may be on its way to the next one.
        eventually(&format!("{css} can be filled in"), SOON, || async {
            let field = self.driver.find(By::Css(css)).await.ok()?;
            field.clear().await.ok()?;
            field.send_keys(text).await.ok()
        })
        .await;
    }

    /// Presses a key wherever the focus is.
    pub async fn key(&self, key: Key) {
        self.driver
            .action_chain()
            .send_keys(key.value().to_string())
            .perform()
            .await
            .expect("a key is pressed");
    }

    /// Presses keys wherever the focus is.
    pub async fn keys(&self, keys: &str) {
        self.driver
            .action_chain()
            .send_keys(keys)
            .perform()
            .await
            .expect("keys are pressed");
    }

    /// Presses Tab until the focus is on what this selector finds; panics after `most`.
    pub async fn tab_to(&self, css: &str, most: usize) {
        let on = format!("return document.activeElement.matches({css:?})");
        for _ in 0..most {
            if self.run(&on).await == true {
                return;
            }
            self.key(Key::Tab).await;
        }
        panic!("{most} tabs do not lead to {css} at {}", self.at().await);
    }

    /// What this script, the body of a function, answers.
    pub async fn run(&self, script: &str) -> Value {
        let answer = self.driver.execute(script, vec![]).await;
        answer
            .unwrap_or_else(|error| panic!("{script}: {error}"))
            .json()
            .clone()
    }

    /// What the browser complained about since the last time: errors of scripts, what the content security policy
    /// refused, what did not load.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("its log");
        let severe = |entry: &BrowserLogEntry| entry.level == "SEVERE";
        log.iter().filter(|e| severe(e)).map(|e| e.message.clone()).collect()
    }

    /// What is wrong with the page for whoever looks at it as it is looked at now: everything that axe finds; a page that
    /// has to be moved sideways; controls that are covered by something else; text that is cut off.
    pub async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for script in [include_str!("browser/overlaps.js"), include_str!("browser/axe.js")] {
            if script.contains("axe.run") {
                self.run(&axe()).await;
            }
            let answer = self.driver.execute_async(script, vec![]).await;
            let answer = answer.unwrap_or_else(|error| panic!("the page cannot be checked: {error}"));
            let found = answer.json().as_array().expect("a list").clone();
            faults.extend(found.iter().map(|fault| fault.as_str().unwrap_or("?").to_owned()));
        }
        faults
    }

    /// Its cookies, as the `cookie` header of a request.
    pub async fn cookies(&self) -> String {
        let answer = self.devtools("Network.getCookies", json!({})).await;
        let cookies = answer["cookies"].as_array().cloned().unwrap_or_default();
        let text = |cookie: &Value, member: &str| cookie[member].as_str().unwrap_or_default().to_owned();
        let pairs = cookies
            .iter()
            .map(|c| format!("{}={}", text(c, "name"), text(c, "value")));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// What the page's script holds on to, in bytes, and how many nodes there are, once everything else is thrown away.
    pub async fn heap(&self) -> (u64, u64) {
        self.devtools("HeapProfiler.collectGarbage", json!({})).await;
        let used = self.devtools("Runtime.getHeapUsage", json!({})).await;
        let counts = self.devtools("Memory.getDOMCounters", json!({})).await;
        let bytes = used["usedSize"].as_f64().unwrap_or_default() as u64;
        (bytes, counts["nodes"].as_u64().unwrap_or_default())
    }

    /// The memory that the processes of the browser hold, in KiB; what they share is counted once.
    pub fn memory_kib(&self) -> u64 {
        let mut ours = vec![self.chromedriver.id()];
        let mut all: Vec<(u32, u32)> = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            all.extend(parent.map(|parent| (pid, parent)));
        }
        while let Some(at) = all.iter().position(|(_, parent)| ours.contains(parent)) {
            ours.push(all.swap_remove(at).0);
        }
        let proportional = |pid: &u32| {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:"));
            line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        ours.iter().skip(1).map(proportional).sum()
    }

    /// Writes a picture of the whole page as `<name>.png` into `target/screenshots`.
    pub async fn shoot(&self, name: &str) {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.devtools("Page.captureScreenshot", whole).await;
        let picture = BASE64_STANDARD
            .decode(answer["data"].as_str().expect("a picture"))
            .expect("base64");
        let folder = screenshots();
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("a file");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with whoever drives it.
        _ = Command::new("pkill")
            .arg("-KILL")
            .arg("-P")
            .arg(self.chromedriver.id().to_string())
            .status();
        _ = self.chromedriver.kill();
        _ = self.chromedriver.wait();
    }
}

/// Where pictures of pages go.
pub fn screenshots() -> PathBuf {
    let program = crate::banyan();
    program
        .ancestors()
        .nth(2)
        .unwrap_or_else(|| Path::new("."))
        .join("screenshots")
}

/// The checker's source.
fn axe() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `npm ci --prefix tests/axe`", path.display()))
}
