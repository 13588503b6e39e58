//! The document of an exec that is given by words: `exec ID CMD ARG...`.
//!
//! Without a document runc takes the container's own `process` from config.json and puts the command into it,
//! while crun starts from nothing and runs the command as uid 0. Here runc's rule is applied and the result is
//! handed to either as a document, so that what is judged is what runs (runc exec.go, `getProcess`).

use serde_json::value::RawValue;

use super::object::{Object, Value};
use super::process::json_string;
use super::splice::Splice;

/// What the words of an exec say of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The command and its arguments.
    pub args: Vec<String>,
    /// `--cwd`.
    pub cwd: Option<String>,
    /// `--env`, which is appended to the container's.
    pub env: Vec<String>,
    /// `--tty`.
    pub terminal: bool,
    /// `--no-new-privs`.
    pub no_new_privileges: bool,
    /// `--process-label`.
    pub selinux_label: Option<String>,
    /// `--apparmor`.
    pub apparmor_profile: Option<String>,
}

const KEYS: [&str; 7] =
    ["args", "cwd", "env", "terminal", "noNewPrivileges", "selinuxLabel", "apparmorProfile"];

impl CommandLine {
    /// The container's `process` (the text of the object) with this command in it.
    ///
    /// # Errors
    /// A sentence, where the object can't be read.
    pub fn document(&self, process: &str) -> Result<String, String> {
        let object = Object::read(Value::whole(process), "process", KEYS)?;
        let mut splice = Splice::new(process);
        let mut set = |n: usize, value: String| {
            splice.set(&object, n, KEYS.get(n).copied().unwrap_or_default(), value);
        };
        set(0, list(self.args.iter().map(|a| json_string(a))));
        if let Some(cwd) = &self.cwd {
            set(1, json_string(cwd));
        }
        if !self.env.is_empty() {
            let old: Vec<&RawValue> = match object.get(2) {
                None => Vec::new(),
                Some(env) => {
                    serde_json::from_str(env.text).map_err(|_| "process.env is not a list".to_owned())?
                }
            };
            let old = old.iter().map(|e| e.get().to_owned());
            set(2, list(old.chain(self.env.iter().map(|e| json_string(e)))));
        }
        set(3, self.terminal.to_string());
        if self.no_new_privileges {
            set(4, true.to_string());
        }
        if let Some(label) = &self.selinux_label {
            set(5, json_string(label));
        }
        if let Some(profile) = &self.apparmor_profile {
            set(6, json_string(profile));
        }
        Ok(splice.to_text())
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_replaces_the_container_s_own_and_the_environment_grows() {
        let process = r#"{"terminal":true,"user":{"uid":1},"args":["sh"],"env":["A=1"],"cwd":"/","x":1e3}"#;
        let command = CommandLine {
            args: vec!["id".into(), "-G \"x\"".into()],
            env: vec!["B=2".into()],
            ..CommandLine::default()
        };
        assert_eq!(
            command.document(process).unwrap(),
            r#"{"terminal":false,"user":{"uid":1},"args":["id","-G \"x\""],"env":["A=1","B=2"],"cwd":"/","x":1e3}"#
        );
    }

    #[test]
    fn what_the_container_lacks_is_added_and_what_is_not_given_stays() {
        let command = CommandLine {
            args: vec!["id".into()],
            cwd: Some("/tmp".into()),
            no_new_privileges: true,
            apparmor_profile: Some("p".into()),
            selinux_label: Some("l".into()),
            ..CommandLine::default()
        };
        assert_eq!(
            command.document("{}").unwrap(),
            r#"{"args":["id"],"cwd":"/tmp","terminal":false,"noNewPrivileges":true,"selinuxLabel":"l","apparmorProfile":"p"}"#
        );
    }
}
