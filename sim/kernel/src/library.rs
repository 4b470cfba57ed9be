//! Where words are found: in the nearest ancestor folder that has `sim/scenarios` (or the scenarios of the
//! registry's own home), else among the copies compiled into the program; so are profiles where that home
//! has none. An argument that ends in `.toml` is a path. A scenario names its profile, and a study its
//! scenario, by word only, so no file can pull in another by path. Studies lie in `studies` beside the
//! scenarios.

use std::fs;
use std::path::{Path, PathBuf};

use host::settings::nearest;

use crate::doc::{Doc, FILE_MAX, Problem};
use crate::registry::{Builtin, Registry};
use crate::scenario::Scenario;
use crate::study::Study;

/// Why a scenario could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The command line names something that does not exist.
    Usage(String),
    /// The files are wrong.
    Data(Vec<Problem>),
    /// The files cannot be read.
    Io(String),
}

/// Scenarios and profiles by name.
pub struct Library {
    registry: &'static Registry,
    root: Option<PathBuf>,
}

impl Library {
    /// Looks for the project's folder, from the current one upwards.
    pub fn find(registry: &'static Registry) -> Library {
        let here = std::env::current_dir().ok();
        let root = here.as_deref().into_iter().flat_map(Path::ancestors);
        let scenarios = Path::new(registry.home()).join("scenarios");
        let root = root.map(Path::to_path_buf).find(|dir| dir.join(&scenarios).is_dir());
        Library { registry, root }
    }

    /// Only what is compiled in.
    pub fn builtin(registry: &'static Registry) -> Library {
        Library { registry, root: None }
    }

    /// The project's folder, if there is one.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Where results are kept: beside `sim`, and in any other home.
    pub fn results(&self) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join(self.registry.home).join("results"))
    }

    /// A folder of the registry's home, if there is one.
    fn folder(&self, folder: &str) -> Option<PathBuf> {
        let folder = self.root.as_ref()?.join(self.registry.home()).join(folder);
        folder.is_dir().then_some(folder)
    }

    fn names(&self, folder: &str, builtin: &[Builtin]) -> Vec<String> {
        let mut names: Vec<String> = match self.folder(folder) {
            Some(folder) => fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter_map(|name| name.strip_suffix(".toml").map(str::to_string))
                .collect(),
            None => builtin.iter().map(|(name, _)| (*name).to_string()).collect(),
        };
        names.sort();
        names
    }

    /// All scenarios by name.
    pub fn scenario_names(&self) -> Vec<String> {
        self.names("scenarios", &self.registry.scenarios)
    }

    /// All documents that are re-rendered, by name.
    pub fn document_names(&self) -> Vec<String> {
        self.names("documents", &self.registry.documents)
    }

    /// File name and text of a document's layout.
    pub fn document(&self, name: &str) -> Result<(String, String), LoadError> {
        self.text("documents", &self.registry.documents, name)
    }

    /// The title of a document; `None` if its file cannot be read.
    pub fn document_title(&self, name: &str) -> Option<String> {
        self.title_in("documents", &self.registry.documents, name)
    }

    /// The title of a scenario; `None` if its file cannot be read.
    pub fn title(&self, name: &str) -> Option<String> {
        self.title_in("scenarios", &self.registry.scenarios, name)
    }

    /// All studies by name.
    pub fn study_names(&self) -> Vec<String> {
        self.names("studies", &self.registry.studies)
    }

    /// The title of a study; `None` if its file cannot be read.
    pub fn study_title(&self, name: &str) -> Option<String> {
        self.title_in("studies", &self.registry.studies, name)
    }

    /// Loads a study by name or path.
    pub fn study(&self, name_or_path: &str) -> Result<Study, LoadError> {
        let (name, file, text) = if name_or_path.ends_with(".toml") {
            let path = Path::new(name_or_path);
            let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("study");
            (name.to_string(), name_or_path.to_string(), read(path)?)
        } else {
            let (file, text) = self.text("studies", &self.registry.studies, name_or_path)?;
            (name_or_path.to_string(), file, text)
        };
        let doc = Doc::parse(&file, &text, "").map_err(LoadError::Data)?;
        Study::read(&name, &doc, self.registry).map_err(LoadError::Data)
    }

    fn title_in(&self, folder: &str, builtin: &[Builtin], name: &str) -> Option<String> {
        let (file, text) = self.text(folder, builtin, name).ok()?;
        let doc = Doc::parse(&file, &text, "").ok()?;
        match &doc.get("title")?.value {
            crate::doc::Value::One(title) => Some(title.clone()),
            crate::doc::Value::Many(_) => None,
        }
    }

    /// File name and text of a word.
    fn text(
        &self,
        folder: &str,
        builtin: &[Builtin],
        name: &str,
    ) -> Result<(String, String), LoadError> {
        let names = self.names(folder, builtin);
        if !names.iter().any(|n| n == name) {
            let kind = if folder == "studies" { "study" } else { folder.trim_end_matches('s') };
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if names.is_empty() => "; there are none".to_string(),
                None => format!("; there are: {}", names.join(", ")),
            };
            return Err(LoadError::Usage(format!("no {kind} `{name}`{hint}")));
        }
        let file = format!("{}/{folder}/{name}.toml", self.registry.home());
        let text = match self.folder(folder) {
            Some(folder) => read(&folder.join(format!("{name}.toml")))?,
            None => builtin.iter().find(|(n, _)| *n == name).expect("listed").1.to_string(),
        };
        Ok((file, text))
    }

    /// Loads a scenario by name or path, with values from the command line on top.
    pub fn load(
        &self,
        name_or_path: &str,
        sets: &[(String, String)],
    ) -> Result<Scenario, LoadError> {
        let (name, file, text) = if name_or_path.ends_with(".toml") {
            let path = Path::new(name_or_path);
            let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("scenario");
            (name.to_string(), name_or_path.to_string(), read(path)?)
        } else {
            let (file, text) = self.text("scenarios", &self.registry.scenarios, name_or_path)?;
            (name_or_path.to_string(), file, text)
        };
        let mut doc = Doc::parse(&file, &text, "").map_err(LoadError::Data)?;
        for (key, value) in sets.iter().filter(|(key, _)| key == "profile") {
            doc.set(key, value);
        }
        self.add_profile(&mut doc)?;
        let plain = Scenario::read(&name, &doc, self.registry).map_err(LoadError::Data)?;
        if sets.is_empty() {
            return Ok(plain);
        }
        let known: Vec<&str> = plain.effective.iter().map(|e| e.key.as_str()).collect();
        for (key, value) in sets {
            doc.set(&resolve(key, &known)?, value);
        }
        Scenario::read(&name, &doc, self.registry).map_err(LoadError::Data)
    }

    fn add_profile(&self, doc: &mut Doc) -> Result<(), LoadError> {
        let Some(item) = doc.get("profile") else { return Ok(()) };
        let crate::doc::Value::One(name) = item.value.clone() else { return Ok(()) };
        let place = item.place.clone();
        let loaded = self.text("profiles", &self.registry.profiles, &name);
        let (file, text) = loaded.map_err(|error| match error {
            LoadError::Usage(text) => {
                LoadError::Data(vec![Problem { place, key: "profile".to_string(), text }])
            }
            other => other,
        })?;
        doc.merge(Doc::parse(&file, &text, "profile").map_err(LoadError::Data)?);
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    let io = |e: std::io::Error| LoadError::Io(format!("{}: {e}", path.display()));
    let size = fs::metadata(path).map_err(io)?.len();
    if size > FILE_MAX as u64 {
        let text = format!("{size} bytes; a file may have {FILE_MAX}");
        let place = path.display().to_string();
        return Err(LoadError::Data(vec![Problem { place, key: String::new(), text }]));
    }
    let bytes = fs::read(path).map_err(io)?;
    String::from_utf8(bytes).map_err(|e| {
        let text = format!("not UTF-8 after byte {}", e.utf8_error().valid_up_to());
        let place = path.display().to_string();
        LoadError::Data(vec![Problem { place, key: String::new(), text }])
    })
}

/// A table of so many keys at most is told by them, if it is set as if it were a value.
const KEYS_MAX: usize = 8;

/// The full key that a `--set` means: the key itself, the key of a profile's constant, or the only key that
/// ends in it.
fn resolve(key: &str, known: &[&str]) -> Result<String, LoadError> {
    let constant = format!("{key}.value");
    if let Some(exact) = known.iter().find(|k| **k == key || **k == constant) {
        return Ok((*exact).to_string());
    }
    let tails = [format!(".{key}"), format!(".{constant}")];
    let ends: Vec<&&str> = known.iter().filter(|k| tails.iter().any(|t| k.ends_with(t))).collect();
    let table = format!("{key}.");
    let below: Vec<&str> = known.iter().filter(|k| k.starts_with(&table)).copied().collect();
    match ends.as_slice() {
        [one] => Ok((**one).to_string()),
        [] if (1..=KEYS_MAX).contains(&below.len()) => Err(LoadError::Usage(format!(
            "--set: `{key}` is a table here; its keys are {}",
            below.join(", ")
        ))),
        [] => {
            let last =
                |k: &str| k.trim_end_matches(".value").rsplit('.').next().map(str::to_string);
            let lasts: Vec<String> = known.iter().filter_map(|k| last(k)).collect();
            let all = known.iter().copied().chain(lasts.iter().map(String::as_str));
            let hint =
                nearest(key, all).map_or(String::new(), |k| format!("; did you mean `{k}`?"));
            Err(LoadError::Usage(format!("--set: no key `{key}`{hint} (`show` lists them)")))
        }
        many => {
            let many: Vec<&str> = many.iter().map(|k| **k).collect();
            Err(LoadError::Usage(format!("--set: `{key}` may be {}", many.join(" or "))))
        }
    }
}
