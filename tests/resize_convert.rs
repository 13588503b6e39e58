//! Conversions: every share value against tables made elsewhere, and the kernel's, systemd's and the runtimes' rounding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use runc_strict::resize::amount::{Bytes, Limit, MilliCpu};
use runc_strict::resize::convert::cpu::{CpuBurst, CpuMax, CpuPeriod, CpuQuota, CpuShares};
use runc_strict::resize::convert::cpuset::Cpuset;
use runc_strict::resize::convert::hugepage::HugepageSize;
use runc_strict::resize::convert::io::{BlkioWeight, IoWeight};
use runc_strict::resize::convert::memory::{self, ThrottlingFactor};
use runc_strict::resize::convert::weight::{CpuWeight, WeightFormula};

const TABLES: [(WeightFormula, &str); 2] = [
    (WeightFormula::Linear, include_str!("data/resize/weights_linear.txt")),
    (WeightFormula::Log, include_str!("data/resize/weights_log.txt")),
];

/// The weight of each share value from 2 on, as the table says.
fn weights(table: &str) -> impl Iterator<Item = u64> {
    let runs = table.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace);
    let runs = runs.map(|run| run.parse::<usize>().unwrap());
    (1..).zip(runs).flat_map(|(weight, run)| std::iter::repeat_n(weight, run))
}

#[test]
fn every_share_value_has_the_weight_of_the_table() {
    for (formula, table) in TABLES {
        // the kernel clamps what lies outside 2..=262144
        let expected = [1, 1].into_iter().chain(weights(table)).chain([10_000; 6]);
        let mut seen = 0;
        for (shares, weight) in (0..).zip(expected) {
            let own = CpuWeight::from_shares(CpuShares::clamped(shares), formula);
            assert_eq!(own.get(), weight, "{shares} shares by the {formula} formula");
            seen = shares;
        }
        assert_eq!(seen, 262_150, "the table of the {formula} formula is short");
    }
}

#[test]
fn each_weight_has_shares_that_lead_back_to_it() {
    for formula in [WeightFormula::Linear, WeightFormula::Log] {
        for weight in (1..=10_000).map(|weight| CpuWeight::new(weight).unwrap()) {
            let shares = weight.to_shares(formula);
            assert_eq!(CpuWeight::from_shares(shares, formula), weight, "{shares} by {formula}");
            let below = CpuShares::clamped(shares.get() - 1);
            assert!(
                below == shares || CpuWeight::from_shares(below, formula) < weight,
                "the smallest by {formula}"
            );
        }
    }
}

fn milli(milli: u64) -> MilliCpu {
    MilliCpu::new(milli).unwrap()
}

fn bytes(bytes: u64) -> Bytes {
    Bytes::new(bytes).unwrap()
}

fn cpu_max(quota: u64, period: u64) -> CpuMax {
    CpuMax { quota: Limit::At(CpuQuota::new(quota).unwrap()), period: CpuPeriod::new(period).unwrap() }
}

#[test]
fn shares_follow_the_request_within_the_kernels_range() {
    let shares = |request| CpuShares::from_milli(milli(request)).get();
    assert_eq!(
        [shares(0), shares(1), shares(2), shares(100), shares(500), shares(1000)],
        [2, 2, 2, 102, 512, 1024]
    );
    assert_eq!([shares(256_000), shares(300_000), shares(i64::MAX.unsigned_abs())], [262_144; 3]);
    assert_eq!([CpuShares::clamped(0).get(), CpuShares::clamped(u64::MAX).get()], [2, 262_144]);
}

#[test]
fn a_quota_is_never_below_one_millisecond() {
    let quota = |limit, period| CpuMax::from_milli(milli(limit), CpuPeriod::new(period).unwrap()).unwrap();
    assert_eq!(quota(500, 100_000).to_string(), "50000 100000");
    assert_eq!(quota(1, 100_000).to_string(), "1000 100000");
    assert_eq!(quota(9, 100_000).to_string(), "1000 100000");
    assert_eq!(quota(10, 100_000).to_string(), "1000 100000");
    assert_eq!(quota(11, 100_000).to_string(), "1100 100000");
    assert_eq!(quota(1500, 20_000).to_string(), "30000 20000");
    assert_eq!(
        CpuMax::from_milli(milli(i64::MAX.unsigned_abs()), CpuPeriod::DEFAULT),
        None,
        "beyond the kernel's range"
    );
    assert_eq!([CpuQuota::new(999), CpuQuota::new(1 << 44)], [None, None]);
    assert_eq!([CpuPeriod::new(999), CpuPeriod::new(1_000_001)], [None, None]);
}

#[test]
fn a_burst_fits_beside_a_quota_that_is_no_smaller() {
    let quota = Limit::At(CpuQuota::new(50_000).unwrap());
    assert!(CpuBurst::new(50_000).unwrap().fits(quota));
    assert!(!CpuBurst::new(50_001).unwrap().fits(quota));
    assert!(CpuBurst::new(50_001).unwrap().fits(Limit::Max));
    let largest = Limit::At(CpuQuota::MAX);
    assert!(!CpuBurst::new(1).unwrap().fits(largest), "the kernel bounds the sum, too");
}

#[test]
fn ratios_are_the_kernels() {
    assert_eq!(cpu_max(50_000, 100_000).ratio(), Limit::At(524_288));
    assert_eq!(cpu_max(1000, 3000).ratio(), Limit::At(349_525));
    assert_eq!(CpuMax::UNLIMITED.ratio(), Limit::Max);
    assert!(cpu_max(50_000, 100_000).is_below(cpu_max(50_001, 100_000)));
    assert!(!cpu_max(50_000, 100_000).is_below(cpu_max(5_000, 10_000)));
    assert!(cpu_max(50_000, 100_000).is_below(CpuMax::UNLIMITED));
}

#[test]
fn systemd_rounds_a_quota_up_to_whole_percents() {
    assert_eq!(cpu_max(50_000, 100_000).systemd_per_second(), 500_000);
    assert_eq!(cpu_max(33_333, 100_000).systemd_per_second(), 340_000);
    assert_eq!(cpu_max(33_333, 100_000).after_systemd(), cpu_max(34_000, 100_000));
    assert_eq!(cpu_max(1000, 1_000_000).systemd_per_second(), 10_000);
    assert_eq!(CpuMax::UNLIMITED.systemd_per_second(), u64::MAX);
    let unlimited = CpuMax { quota: Limit::Max, period: CpuPeriod::new(20_000).unwrap() };
    assert_eq!(
        unlimited.after_systemd(),
        CpuMax::UNLIMITED,
        "systemd forgets the period of what has no quota"
    );
}

#[test]
fn memory_and_swap_are_one_sum_on_version_1_and_two_numbers_on_version_2() {
    let at = |number| Limit::At(bytes(number));
    assert_eq!(memory::memsw(at(100), at(50)), Some(at(150)));
    assert_eq!(memory::memsw(at(100), at(0)), Some(at(100)));
    assert_eq!(memory::memsw(at(100), Limit::Max), Some(Limit::Max));
    assert_eq!(memory::memsw(Limit::Max, at(50)), Some(Limit::Max));
    assert_eq!(memory::memsw(at(i64::MAX.unsigned_abs()), at(1)), None);
    assert_eq!(memory::swap(at(100), at(150)), at(50));
    assert_eq!(memory::swap(at(100), at(100)), at(0));
    assert_eq!(memory::swap(at(100), Limit::Max), Limit::Max);
    assert_eq!(memory::swap(Limit::Max, at(150)), at(150));
}

#[test]
fn memory_high_lies_between_request_and_limit_on_a_page() {
    let page = bytes(4096);
    let high = |request, limit| memory::high(bytes(request), bytes(limit), ThrottlingFactor::DEFAULT, page);
    assert_eq!(high(64 << 20, 128 << 20), Limit::At(bytes(127_504_384)));
    assert_eq!(high(128 << 20, 128 << 20), Limit::Max);
    assert_eq!(high(0, 128 << 20), Limit::At(bytes(120_795_136)));
    let none = ThrottlingFactor::new(0).unwrap();
    assert_eq!(memory::high(bytes(64 << 20), bytes(128 << 20), none, page), Limit::At(bytes(64 << 20)));
    assert_eq!(ThrottlingFactor::new(1001), None);
}

#[test]
fn disk_weights_have_two_scales() {
    let io = |weight| BlkioWeight::new(weight).unwrap().to_io().get();
    assert_eq!([io(1), io(10), io(11), io(500), io(1000)], [1, 1, 11, 4950, 10_000]);
    for weight in (10..=1000).map(|weight| BlkioWeight::new(weight).unwrap()) {
        assert_eq!(weight.to_io().to_blkio(), weight, "{weight} there and back");
    }
    assert_eq!([BlkioWeight::new(0), BlkioWeight::new(1001)], [None, None]);
    assert_eq!([IoWeight::new(0), IoWeight::new(10_001)], [None, None]);
}

#[test]
fn sizes_of_huge_pages_are_read_in_each_usual_spelling() {
    for (text, name) in [
        ("2Mi", "2MB"),
        ("2M", "2MB"),
        ("2MB", "2MB"),
        ("2MiB", "2MB"),
        ("2048Ki", "2MB"),
        ("2048kB", "2MB"),
        ("1Gi", "1GB"),
        ("1GB", "1GB"),
        ("64KB", "64KB"),
        ("2097152", "2MB"),
        ("16G", "16GB"),
    ] {
        assert_eq!(text.parse::<HugepageSize>().map(|size| size.to_string()), Ok(name.to_owned()), "{text}");
    }
    for text in ["", "2", "3Mi", "4Ki", "32Gi", "-2Mi", "2MX", "MB", "2BB", "2 MB", "1.5Mi", "2iM"] {
        assert!(text.parse::<HugepageSize>().is_err(), "{text}");
    }
}

#[test]
fn cpusets_are_read_and_printed_as_the_kernel_does() {
    for (text, printed) in [
        ("", ""),
        ("0", "0"),
        ("0-3", "0-3"),
        ("3,1,2", "1-3"),
        ("0-1,1-2,8\n", "0-2,8"),
        ("0,2,4", "0,2,4"),
        ("7-7", "7"),
    ] {
        assert_eq!(text.parse::<Cpuset>().unwrap().to_string(), printed, "{text}");
    }
    for (text, message) in [
        ("a", "\"a\" is no number; write a list such as 0-3,8"),
        ("0,", "\"\" is no number; write a list such as 0-3,8"),
        ("3-1", "\"3-1\" is a range that runs backwards; write a list such as 0-3,8"),
        ("-1", "\"-1\" is no number; write a list such as 0-3,8"),
        ("0-99999999999999999999", "\"0-99999999999999999999\" is above 65535; write a list such as 0-3,8"),
    ] {
        assert_eq!(text.parse::<Cpuset>().unwrap_err().to_string(), message);
    }
    assert_eq!("0-1,9".parse::<Cpuset>().unwrap().to_bits(), [0b11, 0b10]);
    assert_eq!("".parse::<Cpuset>().unwrap().to_bits(), [0_u8; 0]);
}

fn bandwidth() -> impl Strategy<Value = CpuMax> {
    (1000..10_000_000_u64, 1000..=1_000_000_u64).prop_map(|(quota, period)| cpu_max(quota, period))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn more_cpu_asked_never_gives_less(a in 0..10_000_000_u64, b in 0..10_000_000_u64, period in 1000..=1_000_000_u64) {
        let (low, high) = (milli(a.min(b)), milli(a.max(b)));
        prop_assert!(CpuShares::from_milli(low) <= CpuShares::from_milli(high));
        let period = CpuPeriod::new(period).unwrap();
        if let (Some(low), Some(high)) = (CpuMax::from_milli(low, period), CpuMax::from_milli(high, period)) {
            prop_assert!(!high.is_below(low) && low.ratio() <= high.ratio());
        }
        for formula in [WeightFormula::Linear, WeightFormula::Log] {
            let weight = |request| CpuWeight::from_shares(CpuShares::from_milli(request), formula);
            prop_assert!(weight(low) <= weight(high));
        }
    }

    #[test]
    fn systemd_gives_at_least_the_quota_and_less_than_a_percent_more(wanted in bandwidth()) {
        let given = wanted.after_systemd();
        prop_assert!(!given.is_below(wanted), "{} became {}", wanted, given);
        let percent = |cpu: CpuMax| (cpu.quota.at().unwrap().get() * 100).div_ceil(cpu.period.get());
        prop_assert!(percent(given) <= percent(wanted), "{} became {}", wanted, given);
        prop_assert_eq!(given.after_systemd(), given);
    }

    #[test]
    fn a_quota_moved_to_another_period_is_no_smaller_a_share(wanted in bandwidth(), period in 1000..=1_000_000_u64) {
        let moved = wanted.at_period(CpuPeriod::new(period).unwrap()).unwrap();
        prop_assert!(!moved.is_below(wanted));
        prop_assert_eq!(wanted.at_period(wanted.period), Some(wanted));
    }

    #[test]
    fn shares_say_the_least_request_that_gives_them(shares in 3..=262_144_u64) {
        let shares = CpuShares::clamped(shares);
        let request = shares.to_milli();
        prop_assert!(CpuShares::from_milli(request) >= shares);
        prop_assert!(CpuShares::from_milli(milli(request.get() - 1)) < shares);
    }

    #[test]
    fn any_list_of_cpus_is_read_or_refused(text in "[-0-9,a ]{0,30}") {
        if let Ok(set) = text.parse::<Cpuset>() {
            prop_assert_eq!(set.to_string().parse::<Cpuset>(), Ok(set));
        }
    }

    #[test]
    fn cpusets_are_sets(a in "([0-9]{1,2},){0,8}[0-9]", b in "([0-9]{1,2},){0,8}[0-9]") {
        let (a, b) = (a.parse::<Cpuset>().unwrap(), b.parse::<Cpuset>().unwrap());
        prop_assert!(a.is_subset(&a.union(&b)) && b.is_subset(&a.union(&b)));
        prop_assert!(a.minus(&b).is_subset(&a));
        prop_assert_eq!(a.minus(&b).is_empty(), a.is_subset(&b));
    }
}
