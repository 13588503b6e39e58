//! Text that people read, held by files in tests/data/golden: a change of wording is seen in review.

use std::fs;
use std::path::Path;

/// The environment variable that has the files written anew.
const UPDATE: &str = "UPDATE_GOLDEN";

/// Compares `text` with the file `name`.
#[track_caller]
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "the text differs from {}; if it should, run the test again with {UPDATE}=1",
        path.display()
    );
}
