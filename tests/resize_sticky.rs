//! Sticky overrides: what engines send, what stays, what ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use runc_strict::resize::field::Field;
use runc_strict::resize::sticky::{Merge, limits, merge, remember, settled, together, words};
use serde_json::{Value, json};

fn held(fields: Value) -> BTreeMap<Field, Value> {
    let fields = fields.as_object().unwrap().clone();
    fields.into_iter().map(|(name, value)| (name.parse().unwrap(), value)).collect()
}

/// The document after the merge.
fn merged(merge: &Merge, sent: &Value) -> Value {
    let mut document = sent.clone();
    assert!(merge.apply(&mut document));
    document
}

/// What containerd 1.6 and 2.3 send to `update` for a container of half a CPU and 128 MiB.
fn containerd() -> Value {
    json!({"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 134_217_728, "swap": 134_217_728},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}})
}

/// A resize to one CPU and 256 MiB.
fn resized() -> BTreeMap<Field, Value> {
    held(
        json!({"memory.limit": 268_435_456, "memory.swap": 268_435_456, "cpu.shares": 1024, "cpu.quota": 100_000,
        "cpu.period": 100_000}),
    )
}

#[test]
fn what_an_engine_repeats_with_a_new_cpuset_keeps_the_override() {
    let mut sent = containerd();
    sent["cpu"]["cpus"] = json!("0-1");
    let merge = merge(&sent, Some(&containerd()), &resized());
    assert_eq!((&merge.ended[..], &merge.waiting[..]), (&[][..], &[][..]));
    let expected = json!({"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 268_435_456, "swap": 268_435_456},
        "cpu": {"shares": 1024, "quota": 100_000, "period": 100_000, "cpus": "0-1"}});
    assert_eq!(merged(&merge, &sent), expected);
    let pointers: Vec<_> = merge.edits.iter().map(|edit| edit.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        ["/memory/limit", "/memory/swap", "/cpu/shares", "/cpu/quota"],
        "the period is the same"
    );
}

#[test]
fn what_an_engine_changes_wins_and_ends_its_group() {
    let mut sent = containerd();
    sent["cpu"]["quota"] = json!(75_000);
    let merge = merge(&sent, Some(&containerd()), &resized());
    let ended: Vec<_> =
        merge.ended.iter().map(|ended| (ended.field.to_string(), ended.engine.clone())).collect();
    assert_eq!(ended, [("cpu.quota".to_owned(), Some(json!(75_000))), ("cpu.period".to_owned(), None)]);
    let after = merged(&merge, &sent);
    assert_eq!(after["cpu"], json!({"shares": 1024, "quota": 75_000, "period": 100_000}));
    assert_eq!(after["memory"]["limit"], 268_435_456, "memory is another matter");
}

#[test]
fn a_value_that_an_engine_sends_for_the_first_time_is_a_change() {
    let mut sent = containerd();
    sent["pids"] = json!({"limit": 100});
    let merge = merge(&sent, Some(&containerd()), &held(json!({"pids.limit": 500})));
    assert_eq!(merge.ended.len(), 1);
    assert_eq!(merged(&merge, &sent), sent);
}

#[test]
fn what_an_engine_leaves_out_or_sends_as_zero_is_no_change() {
    for sent in [json!({"cpu": {"cpus": "3"}}), json!({"memory": {"limit": 0}, "cpu": null}), json!({})] {
        let merge = merge(&sent, Some(&containerd()), &resized());
        assert!(merge.ended.is_empty());
        let after = merged(&merge, &sent);
        assert_eq!(
            (&after["memory"]["limit"], &after["cpu"]["quota"]),
            (&json!(268_435_456), &json!(100_000))
        );
    }
}

#[test]
fn without_a_record_the_document_goes_through_and_the_override_waits() {
    for last in [None, Some(&json!("damaged")), Some(&json!(null))] {
        let merge = merge(&containerd(), last, &resized());
        assert_eq!(merged(&merge, &containerd()), containerd());
        assert!(merge.ended.is_empty());
        assert_eq!(merge.waiting.len(), 5);
    }
}

#[test]
fn a_mixture_that_no_runtime_takes_is_left_out() {
    // the override has the limit alone; the engine's sum of memory and swap is below it
    let merge = merge(
        &containerd(),
        Some(&containerd()),
        &held(json!({"memory.limit": 268_435_456, "cpu.shares": 7})),
    );
    assert_eq!(merge.waiting, [Field::MemoryLimit]);
    assert_eq!(merged(&merge, &containerd())["memory"], containerd()["memory"]);
    assert_eq!(merged(&merge, &containerd())["cpu"]["shares"], 7);
}

#[test]
fn lists_of_cpus_are_compared_by_their_members() {
    let sent = json!({"cpu": {"cpus": "0,1,2"}});
    let last = json!({"cpu": {"cpus": "0-2"}});
    let merge = merge(&sent, Some(&last), &held(json!({"cpu.cpus": "5"})));
    assert_eq!(merged(&merge, &sent), json!({"cpu": {"cpus": "5"}}));
}

#[test]
fn huge_pages_and_unified_files_have_their_own_places() {
    let sent =
        json!({"hugepageLimits": [{"pageSize": "1GB", "limit": 0}], "unified": {"memory.oom.group": "1"}});
    let fields = held(
        json!({"hugepageLimits.2MB": 4_194_304, "hugepageLimits.1GB": 1_073_741_824, "unified.memory.high": "max"}),
    );
    let merge = merge(&sent, Some(&sent), &fields);
    let edits: Vec<_> = merge.edits.iter().map(|edit| (edit.pointer.as_str(), edit.value.clone())).collect();
    assert_eq!(
        edits,
        [
            ("/hugepageLimits/-", json!({"pageSize": "2MB", "limit": 4_194_304})),
            ("/hugepageLimits/0/limit", json!(1_073_741_824)),
            ("/unified/memory.high", json!("max")),
        ]
    );
    let expected = json!({"hugepageLimits": [{"pageSize": "1GB", "limit": 1_073_741_824}, {"pageSize": "2MB", "limit": 4_194_304}],
        "unified": {"memory.oom.group": "1", "memory.high": "max"}});
    assert_eq!(merged(&merge, &sent), expected);
}

#[test]
fn what_was_sent_in_several_documents_is_remembered_as_one() {
    let mut last = Value::Null;
    remember(&mut last, &containerd());
    remember(
        &mut last,
        &json!({"cpu": {"cpus": "0-3", "quota": 0}, "unified": {"memory.high": "9", "../x": "1"}}),
    );
    assert_eq!(
        last,
        json!({"memory": {"limit": 134_217_728, "swap": 134_217_728},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-3"}, "unified": {"memory.high": "9"}})
    );
}

/// Any JSON, and documents that are nearly right.
fn document() -> impl Strategy<Value = Value> {
    let number = prop_oneof![Just(-1_i64), Just(0_i64), 1..1000_i64].prop_map(|number| json!(number));
    let leaf = prop_oneof![
        number,
        Just(Value::Null),
        Just(json!("")),
        Just(json!("0-3")),
        any::<bool>().prop_map(|b| json!(b))
    ];
    let keys = proptest::sample::select(vec![
        "memory",
        "cpu",
        "pids",
        "limit",
        "swap",
        "shares",
        "quota",
        "period",
        "burst",
        "cpus",
        "unified",
        "hugepageLimits",
        "pageSize",
        "memory.high",
        "blockIO",
        "weight",
    ]);
    leaf.prop_recursive(3, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::btree_map(keys.clone(), inner.clone(), 0..8).prop_map(|map| json!(map)),
            proptest::collection::vec(inner, 0..3).prop_map(|list| json!(list)),
        ]
    })
}

fn overrides() -> impl Strategy<Value = BTreeMap<Field, Value>> {
    let names = proptest::sample::subsequence(
        vec![
            "memory.limit",
            "memory.swap",
            "cpu.shares",
            "cpu.quota",
            "cpu.period",
            "cpu.burst",
            "pids.limit",
            "hugepageLimits.2MB",
        ],
        0..8,
    );
    (names, proptest::collection::vec(1..1000_i64, 8)).prop_map(|(names, numbers)| {
        names.into_iter().zip(numbers).map(|(name, number)| (name.parse().unwrap(), json!(number))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_documents_are_merged_without_harm(sent in document(), last in document(), overrides in overrides()) {
        let merge = merge(&sent, Some(&last), &overrides);
        let after = merged(&merge, &sent);
        // every override is put, has ended or waits: exactly one of the three
        for (field, value) in &overrides {
            let ended = merge.ended.iter().any(|ended| ended.field == *field);
            let waits = merge.waiting.contains(field);
            let holds = !ended && !waits;
            prop_assert!(u8::from(ended) + u8::from(waits) + u8::from(holds) == 1);
            if holds {
                prop_assert_eq!(field.get(&after), Some(value));
            } else {
                prop_assert_eq!(field.get(&after), field.get(&sent));
            }
        }
        // and nothing else moves
        for field in Field::all_in(&sent).iter().filter(|field| !overrides.contains_key(field)) {
            prop_assert_eq!(field.get(&after), field.get(&sent));
        }
    }

    #[test]
    fn what_is_repeated_never_ends_an_override(sent in document(), overrides in overrides()) {
        let mut last = Value::Null;
        remember(&mut last, &sent);
        let merge = merge(&sent, Some(&last), &overrides);
        prop_assert!(merge.ended.is_empty(), "{:?}", merge.ended);
    }

    #[test]
    fn a_merged_document_needs_no_second_merge(sent in document(), overrides in overrides()) {
        let mut last = Value::Null;
        remember(&mut last, &sent);
        let once = merged(&merge(&sent, Some(&last), &overrides), &sent);
        remember(&mut last, &once);
        prop_assert_eq!(merged(&merge(&once, Some(&last), &overrides), &once), once);
    }
}

#[test]
fn of_several_documents_that_may_be_the_last_one_that_is_taken_which_the_engine_repeats() {
    let state = json!({"memory": {"limit": 200}, "cpu": {"shares": 512}});
    let created = json!({"memory": {"limit": 100}, "pids": {"limit": 5}});
    let last = |sent: Value| settled(&[state.clone(), created.clone()], &sent).unwrap();
    let all =
        |memory: u64| json!({"memory": {"limit": memory}, "cpu": {"shares": 512}, "pids": {"limit": 5}});
    assert_eq!(last(json!({})), all(200));
    assert_eq!(last(json!({"memory": {"limit": 200}})), all(200));
    assert_eq!(last(json!({"memory": {"limit": 100}})), all(100));
    assert_eq!(last(json!({"memory": {"limit": 150}})), all(200), "that is something new");
    assert_eq!(settled(&[], &json!({"memory": {"limit": 1}})), None);
    let held = held(json!({"memory.limit": 300}));
    for (sent, ends) in [(100, false), (200, false), (150, true)] {
        let sent = json!({"memory": {"limit": sent}});
        let merge = merge(&sent, settled(&[state.clone(), created.clone()], &sent).as_ref(), &held);
        assert_eq!(!merge.ended.is_empty(), ends, "{sent}");
    }
}

#[test]
fn a_kernel_without_a_limit_says_nothing_for_the_engine() {
    // crun 1.8 below systemd: what it set is gone, but for the weight
    let kernel = json!({"cpu": {"quota": -1, "period": 100_000, "shares": 501}, "memory": {"limit": -1, "swap": -1},
        "pids": {"limit": 2962}});
    let said = limits(&kernel);
    assert_eq!(said, json!({"cpu": {"period": 100_000, "shares": 501}, "pids": {"limit": 2962}}));
    let engine = settled(&[said, containerd()], &json!({})).unwrap();
    assert_eq!(engine["memory"], containerd()["memory"]);
    assert_eq!(engine["cpu"]["quota"], json!(50_000));
    let swapping = json!({"memory": {"limit": 134_217_728, "swap": -1}});
    assert_eq!(limits(&swapping), swapping, "memory has a limit, and swap deliberately none");
}

#[test]
fn what_means_nothing_alone_is_given_up_together() {
    let held = held(
        json!({"memory.limit": 2, "memory.swap": 2, "cpu.quota": 1000, "cpu.period": 1000, "cpu.shares": 2}),
    );
    let dropped = |names: &[&str]| -> Vec<String> {
        let fields: Vec<Field> = names.iter().map(|name| name.parse().unwrap()).collect();
        together(&fields, held.keys()).map(ToString::to_string).collect()
    };
    assert_eq!(dropped(&["memory.swap"]), ["memory.limit", "memory.swap"]);
    assert_eq!(dropped(&["cpu.period"]), ["cpu.quota", "cpu.period"]);
    assert_eq!(dropped(&["cpu.shares", "pids.limit"]), ["cpu.shares"]);
    assert!(dropped(&[]).is_empty());
}

#[test]
fn values_are_said_in_the_words_of_people() {
    for (field, value, said) in [
        ("memory.limit", json!(268_435_456), "256Mi"),
        ("memory.swap", json!(-1), "none"),
        ("memory.limit", json!(-5), "-5"),
        ("memory.limit", json!(u64::MAX), "18446744073709551615"),
        ("memory.limit", json!("much"), "much"),
        ("cpu.quota", json!(-1), "none"),
        ("cpu.quota", json!(50_000), "50000"),
        ("cpu.shares", json!(512), "512"),
        ("cpu.cpus", json!("0-1"), "0-1"),
        ("hugepageLimits.2MB", json!(4_194_304), "4Mi"),
        ("unified.memory.high", json!("max"), "max"),
        ("pids.limit", json!(-1), "none"),
    ] {
        assert_eq!(words(&field.parse().unwrap(), &value), said, "{field} {value}");
    }
}
