//! JSON: every byte outside the changed values stays as it is, and a document in which runc and crun would read
//! different things is refused. The same holds for config.json and for exec's document.

use std::fs;

use crate::support::{Bench, DOCUMENT, PROCESS};

/// The list in [`DOCUMENT`] and in [`PROCESS`].
const ASKED: &str = "[1000, 3000, 4000, 5000]";

/// Creates from `document` and gives what config.json says afterwards.
fn created(document: &str) -> String {
    let bench = Bench::new();
    let bundle = bench.bundle("c", document);
    bench.create(&bundle).arrived();
    assert_eq!(bundle.files(), ["config.json"]);
    bundle.document()
}

/// A bench on which a container called `lives` runs.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.create(&bench.bundle("lives", DOCUMENT)).arrived();
    bench
}

/// Creates from `document`, which is refused, and gives the sentence. The bundle stays as it was.
fn create_refused(bench: &Bench, document: &[u8]) -> String {
    let bundle = bench.bundle("c", "");
    fs::write(bundle.config(), document).unwrap();
    let sentence = bench.create(&bundle).refused(1);
    assert_eq!(fs::read(bundle.config()).unwrap(), document, "{sentence}");
    assert_eq!(bundle.files(), ["config.json"], "{sentence}");
    assert!(!bench.record("c").exists(), "{sentence}");
    sentence
}

/// Execs `document` in the container that runs, which is refused, and gives the sentence.
fn exec_refused(bench: &Bench, document: &[u8]) -> String {
    let path = bench.path("process.json");
    fs::write(&path, document).unwrap();
    let line = ["--root", &bench.root(), "exec", "--process", path.to_str().unwrap(), "lives"];
    let sentence = bench.run(line).go().refused(255);
    assert_eq!(fs::read(&path).unwrap(), document, "{sentence}");
    sentence
}

/// What no typed reader would keep: white space, order, numbers, escapes, doubles of keys that nobody reads.
fn strange(members: &str) -> String {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    format!(
        "\t{{\r\n \"x\" : 18446744073709551615, \"x\":-0.0E+400 ,\"y\":[ ],\"\":{{\"process\":{{\"user\":1}}}},\n\
         \"deep\":{deep}, {members},\"hooks\":null, \"lone\":\"\\ud800\", \"ann\\u006ftation\":\"\\u0041\\/\", \
         \"big\":1234567890123456789012345678901234567890.5e-3\n}}\r\n \t\n"
    )
}

#[test]
fn only_the_bytes_of_the_list_change() {
    let user = "\"user\": {\"umask\":18, \"gid\" :1000,\"additionalGids\"\t:\r\n[1000,3000 ,4000, 5000 ] , \"uid\":1000,\"u\":{}}";
    let env = "\"env\":[\"A=\\ud800\\udc00\\u0000\", \"B=\\u00e4ä\u{7f}\"],\"rlimits\":[{\"hard\":18446744073709551615}]";
    let process = format!("\"root\":{{\"path\":\"..\\/..\\/rootfs\"}},\"process\" :{{ {env},{user} }}");
    let before = strange(&process);
    let after = before.replace("[1000,3000 ,4000, 5000 ]", "[1000,5000]");
    assert_ne!(before, after);
    assert_eq!(created(&before), after);
}

#[test]
fn only_the_bytes_of_the_list_change_in_the_document_of_an_exec() {
    let bench = Bench::new();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    let user = "\"user\": {\"additionalGids\"\t:\r\n[1000,3000 ,4000, 5000 ] , \"uid\":1000,\"u\":{}, \"gid\" :1000}";
    let before = strange(user);
    let call = bench.exec("c", &before).arrived();
    let after = before.replace("[1000,3000 ,4000, 5000 ]", "[1000,5000]");
    assert_eq!(String::from_utf8(call.document.unwrap()).unwrap(), after);
}

#[test]
fn a_sealed_container_changes_its_own_values_and_no_other() {
    let bench = Bench::new();
    bench.configure("level = \"sealed\"");
    let sets = |caps: &str| {
        format!(
            "\"capabilities\": {{\"ambient\": [{caps}], \"x\": [\"CAP_SETGID\"], \"bounding\": [{caps}],\"permitted\":[{caps}],\
             \"effective\":null, \"inheritable\" : [ ]}}"
        )
    };
    let document = |groups: &str, caps: &str, privileges: &str| {
        format!(
            "{{\"process\":{{{privileges}\"user\":{{\"uid\":1000,\"gid\":1000,\"additionalGids\":{groups}}}, {}}},\
             \"root\":{{\"path\":\"../../rootfs\"}},\"linux\":{{\"noNewPrivileges\":false}}}}",
            sets(caps)
        )
    };
    let caps = "\"CAP_KILL\", \"CAP_SETGID\" ,\"CAP_SETUID\"";
    let bundle = bench.bundle("c", &document(ASKED, caps, ""));
    bench.create(&bundle).arrived();
    let after = document("[1000,5000]", "\"CAP_KILL\"", "\"noNewPrivileges\":true,");
    assert_eq!(bundle.document(), after);

    let bundle = bench.bundle("d", &document(ASKED, "\"CAP_KILL\"", "\"noNewPrivileges\" : false,"));
    bench.create(&bundle).arrived();
    assert_eq!(bundle.document(), document("[1000,5000]", "\"CAP_KILL\"", "\"noNewPrivileges\" : true,"));
}

#[test]
fn a_document_that_already_says_it_is_not_written_at_all() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new();
    let bundle = bench.bundle("c", &DOCUMENT.replace(ASKED, "[ 1000 , 5000 ]"));
    let before = fs::metadata(bundle.config()).unwrap();
    bench.create(&bundle).arrived();
    let after = fs::metadata(bundle.config()).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(bench.audit_lines()[0]["verdict"], "keep");
}

#[test]
fn a_list_that_is_missing_null_or_empty_becomes_the_primary_gid() {
    if !crate::support::is_root() {
        return crate::support::skip(
            "lists that are missing",
            "without root they stay: setgroups(2) isn't to be had",
        );
    }
    let user = "\"user\":{\"uid\":1000,\"gid\":1000";
    let document = |list: &str| {
        DOCUMENT.replace(
            "\"user\": {\"uid\": 1000, \"gid\": 1000, \"additionalGids\": [1000, 3000, 4000, 5000]}",
            list,
        )
    };
    for list in ["null", "[]", "[ \n]"] {
        let after = document(&format!("{user},\"additionalGids\":[1000]}}"));
        assert_eq!(created(&document(&format!("{user},\"additionalGids\":{list}}}"))), after);
    }
    let after = document("\"user\":{\"additionalGids\":[1000],\"uid\":1000,\"gid\":1000}");
    assert_eq!(created(&document(&format!("{user}}}"))), after);
}

#[test]
fn a_null_is_what_isn_t_there() {
    let document =
        DOCUMENT.replace("\"args\"", "\"noNewPrivileges\": null, \"capabilities\": null, \"args\"");
    let document =
        document.replace("\"root\"", "\"annotations\": null, \"linux\": null, \"mounts\": null, \"root\"");
    assert_eq!(created(&document), document.replace(ASKED, "[1000,5000]"));
}

#[test]
fn a_key_that_is_spelled_with_escapes_is_that_key() {
    let document = DOCUMENT.replace("additionalGids", "additional\\u0047ids");
    assert_eq!(created(&document), document.replace(ASKED, "[1000,5000]"));
}

/// What the `user` object of a process may not say, and what the sentence holds.
const USERS: &[(&str, &str)] = &[
    // runc takes 62 or 63, crun 61
    (
        r#""uid":1,"gid":1,"additionalGids":[61],"ADDITIONALGIDS":[62]"#,
        r#"key "ADDITIONALGIDS" differs from "additionalGids""#,
    ),
    (
        r#""uid":1,"gid":1,"additionalGids":[61],"additionalGids":[63]"#,
        r#"key "additionalGids" stands twice"#,
    ),
    (
        r#""uid":1,"gid":1,"additionalGids":[61],"additional\u0047ids":[63]"#,
        r#"key "additionalGids" stands twice"#,
    ),
    (r#""uid":1,"gid":1,"additionalgids":[61]"#, r#"key "additionalgids" differs"#),
    ("\"uid\":1,\"gid\":1,\"additionalGid\u{17f}\":[61]", "differs from \"additionalGids\" only in case"),
    (r#""uid":1,"gid":1,"additionalGid\u017f":[61]"#, "differs from \"additionalGids\" only in case"),
    (r#""uid":1,"gid":1,"additionalGids\u0000":[61]"#, "has a NUL character in it"),
    (r#""uid":1,"gid":1,"\u0000":[61]"#, "has a NUL character in it"),
    (r#""uid":1,"UID":0,"gid":1"#, r#"key "UID" differs"#),
    (r#""uid":1,"gid":1,"Gid":0"#, r#"key "Gid" differs"#),
    (r#""uid":1,"gid":1,"gid":0"#, r#"key "gid" stands twice"#),
    (r#""uid":1"#, "user.gid is missing"),
    (r#""gid":1"#, "user.uid is missing"),
    (r#""uid":null,"gid":1"#, "user.uid is missing"),
    (r#""uid":-1,"gid":1"#, "user.uid is \"-1\", not an id of 32 bits"),
    (r#""uid":1.0,"gid":1"#, "user.uid is \"1.0\""),
    (r#""uid":1,"gid":1e3"#, "user.gid is \"1e3\""),
    (r#""uid":1,"gid":4294967296"#, "user.gid is \"4294967296\""),
    (r#""uid":1,"gid":99999999999999999999999999999999"#, "user.gid is \"99999999999999999999999999999999\""),
    (r#""uid":"0","gid":1"#, "user.uid is \"\\\"0\\\"\""),
    (r#""uid":1,"gid":1,"additionalGids":{}"#, "user.additionalGids is not a list of ids"),
    (r#""uid":1,"gid":1,"additionalGids":"61""#, "user.additionalGids is not a list of ids"),
    (r#""uid":1,"gid":1,"additionalGids":[61,-1]"#, "user.additionalGids is not a list of ids"),
    (r#""uid":1,"gid":1,"additionalGids":[61,null]"#, "user.additionalGids is not a list of ids"),
    (r#""uid":1,"gid":1,"additionalGids":[61.0]"#, "user.additionalGids is not a list of ids"),
    (r#""uid":1,"gid":1,"additionalGids":[4294967296]"#, "user.additionalGids is not a list of ids"),
    (r#""uid":1,"gid":2147483648"#, "gid 2147483648 is above 2147483647"),
];

/// What a process object may not say beside its user.
const PROCESSES: &[(&str, &str)] = &[
    (r#""USER":{}"#, r#"key "USER" differs from "user""#),
    (r#""noNewPrivileges":1"#, "noNewPrivileges is \"1\", not true or false"),
    (r#""noNewPrivileges":"true""#, "not true or false"),
    (r#""nonewprivileges":true"#, r#"key "nonewprivileges" differs"#),
    (r#""noNewPrivileges":true,"noNewPrivileges":false"#, "stands twice"),
    (r#""capabilities":[]"#, "capabilities can't be read"),
    (r#""capabilities":{"bounding":"ALL"}"#, "capabilities.bounding is not a list of names"),
    (r#""capabilities":{"bounding":[1]}"#, "capabilities.bounding is not a list of names"),
    (r#""capabilities":{"bounding":[],"Bounding":[]}"#, r#"key "Bounding" differs"#),
    (r#""capabilities":{"effective":[],"effective":[]}"#, r#"key "effective" stands twice"#),
];

#[test]
fn what_runtimes_would_read_apart_or_not_at_all_is_refused() {
    let bench = bench();
    for (user, holds) in USERS {
        let process = format!("{{\"user\":{{{user}}},\"args\":[\"id\"],\"cwd\":\"/\"}}");
        check(&bench, &process, holds);
    }
    for (member, holds) in PROCESSES {
        let process = PROCESS.replace("{\"user\"", &format!("{{{member},\"user\""));
        check(&bench, &process, holds);
    }
    let deep = format!("{{\"user\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    check(&bench, &deep, "user can't be read");
    check(&bench, "{\"args\":[\"id\"]}", "user is missing");
    check(&bench, "{\"user\":null}", "user is missing");
    check(&bench, "{\"user\":5}", "user can't be read");
}

fn check(bench: &Bench, process: &str, holds: &str) {
    let document = format!("{{\"process\":{process},\"root\":{{\"path\":\"../../rootfs\"}}}}");
    let sentence = create_refused(bench, document.as_bytes());
    assert!(sentence.contains(holds), "{process}: {sentence}");
    let sentence = exec_refused(bench, process.as_bytes());
    assert!(sentence.contains(holds), "{process}: {sentence}");
}

#[test]
fn what_is_no_json_object_is_refused() {
    let bench = bench();
    let mut bom = b"\xef\xbb\xbf".to_vec();
    bom.extend(DOCUMENT.as_bytes());
    let mut not_utf8 = DOCUMENT.as_bytes().to_vec();
    not_utf8.extend(b"\xff");
    let half = &DOCUMENT.as_bytes()[..DOCUMENT.len() / 2];
    let trailing = format!("{DOCUMENT}{{}}");
    let comma = DOCUMENT.replace("[1000, 3000, 4000, 5000]", "[1000,]");
    let documents: &[&[u8]] = &[
        b"",
        b" \n",
        b"null",
        b"[]",
        b"\"process\"",
        b"7",
        b"not JSON",
        b"{",
        b"{}",
        b"{\"process\":null}",
        b"{\"process\":[]}",
        b"\0",
        &bom,
        &not_utf8,
        half,
        trailing.as_bytes(),
        b"{'process':{}}",
        b"{\"process\":{}} // comment",
        b"{\"\\ud800\":1,\"process\":{\"user\":{\"uid\":1,\"gid\":1}}}",
        comma.as_bytes(),
    ];
    for document in documents {
        let text = String::from_utf8_lossy(document);
        let sentence = create_refused(&bench, document);
        assert!(sentence.contains("config.json"), "{text}: {sentence}");
        let sentence = exec_refused(&bench, document);
        assert!(sentence.contains("process.json"), "{text}: {sentence}");
    }
    for (case, holds) in [
        (DOCUMENT.replace("\"process\"", "\"PROCESS\":{\"USER\":{\"additionalgids\":[65]}},\"process\""), "\"PROCESS\" differs"),
        (DOCUMENT.replace("\"root\"", "\"annotations\":{},\"Annotations\":{},\"root\""), "\"Annotations\" differs"),
        (DOCUMENT.replace("\"root\"", "\"annotations\":{\"runc-strict/level\":1},\"root\""), "is not a string"),
        (
            DOCUMENT.replace("\"root\"", "\"annotations\":{\"runc-strict/level\":\"groups\",\"runc-strict/level\":\"groups\"},\"root\""),
            "stands twice",
        ),
        (DOCUMENT.replace("\"path\"", "\"path\":\"/\",\"Path\""), "\"Path\" differs"),
        (DOCUMENT.replace("\"../../rootfs\"", "7"), "root.path is not a string"),
        (DOCUMENT.replace("\"root\"", "\"linux\":{\"gidMappings\":{}},\"root\""), "linux.gidMappings is not a list"),
    ] {
        let sentence = create_refused(&bench, case.as_bytes());
        assert!(sentence.contains(holds), "{case}: {sentence}");
    }
}
