//! The options of a command line. Each takes one text; those that name a size, a device or a file may come several
//! times. The word `none` removes a limit, and puts a weight or a period back to the kernel's default.

use crate::resize::amount::{Bytes, Limit, MilliCpu};
use crate::resize::convert::cpu::{CpuBurst, CpuPeriod};
use crate::resize::convert::cpuset::Cpuset;
use crate::resize::convert::io::{Device, IoWeight, Rate};
use crate::resize::convert::weight::CpuWeight;
use crate::resize::knob::Knob;
use crate::resize::quantity::Quantity;

use super::{DiskWeight, MemoryHigh, Request, RequestError};

/// The word that removes a limit.
const NONE: &str = "none";

/// The options that [`Request::option`] knows, in the order of a help text.
pub const OPTIONS: [&str; 18] = [
    "cpu-request",
    "cpu-limit",
    "memory-request",
    "memory-limit",
    "cpu-period",
    "cpu-burst",
    "cpu-weight",
    "cpuset-cpus",
    "cpuset-mems",
    "memory-high",
    "memory-min",
    "memory-low",
    "swap-limit",
    "pids-limit",
    "hugepages",
    "io-weight",
    "io-max",
    "unified",
];

impl Request {
    /// Adds one option, named without its dashes, with its value as it was typed.
    ///
    /// # Errors
    /// [`RequestError`] with the option, the value and what it should be.
    pub fn option(&mut self, name: &str, value: &str) -> Result<(), RequestError> {
        let given = Given { name, value };
        match name {
            "cpu-request" => self.cpu_request = Some(given.or_none(MilliCpu::default(), given.milli_cpu())?),
            "cpu-limit" => self.cpu_limit = Some(given.limit(given.positive(given.milli_cpu()))?),
            "memory-request" => self.memory_request = Some(given.or_none(Bytes::ZERO, given.bytes())?),
            "memory-limit" => self.memory_limit = Some(given.limit(given.positive(given.bytes()))?),
            "cpu-period" => {
                let period = given.number("a number of microseconds, 1000 to 1000000", CpuPeriod::new);
                self.cpu_period = Some(given.or_none(CpuPeriod::DEFAULT, period)?);
            }
            "cpu-burst" => {
                let burst = given.number("a number of microseconds, no more than the quota", CpuBurst::new);
                self.cpu_burst = Some(given.or_none(CpuBurst::ZERO, burst)?);
            }
            "cpu-weight" => {
                let weight = given.number("a number, 1 to 10000", CpuWeight::new);
                self.cpu_weight = Some(given.or_none(CpuWeight::DEFAULT, weight)?);
            }
            "cpuset-cpus" => self.cpus = Some(given.or_none(Cpuset::default(), given.cpuset())?),
            "cpuset-mems" => self.mems = Some(given.or_none(Cpuset::default(), given.cpuset())?),
            "memory-high" if value == "auto" => self.memory_high = Some(MemoryHigh::Auto),
            "memory-high" => {
                self.memory_high = Some(MemoryHigh::Fixed(given.limit(given.positive(given.bytes()))?))
            }
            "memory-min" => self.memory_min = Some(Limit::At(given.or_none(Bytes::ZERO, given.bytes())?)),
            "memory-low" => self.memory_low = Some(Limit::At(given.or_none(Bytes::ZERO, given.bytes())?)),
            "swap-limit" => self.swap = Some(given.limit(given.bytes())?),
            "pids-limit" => {
                // the kernel allows 0, which forbids any fork; runtimes turn it into 1, and so do we
                let pids = given.number("a number of tasks", |number| Some(number.max(1)));
                self.pids = Some(given.limit(pids)?);
            }
            "hugepages" => {
                let (size, amount) = given.pair("SIZE=QUANTITY, e.g. 2Mi=64Mi")?;
                let size = size.parse().map_err(|error| given.wrong(format!("{error}")))?;
                let amount = Given { name, value: amount };
                self.hugepages.insert(size, amount.limit(amount.bytes())?);
            }
            "io-weight" => {
                let weight = given.number("a number, 1 to 10000", IoWeight::new);
                self.io_weight = Some(DiskWeight::Io(given.or_none(IoWeight::DEFAULT, weight)?));
            }
            "io-max" => self.io_max(given)?,
            "unified" => {
                let (key, text) = given.pair("FILE=VALUE, e.g. memory.oom.group=1")?;
                let (knob, value) = unified(key, text).map_err(|reason| given.wrong(reason))?;
                self.unified.insert(knob, value);
            }
            _ => return Err(RequestError::new(name, None, "no such option")),
        }
        Ok(())
    }

    /// `8:0,rbps=1Mi,wiops=none`
    fn io_max(&mut self, given: Given<'_>) -> Result<(), RequestError> {
        let form = "write MAJOR:MINOR,RATE=QUANTITY,... with the rates rbps, wbps, riops and wiops";
        let mut words = given.value.split(',');
        let device =
            words.next().and_then(|device| device.parse::<Device>().ok()).ok_or_else(|| given.wrong(form))?;
        let mut rates = Vec::new();
        for word in words {
            let (rate, amount) = word.split_once('=').ok_or_else(|| given.wrong(form))?;
            let rate = Rate::named(rate).ok_or_else(|| given.wrong(form))?;
            let amount = Given { name: given.name, value: amount };
            rates.push((rate, amount.limit(amount.positive(amount.bytes()))?.map(Bytes::get)));
        }
        if rates.is_empty() {
            return Err(given.wrong(form));
        }
        self.io_max.entry(device).or_default().extend(rates);
        Ok(())
    }
}

/// Checks a file of version 2 and its value. One that is a knob of ours takes only what that knob can hold, and keeps
/// its place in the order.
pub(super) fn unified(key: &str, text: &str) -> Result<(Knob, crate::resize::value::Value), String> {
    let knob = key.parse::<Knob>().map_err(|error| error.to_string())?;
    if text.is_empty() || text.len() > 4096 || text.chars().any(char::is_control) {
        return Err("the value must be one line".to_owned());
    }
    if !knob.is_of(crate::resize::knob::CgroupVersion::V2) || knob.device().is_some() {
        return Err(format!("{knob} is no file of cgroup v2"));
    }
    let value = knob.read(text).map_err(|error| error.to_string())?;
    Ok((knob, value))
}

/// An option and its value.
#[derive(Clone, Copy)]
struct Given<'a> {
    name: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn wrong(self, reason: impl Into<String>) -> RequestError {
        RequestError::new(self.name, Some(self.value.to_owned()), reason)
    }

    /// The word `none` as no limit.
    fn limit<T>(self, amount: Result<T, RequestError>) -> Result<Limit<T>, RequestError> {
        if self.value == NONE { Ok(Limit::Max) } else { amount.map(Limit::At) }
    }

    /// The word `none` as this amount.
    fn or_none<T>(self, none: T, amount: Result<T, RequestError>) -> Result<T, RequestError> {
        if self.value == NONE { Ok(none) } else { amount }
    }

    fn quantity(self) -> Result<Quantity, RequestError> {
        self.value.parse::<Quantity>().map_err(|error| RequestError::new(self.name, None, error.to_string()))
    }

    fn bytes(self) -> Result<Bytes, RequestError> {
        self.quantity()?
            .bytes()
            .ok_or_else(|| self.wrong("it is too large; the limit is 9223372036854775807"))
    }

    fn milli_cpu(self) -> Result<MilliCpu, RequestError> {
        self.quantity()?
            .milli_cpu()
            .ok_or_else(|| self.wrong("it is too large; the limit is 9223372036854775"))
    }

    fn positive<T: Default + PartialEq>(self, amount: Result<T, RequestError>) -> Result<T, RequestError> {
        match amount {
            Ok(amount) if amount == T::default() => {
                Err(self.wrong("a limit of 0 stops everything; to remove it write none"))
            }
            amount => amount,
        }
    }

    fn number<T>(self, form: &str, make: impl FnOnce(u64) -> Option<T>) -> Result<T, RequestError> {
        let plain = !self.value.is_empty() && self.value.bytes().all(|byte| byte.is_ascii_digit());
        let number = if plain { self.value.parse().ok() } else { None };
        number.and_then(make).ok_or_else(|| self.wrong(format!("write {form}")))
    }

    fn cpuset(self) -> Result<Cpuset, RequestError> {
        let set = self
            .value
            .parse::<Cpuset>()
            .map_err(|error| RequestError::new(self.name, None, error.to_string()))?;
        if set.is_empty() {
            Err(self.wrong("it is empty; for all that the parent has write none"))
        } else {
            Ok(set)
        }
    }

    fn pair(&self, form: &str) -> Result<(&str, &str), RequestError> {
        self.value.split_once('=').ok_or_else(|| self.wrong(format!("write {form}")))
    }
}
