//! `suites`: real containers under the real runtimes of this machine, without an engine between. It and its attack
//! program `probe` are static and lie side by side, so both can be carried into a virtual machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    runc_strict_integration::suites()
}
