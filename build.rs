//! Makes the program begin in src/entry, where there is code for the target's machine, and puts what a create and an exec
//! run through side by side.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/entry/order.ld");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("ARCH") != "x86_64" || target("OS") != "linux" {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,--entry=runc_strict_entry");
    // The program that is installed; in a dynamic one for tests the order is nobody's business.
    if target("FEATURE").split(',').any(|feature| feature == "crt-static") {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}/src/entry/order.ld", env!("CARGO_MANIFEST_DIR"));
        // A static program at a fixed place has next to nothing to be made read-only after its start, and a segment for it
        // costs every start a mapping and a page.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,norelro");
        // Where the linker is to say what it put where: integration/counts/run --order reads it.
        println!("cargo:rerun-if-env-changed=RUNC_STRICT_MAP");
        if let Ok(map) = std::env::var("RUNC_STRICT_MAP") {
            println!("cargo:rustc-link-arg-bins=-Wl,-Map={map}");
        }
    }
}
