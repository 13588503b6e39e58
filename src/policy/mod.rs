//! The judgement: [`decide`] takes a container and a policy and gives a [`Verdict`]. Nothing here does I/O.
//!
//! The laws, held by the property tests in `tests/laws.rs`:
//!
//! 1. authorised: every gid in the result is the primary gid or was authorised, and lies under every ceiling;
//! 2. primary kept: the primary gid is always in the result, and the result is never empty (CVE-2023-25173);
//! 3. exact: with an annotation the result is exactly the primary gid and the list, or the verdict is Deny;
//! 4. idempotent: deciding on an applied result gives Keep;
//! 5. sorted and unique, gids of 0..=2147483647, at most 65536 of them;
//! 6. total: any input gives a verdict;
//! 7. local: nothing but the members of [`Edits`] is changed (see [`crate::spec`]);
//! 8. parity: an exec gets what the container's init got (see [`decide_exec`]).

pub mod annotation;
pub mod capability;
mod decide;
mod exec;
pub mod gid;
pub mod level;
mod reason;
pub mod residual;
pub mod rules;
pub mod subject;
#[cfg(test)]
mod tests;
mod verdict;

pub use decide::decide;
pub use exec::decide_exec;
pub use reason::Reason;
pub use rules::Policy;
pub use subject::Subject;
pub use verdict::{Change, Edits, Finding, Identity, Limits, Origin, Rule, Ruling, Verdict};

use caps::Capability;
use level::SEALED_OUT;

/// Whether `sealed` takes the capability called `name` away.
fn sealed_out(name: &str) -> bool {
    SEALED_OUT.iter().any(|cap: &Capability| capability::is(name, *cap))
}
