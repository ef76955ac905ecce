//! The offline root: everything is in [`sealward::ceremony`].

fn main() -> std::process::ExitCode {
    sealward::ceremony::main()
}
