//! Sizes of huge pages. The kernel names files after them (`hugetlb.2MB.max`), Kubernetes names resources after them
//! (`hugepages-2Mi`), and both mean powers of 1024.

use std::fmt;
use std::str::FromStr;

use crate::resize::amount::Bytes;
use crate::resize::quantity::Quantity;
use crate::resize::quoted::Quoted;

/// The size of a huge page: a power of two, at least 64 KiB (arm64's contiguous pages) and at most 16 GiB (POWER).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HugepageSize(Bytes);

impl HugepageSize {
    /// `None` if no kernel has such a page.
    pub fn new(bytes: Bytes) -> Option<Self> {
        let fits = bytes.get().is_power_of_two() && (1 << 16..=1 << 34).contains(&bytes.get());
        fits.then_some(Self(bytes))
    }

    /// The page's bytes.
    pub fn bytes(self) -> Bytes {
        self.0
    }
}

impl FromStr for HugepageSize {
    type Err = HugepageError;

    /// Reads `2Mi`, `2M`, `2MB` or `2MiB`, all of which mean 2097152 bytes here.
    ///
    /// # Errors
    /// [`HugepageError`] for anything that isn't the size of a huge page.
    fn from_str(text: &str) -> Result<Self, HugepageError> {
        let fault = || HugepageError(text.to_owned());
        let number = text.trim_end_matches(['B', 'i']).trim_end_matches(['k', 'K', 'M', 'G']);
        let rest = text.strip_prefix(number).unwrap_or_default();
        let unit = match rest.strip_suffix("iB").or_else(|| rest.strip_suffix(['i', 'B'])).unwrap_or(rest) {
            "" if rest.is_empty() => "",
            "k" | "K" => "Ki",
            "M" => "Mi",
            "G" => "Gi",
            _ => return Err(fault()),
        };
        let quantity = format!("{number}{unit}").parse::<Quantity>().map_err(|_| fault())?;
        quantity.bytes().and_then(Self::new).ok_or_else(fault)
    }
}

impl fmt::Display for HugepageSize {
    /// As the kernel and the OCI documents name it: `64KB`, `2MB`, `1GB` (`hugetlb_cgroup` `mem_fmt`).
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.get();
        match bytes {
            _ if bytes >= 1 << 30 => write!(out, "{}GB", bytes >> 30),
            _ if bytes >= 1 << 20 => write!(out, "{}MB", bytes >> 20),
            _ => write!(out, "{}KB", bytes >> 10),
        }
    }
}

/// A text that isn't the size of a huge page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugepageError(String);

impl fmt::Display for HugepageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is not the size of a huge page; write one such as 2Mi or 1Gi", Quoted(&self.0))
    }
}

impl std::error::Error for HugepageError {}
