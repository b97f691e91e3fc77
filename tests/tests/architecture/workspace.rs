//! The workspace as the rules see it: crates, the arrows between them, and every text file. It is built from `cargo metadata` for
//! the real one, and from nothing but a folder of files for an example.

use std::collections::BTreeMap;
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};
use toml::{Table, Value};

use crate::source::Source;

/// Text files by their path below the root, with `/` between folders.
pub type Texts = BTreeMap<String, String>;

/// All crates of a workspace and all of its text files.
pub struct Workspace {
    pub crates: Vec<Crate>,
    pub texts: Texts,
}

/// One crate.
pub struct Crate {
    pub name: String,
    /// Below the root: `modules/catalog`.
    pub folder: String,
    pub place: Place,
    /// `[package.metadata.banyan] kind`.
    pub kind: Option<String>,
    /// `[package.metadata.banyan] listens`: the modules whose events it hears.
    pub listens: Vec<String>,
    pub dependencies: Vec<Dependency>,
    pub manifest: Table,
    pub sources: Vec<Source>,
}

/// An arrow from a crate.
pub struct Dependency {
    /// The package's own name, whatever it is renamed to.
    pub name: String,
    pub section: Section,
}

/// Which table of the manifest an arrow is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Normal,
    Build,
    Dev,
}

/// Where a crate stands in the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    App,
    Kernel,
    /// The implementation of the module of this name.
    Module(String),
    /// The contract of the module of this name.
    Contract(String),
    Toolkit,
    /// `tests/`: the one crate besides the app that may know implementations.
    Tests,
    Other,
}

impl Place {
    fn of(folder: &str) -> Self {
        match folder.split('/').collect::<Vec<_>>().as_slice() {
            ["app"] => Self::App,
            ["tests"] => Self::Tests,
            ["strangler", ..] => Self::Toolkit,
            ["modules", "kernel"] => Self::Kernel,
            ["modules", module] => Self::Module((*module).to_owned()),
            ["modules", module, "contract"] => Self::Contract((*module).to_owned()),
            _ => Self::Other,
        }
    }
}

impl Workspace {
    /// The workspace at `root`, its members and arrows as `cargo metadata` tells them.
    pub fn from_cargo(root: &Path) -> Self {
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .other_options(["--offline".to_owned(), "--locked".to_owned()])
            .exec()
            .expect("cargo can describe this workspace");
        let texts = texts_under(root);
        let crates = metadata
            .packages
            .iter()
            .map(|package| {
                let folder = package
                    .manifest_path
                    .parent()
                    .and_then(|at| at.strip_prefix(&metadata.workspace_root).ok());
                let folder = folder.expect("a member lives below the workspace").to_string();
                let dependencies = package.dependencies.iter().map(|to| Dependency {
                    name: to.name.clone(),
                    section: match to.kind {
                        DependencyKind::Development => Section::Dev,
                        DependencyKind::Build => Section::Build,
                        _ => Section::Normal,
                    },
                });
                let declared = serde_json::from_value(package.metadata["banyan"].clone()).unwrap_or_default();
                Crate::new(
                    package.name.to_string(),
                    folder,
                    &declared,
                    dependencies.collect(),
                    &texts,
                )
            })
            .collect();
        Self { crates, texts }.with_sources()
    }

    /// A workspace of these files: each manifest with a `[package]` is a member.
    pub fn from_texts(texts: Texts) -> Self {
        let shared = manifest(&texts, "Cargo.toml");
        let crates = texts
            .keys()
            .filter_map(|path| {
                let folder = path.strip_suffix("/Cargo.toml")?;
                let manifest = manifest(&texts, path);
                let package = manifest.get("package")?;
                let name = package.get("name")?.as_str()?.to_owned();
                let declared = package
                    .get("metadata")
                    .and_then(|all| all.get("banyan"))
                    .and_then(Value::as_table);
                let declared = declared.cloned().unwrap_or_default();
                let dependencies = written_dependencies(&manifest).map(|(written, section, value)| {
                    let shared = shared
                        .get("workspace")
                        .and_then(|it| it.get("dependencies"))
                        .and_then(|it| it.get(written));
                    let renamed = [Some(value), shared]
                        .into_iter()
                        .flatten()
                        .find_map(|it| it.get("package")?.as_str());
                    Dependency {
                        name: renamed.unwrap_or(written).to_owned(),
                        section,
                    }
                });
                Some(Crate::new(
                    name,
                    folder.to_owned(),
                    &declared,
                    dependencies.collect(),
                    &texts,
                ))
            })
            .collect();
        Self { crates, texts }.with_sources()
    }

    /// Gives every Rust file to the crate in the deepest folder above it.
    fn with_sources(mut self) -> Self {
        for (path, text) in self.texts.iter().filter(|(path, _)| path.ends_with(".rs")) {
            let owner = self
                .crates
                .iter_mut()
                .filter(|owner| path.starts_with(&format!("{}/", owner.folder)));
            if let Some(owner) = owner.max_by_key(|owner| owner.folder.len()) {
                let within = &path[owner.folder.len() + 1..];
                let test = owner.place == Place::Tests || is_test_code(within);
                owner.sources.push(Source::read(path, within, text, test));
            }
        }
        self
    }

    /// The crate of this name, if it is a member.
    pub fn member(&self, name: &str) -> Option<&Crate> {
        self.crates.iter().find(|member| member.name == name)
    }

    /// The implementations of modules, each with the module's name.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &Crate)> {
        self.crates.iter().filter_map(|member| match &member.place {
            Place::Module(module) => Some((module.as_str(), member)),
            _ => None,
        })
    }
}

impl Crate {
    fn new(name: String, folder: String, declared: &Table, dependencies: Vec<Dependency>, texts: &Texts) -> Self {
        let listens = declared.get("listens").and_then(Value::as_array).into_iter().flatten();
        Self {
            place: Place::of(&folder),
            kind: declared.get("kind").and_then(Value::as_str).map(str::to_owned),
            listens: listens.filter_map(Value::as_str).map(str::to_owned).collect(),
            manifest: manifest(texts, &format!("{folder}/Cargo.toml")),
            sources: Vec::new(),
            name,
            folder,
            dependencies,
        }
    }

    /// The files that are shipped: neither tests nor benches nor the build script.
    pub fn shipped(&self) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(|source| !source.test && source.within.starts_with("src/"))
    }

    /// The files of one room: `src/<name>.rs` or everything in `src/<name>/`.
    pub fn room(&self, name: &str) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |source| !source.test && source.in_room(name))
    }
}

/// Every dependency that a manifest writes: its name there, its section and what is said about it.
pub fn written_dependencies(manifest: &Table) -> impl Iterator<Item = (&str, Section, &Value)> {
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(|targets| targets.values());
    let tables = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    tables.flat_map(|table| {
        let sections = [
            ("dependencies", Section::Normal),
            ("build-dependencies", Section::Build),
            ("dev-dependencies", Section::Dev),
        ];
        sections.into_iter().flat_map(move |(heading, section)| {
            let entries = table.get(heading).and_then(Value::as_table).into_iter().flatten();
            entries.map(move |(name, value)| (name.as_str(), section, value))
        })
    })
}

/// The text files below a folder, without what its `.gitignore` names, git's own folder and the wrong examples of these tests.
pub fn texts_under(root: &Path) -> Texts {
    let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let ignored: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.trim_end_matches('/').strip_prefix('/'))
        .collect();
    let skipped = [".git", "tests/fixtures/architecture"];
    let mut texts = Texts::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries
            .unwrap_or_else(|error| panic!("{} cannot be listed: {error}", folder.display()))
            .flatten()
        {
            let path = entry.path();
            let below = path
                .strip_prefix(root)
                .expect("a file is below its folder")
                .to_string_lossy()
                .replace('\\', "/");
            let Ok(kind) = entry.file_type() else { continue };
            if ignored.contains(&below.as_str()) || skipped.contains(&below.as_str()) {
                continue;
            } else if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                texts.insert(below, text);
            }
        }
    }
    texts
}

fn manifest(texts: &Texts, path: &str) -> Table {
    let text = texts.get(path).unwrap_or_else(|| panic!("{path} is missing"));
    text.parse()
        .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// Whether a file of a crate is a test by its place or name: `tests/…`, `benches/…`, `src/…/tests.rs`.
fn is_test_code(within: &str) -> bool {
    within
        .split('/')
        .any(|part| ["tests", "benches", "examples", "tests.rs"].contains(&part))
}
