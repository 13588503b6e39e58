//! A bundle: a folder with a config.json, whose root file system is the bench's.

use std::fs;
use std::path::PathBuf;

use super::Bench;

/// alice (1000), for whom the engine merged the image's 3000 and 4000 with the 5000 that the pod declares. What
/// runc-strict makes of it is `[1000,5000]`.
pub(crate) const DOCUMENT: &str = r#"{
  "ociVersion": "1.2.0",
  "process": {
    "user": {"uid": 1000, "gid": 1000, "additionalGids": [1000, 3000, 4000, 5000]},
    "args": ["id"], "env": ["PATH=/bin"], "cwd": "/"
  },
  "root": {"path": "../../rootfs"}
}
"#;

/// What an engine execs in the same container: the same merged list again.
pub(crate) const PROCESS: &str = r#"{"user": {"uid": 1000, "gid": 1000, "additionalGids": [1000, 3000, 4000, 5000]}, "args": ["id"], "cwd": "/"}"#;

/// A bundle of a [`Bench`].
pub(crate) struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    pub(super) fn new(bench: &Bench, id: &str, document: &[u8]) -> Bundle {
        let folder = bench.path("bundles").join(id);
        fs::create_dir_all(&folder).unwrap();
        let bundle = Bundle { folder };
        fs::write(bundle.config(), document).unwrap();
        bundle
    }

    /// The id of its container: the folder's name.
    pub(crate) fn id(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    /// The folder.
    pub(crate) fn text(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Its config.json.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// The text of its config.json.
    pub(crate) fn document(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    /// The names of its files.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The supplementary groups in its config.json.
    pub(crate) fn groups(&self) -> Vec<u32> {
        let document: serde_json::Value = serde_json::from_str(&self.document()).unwrap();
        serde_json::from_value(document["process"]["user"]["additionalGids"].clone()).unwrap()
    }
}
