//! Has the linker export the function that runs the module's constructors.
//!
//! Burn's kernel compiler registers hundreds of things by constructors. Unless somebody else is seen
//! to run them, the linker runs them again at every call into the module: most of a training step's
//! time. The Web Worker's script calls this export once.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=--export=__wasm_call_ctors");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
