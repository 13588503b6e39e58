//! What is asked: options, OCI documents, manifests; and what can't be meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use oci_spec::runtime::LinuxResources;
use proptest::prelude::*;
use runc_strict::resize::amount::{Bytes, Limit, MilliCpu};
use runc_strict::resize::convert::io::{BlkioWeight, Device, Rate};
use runc_strict::resize::knob::Knob;
use runc_strict::resize::request::manifest::{self, Asked};
use runc_strict::resize::request::options::OPTIONS;
use runc_strict::resize::request::{DiskWeight, Request};
use serde_json::{Value, json};

fn option(name: &str, value: &str) -> Result<Request, String> {
    let mut request = Request::default();
    request.option(name, value).map(|()| request).map_err(|error| error.to_string())
}

fn bytes(bytes: u64) -> Limit<Bytes> {
    Limit::At(Bytes::new(bytes).unwrap())
}

#[test]
fn what_an_option_cannot_be_is_refused_with_what_it_should_be() {
    for (name, value, message) in [
        (
            "cpu-limit",
            "1x",
            "cpu-limit: quantity \"1x\": \"x\" is no suffix; use n u m k M G T P E, Ki Mi Gi Ti Pi Ei or e<number>",
        ),
        ("cpu-limit", "-1", "cpu-limit: quantity \"-1\": it is negative; a resource can't be below 0"),
        ("cpu-limit", "0", "cpu-limit \"0\": a limit of 0 stops everything; to remove it write none"),
        ("cpu-limit", "9E", "cpu-limit \"9E\": it is too large; the limit is 9223372036854775"),
        ("memory-limit", "12E", "memory-limit \"12E\": it is too large; the limit is 9223372036854775807"),
        (
            "memory-limit",
            "0Mi",
            "memory-limit \"0Mi\": a limit of 0 stops everything; to remove it write none",
        ),
        (
            "memory-limit",
            "",
            "memory-limit: quantity \"\": it is empty; write a number such as 500m or 128Mi",
        ),
        ("cpu-period", "999", "cpu-period \"999\": write a number of microseconds, 1000 to 1000000"),
        ("cpu-period", "1000001", "cpu-period \"1000001\": write a number of microseconds, 1000 to 1000000"),
        ("cpu-period", "100ms", "cpu-period \"100ms\": write a number of microseconds, 1000 to 1000000"),
        ("cpu-burst", "-1", "cpu-burst \"-1\": write a number of microseconds, no more than the quota"),
        ("cpu-weight", "0", "cpu-weight \"0\": write a number, 1 to 10000"),
        ("io-weight", "10001", "io-weight \"10001\": write a number, 1 to 10000"),
        ("pids-limit", "many", "pids-limit \"many\": write a number of tasks"),
        ("cpuset-cpus", "0-", "cpuset-cpus: \"0-\" is no number; write a list such as 0-3,8"),
        ("cpuset-cpus", "", "cpuset-cpus \"\": it is empty; for all that the parent has write none"),
        ("hugepages", "64Mi", "hugepages \"64Mi\": write SIZE=QUANTITY, e.g. 2Mi=64Mi"),
        (
            "hugepages",
            "3Mi=6Mi",
            "hugepages \"3Mi=6Mi\": \"3Mi\" is not the size of a huge page; write one such as 2Mi or 1Gi",
        ),
        (
            "io-max",
            "8:0",
            "io-max \"8:0\": write MAJOR:MINOR,RATE=QUANTITY,... with the rates rbps, wbps, riops and wiops",
        ),
        (
            "io-max",
            "sda,rbps=1",
            "io-max \"sda,rbps=1\": write MAJOR:MINOR,RATE=QUANTITY,... with the rates rbps, wbps, riops and wiops",
        ),
        (
            "io-max",
            "8:0,bps=1",
            "io-max \"8:0,bps=1\": write MAJOR:MINOR,RATE=QUANTITY,... with the rates rbps, wbps, riops and wiops",
        ),
        ("unified", "memory.max", "unified \"memory.max\": write FILE=VALUE, e.g. memory.oom.group=1"),
        (
            "unified",
            "cgroup.kill=1",
            "unified \"cgroup.kill=1\": cgroup file \"cgroup.kill\": only cpu, cpuset, dmem, hugetlb, io, memory, misc, pids and rdma can be set",
        ),
        (
            "unified",
            "memory.reclaim=1G",
            "unified \"memory.reclaim=1G\": cgroup file \"memory.reclaim\": writing it is an act that no rollback undoes",
        ),
        (
            "unified",
            "memory./../x=1",
            "unified \"memory./../x=1\": cgroup file \"memory./../x\": it must be a file of the cgroup's own folder",
        ),
        ("unified", "memory.max=1\n", "unified \"memory.max=1\\n\": the value must be one line"),
        ("unified", "memory.max=lots", "unified \"memory.max=lots\": \"lots\" is no value of memory.max"),
        (
            "unified",
            "cpu.max=500 100000",
            "unified \"cpu.max=500 100000\": \"500 100000\" is no value of cpu.max",
        ),
        ("unified", "cpu.shares=5", "unified \"cpu.shares=5\": cpu.shares is no file of cgroup v2"),
        (
            "unified",
            "io.max=8:0 rbps=1",
            "unified \"io.max=8:0 rbps=1\": cgroup file \"io.max\": use io-max, which knows its devices",
        ),
        ("memory", "1", "memory: no such option"),
    ] {
        assert_eq!(option(name, value).expect_err(value), message);
    }
}

#[test]
fn none_removes_a_limit_and_puts_a_default_back() {
    assert_eq!(option("cpu-limit", "none").unwrap().cpu_limit, Some(Limit::Max));
    assert_eq!(option("memory-limit", "none").unwrap().memory_limit, Some(Limit::Max));
    assert_eq!(option("swap-limit", "none").unwrap().swap, Some(Limit::Max));
    assert_eq!(option("swap-limit", "0").unwrap().swap, Some(bytes(0)));
    assert_eq!(option("pids-limit", "none").unwrap().pids, Some(Limit::Max));
    assert_eq!(option("pids-limit", "0").unwrap().pids, Some(Limit::At(1)), "as runtimes do");
    assert_eq!(option("cpu-request", "none").unwrap().cpu_request, MilliCpu::new(0));
    assert_eq!(option("memory-min", "none").unwrap().memory_min, Some(bytes(0)));
    assert_eq!(option("cpu-weight", "none").unwrap().cpu_weight.unwrap().get(), 100);
    assert_eq!(option("cpu-period", "none").unwrap().cpu_period.unwrap().get(), 100_000);
    assert!(option("cpuset-cpus", "none").unwrap().cpus.unwrap().is_empty());
    let devices = option("io-max", "8:0,rbps=none,wiops=120").unwrap().io_max;
    let rates = &devices[&Device { major: 8, minor: 0 }];
    assert_eq!((rates[&Rate::Rbps], rates[&Rate::Wiops], rates.len()), (Limit::Max, Limit::At(120), 2));
}

#[test]
fn a_file_that_has_an_option_is_read_as_that_knob() {
    let request = option("unified", "memory.high=1048576").unwrap();
    assert_eq!(request.unified[&Knob::MemoryHigh], Knob::MemoryHigh.read("1048576").unwrap());
}

fn oci(document: Value) -> Result<Request, String> {
    let resources: LinuxResources = serde_json::from_value(document).unwrap();
    Request::from_oci(&resources).map_err(|error| error.to_string())
}

#[test]
fn what_containerd_sends_is_read() {
    let request = oci(json!({"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 134_217_728, "swap": 134_217_728},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}}))
    .unwrap();
    assert_eq!(request.memory_limit, Some(bytes(134_217_728)));
    assert_eq!(request.memsw, Some(bytes(134_217_728)));
    assert_eq!(request.cpu_shares.unwrap().get(), 512);
    assert_eq!(request.cpu_quota.unwrap().at().unwrap().get(), 50_000);
    assert_eq!(request.cpu_period.unwrap().get(), 100_000);
    assert_eq!(request.ignored, ["devices"]);
}

#[test]
fn zero_in_a_document_leaves_things_as_they_are_and_minus_one_removes() {
    let nothing = json!({"memory": {"limit": 0, "swap": 0, "reservation": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""},
        "pids": {"limit": 0}, "blockIO": {"weight": 0}, "devices": [], "unified": {}});
    assert!(oci(nothing).unwrap().is_empty());
    let removed =
        oci(json!({"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}))
            .unwrap();
    assert_eq!((removed.memory_limit, removed.memsw), (Some(Limit::Max), Some(Limit::Max)));
    assert_eq!((removed.cpu_quota, removed.pids), (Some(Limit::Max), Some(Limit::Max)));
}

#[test]
fn the_rest_of_a_document_is_read_too() {
    let request = oci(json!({"cpu": {"burst": 0, "cpus": "0-1", "mems": "0"}, "pids": {"limit": 7},
        "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}], "unified": {"memory.high": "max"},
        "memory": {"swappiness": 10}}))
    .unwrap();
    assert_eq!(request.cpu_burst.unwrap().get(), 0, "a burst of 0 says something");
    assert_eq!(request.cpus.unwrap().to_string(), "0-1");
    assert_eq!(request.io_weight, Some(DiskWeight::Blkio(BlkioWeight::new(500).unwrap())));
    assert_eq!(request.hugepages.values().collect::<Vec<_>>(), [&bytes(4_194_304)]);
    assert_eq!(request.unified.keys().collect::<Vec<_>>(), [&Knob::MemoryHigh]);
    assert_eq!(request.io_max[&Device { major: 8, minor: 0 }][&Rate::Rbps], Limit::At(1000));
    assert_eq!(request.io_max[&Device { major: 8, minor: 0 }][&Rate::Wiops], Limit::Max);
    assert_eq!(request.ignored, ["memory.swappiness"]);
}

#[test]
fn what_no_runtime_could_apply_is_refused() {
    for (document, message) in [
        (json!({"memory": {"limit": -2}}), "memory.limit \"-2\": below zero only -1 has a meaning: no limit"),
        (
            json!({"cpu": {"quota": 999}}),
            "cpu.quota \"999\": the kernel takes 1000 (1 ms) to 17592186044415 microseconds, or -1 for no quota",
        ),
        (
            json!({"cpu": {"quota": -5}}),
            "cpu.quota \"-5\": the kernel takes 1000 (1 ms) to 17592186044415 microseconds, or -1 for no quota",
        ),
        (json!({"cpu": {"period": 5}}), "cpu.period \"5\": the kernel takes 1000 to 1000000 microseconds"),
        (json!({"cpu": {"cpus": "a"}}), "cpu.cpus \"a\": \"a\" is no number; write a list such as 0-3,8"),
        (json!({"blockIO": {"weight": 9}}), "blockIO.weight \"9\": it must be 10 to 1000"),
        (
            json!({"unified": {"cgroup.freeze": "1"}}),
            "unified \"cgroup.freeze=1\": cgroup file \"cgroup.freeze\": only cpu, cpuset, dmem, hugetlb, io, memory, misc, pids and rdma can be set",
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}),
            "hugepageLimits.pageSize: \"3MB\" is not the size of a huge page; write one such as 2Mi or 1Gi",
        ),
    ] {
        assert_eq!(oci(document).unwrap_err(), message);
    }
}

#[test]
fn a_pod_is_read_as_it_is() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {
        "initContainers": [
            {"name": "setup", "resources": {"limits": {"cpu": "9"}}},
            {"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}}],
        "containers": [
            {"name": "app", "image": "localhost/app:1", "resources": {
                "limits": {"cpu": 1, "memory": "256Mi", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"},
                "requests": {"cpu": 0.5, "hugepages-2Mi": "4Mi"}}},
            {"name": "idle", "resources": {}},
            {"name": "bare"}]}});
    let asked = manifest::containers(&pod).unwrap();
    let names: Vec<_> = asked.iter().map(|asked| asked.container.as_str()).collect();
    assert_eq!(names, ["setup", "proxy", "app"]);
    let [setup, Asked { request: proxy, .. }, Asked { request: app, .. }] = &asked[..] else {
        panic!("three")
    };
    assert!(setup.ends_by_itself && asked.iter().filter(|one| one.ends_by_itself).count() == 1);
    assert_eq!(proxy.cpu_request, MilliCpu::new(100));
    assert_eq!(proxy.cpu_limit, None, "what is missing stays as it is");
    assert_eq!((app.cpu_request, app.cpu_limit), (MilliCpu::new(500), MilliCpu::new(1000).map(Limit::At)));
    assert_eq!(app.memory_request, Bytes::new(268_435_456), "a limit without a request gives the request");
    assert_eq!(app.hugepages.len(), 1);
    assert_eq!(app.ignored, ["limits.ephemeral-storage"]);
}

#[test]
fn lists_and_several_documents_give_all_their_pods() {
    let pod = |name: &str| json!({"kind": "Pod", "metadata": {"name": name}});
    let documents = [pod("a"), json!({"kind": "List", "items": [pod("b"), pod("c")]}), pod("d")];
    let pods = manifest::pods(&documents).unwrap();
    let names: Vec<_> = pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    for (documents, message) in [
        (vec![], "kind: there is no Pod in it"),
        (vec![json!({"kind": "List", "items": []})], "kind: there is no Pod in it"),
        (vec![json!({"kind": "PodList"})], "items: there is no such list; write one of Pods"),
    ] {
        assert_eq!(manifest::pods(&documents).unwrap_err().to_string(), message);
    }
}

#[test]
fn limits_of_a_pod_itself_are_refused_by_name() {
    let containers = json!([{"name": "app", "resources": {"limits": {"cpu": "1"}}}]);
    let pod = |resources: Value| json!({"spec": {"resources": resources, "containers": containers.clone()}});
    assert_eq!(
        manifest::containers(&pod(json!({"limits": {"cpu": "2"}}))).unwrap_err().to_string(),
        "spec.resources.limits: limits of the pod itself can't be applied, they follow its containers'; take them out"
    );
    for nothing in [json!(null), json!({}), json!({"limits": {}, "requests": null})] {
        assert_eq!(manifest::containers(&pod(nothing)).unwrap().len(), 1);
    }
}

#[test]
fn a_request_names_the_controllers_that_it_is_about() {
    let mut request = Request::default();
    for (option, value) in [("cpu-limit", "1"), ("memory-high", "auto"), ("hugepages", "2Mi=4Mi")] {
        request.option(option, value).unwrap();
    }
    assert!(request.controllers().iter().eq(["cpu", "hugetlb", "memory"]));
    let mut request = Request::default();
    for (option, value) in
        [("cpuset-cpus", "0"), ("pids-limit", "5"), ("io-weight", "5"), ("unified", "misc.max=x")]
    {
        request.option(option, value).unwrap();
    }
    assert!(request.controllers().iter().eq(["cpuset", "io", "misc", "pids"]));
    assert!(Request::default().controllers().is_empty());
}

#[test]
fn what_is_no_pod_is_refused() {
    let container =
        |resources: Value| json!({"spec": {"containers": [{"name": "app", "resources": resources}]}});
    for (document, message) in [
        (json!(null), "spec.containers: there is no such list; write one as in a Pod"),
        (
            json!({"kind": "Deployment"}),
            "kind \"Deployment\": only a Pod can be applied; take one from the cluster",
        ),
        (json!({"spec": {"containers": [{}]}}), "spec.containers: a container has no name"),
        (
            json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            "spec.containers \"a\": two containers have this name",
        ),
        (
            container(json!({"limits": []})),
            "container app: limits: it must be a map of resources to quantities",
        ),
        (
            container(json!({"limits": {"cpu": true}})),
            "container app: limits.cpu: it must be a quantity such as 500m or 128Mi",
        ),
        (
            container(json!({"limits": {"memory": "1GB"}})),
            "container app: limits.memory: quantity \"1GB\": \"GB\" is no suffix; leave out the B: k M G T P E or Ki Mi Gi Ti Pi Ei",
        ),
        (
            container(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
            "container app: cpu-limit \"1\": it is below the request 2; raise the limit or lower the request",
        ),
    ] {
        assert_eq!(manifest::containers(&document).unwrap_err().to_string(), message);
    }
}

#[test]
fn files_are_read_with_their_devices_and_defaults() {
    let read = |file: &str, text: &str| {
        let knobs = Knob::read_file(file, text).map_err(|error| error.to_string())?;
        Ok::<_, String>(knobs.into_iter().map(|(knob, value)| format!("{knob}={value}")).collect::<Vec<_>>())
    };
    assert_eq!(
        read("memory.limit_in_bytes", "9223372036854771712\n").unwrap(),
        ["memory.limit_in_bytes=max"]
    );
    assert_eq!(
        read("hugetlb.1GB.limit_in_bytes", "9223372035781033984\n").unwrap(),
        ["hugetlb.1GB.limit_in_bytes=max"]
    );
    assert_eq!(read("cpu.cfs_quota_us", "-1\n").unwrap(), ["cpu.cfs_quota_us=-1"]);
    assert_eq!(read("cpu.max", "max 100000\n").unwrap(), ["cpu.max=max 100000"]);
    assert_eq!(read("cpu.weight", "0\n").unwrap(), [""; 0], "cpu.idle");
    assert_eq!(read("io.weight", "default 100\n8:16 200\n").unwrap(), ["io.weight=100"]);
    assert_eq!(read("cpuset.cpus", "\n").unwrap(), ["cpuset.cpus="]);
    assert_eq!(read("io.max", "").unwrap(), [""; 0]);
    let io_max = "8:16 rbps=2097152 wbps=max riops=max wiops=120\n8:0 rbps=max wbps=max riops=5 wiops=max\n";
    assert_eq!(
        read("io.max", io_max).unwrap(),
        [
            "io.max 8:16=rbps=2097152 wbps=max riops=max wiops=120",
            "io.max 8:0=rbps=max wbps=max riops=5 wiops=max"
        ]
    );
    let throttle = read("blkio.throttle.read_bps_device", "8:0 1048576\n").unwrap();
    assert_eq!(throttle, ["blkio.throttle.read_bps_device 8:0=1048576"]);
    assert_eq!(read("cpu.max", "lots").unwrap_err(), "\"lots\" is no value of cpu.max");
    assert_eq!(read("notes.txt", "1").unwrap_err(), "\"1\" is no value of notes.txt");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_option_with_any_value_is_taken_or_refused(at in 0..OPTIONS.len(), value in "[-+0-9a-zA-Z.,:= ]{0,24}|.*") {
        if let Err(message) = option(OPTIONS[at], &value) {
            prop_assert!(message.starts_with(OPTIONS[at]), "{}", message);
            prop_assert!(!message.chars().any(char::is_control), "{}", message);
        }
    }

    #[test]
    fn any_file_with_any_text_is_read_or_refused(
        file in proptest::sample::select(vec!["memory.max", "cpu.max", "io.max", "cpu.weight", "io.weight", "cpuset.cpus",
            "memory.limit_in_bytes", "cpu.cfs_quota_us", "blkio.throttle.read_bps_device", "hugetlb.2MB.max", "pids.max", "x"]),
        text in "[-0-9a-z:=,. \n]{0,40}|.*",
    ) {
        if let Ok(knobs) = Knob::read_file(file, &text) {
            for (knob, value) in knobs {
                prop_assert_eq!(knob.read(&value.to_string()), Ok(value), "printed and read again");
                prop_assert_eq!(knob.to_string().parse::<Knob>().unwrap(), knob);
            }
        }
    }
}
