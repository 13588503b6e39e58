//! Makes the program begin in src/entry.rs, where there is code for the target's machine.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("ARCH") == "x86_64" && target("OS") == "linux" {
        println!("cargo:rustc-link-arg-bins=-Wl,--entry=runc_strict_entry");
    }
}
