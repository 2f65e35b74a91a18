//! The project's own chores: `cargo xtask test`, `tidy`, `lint`, `bench`.

mod arrows;
mod bench;
mod callers;
mod deps;
mod tests;
mod tidy;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test    install what the tests need and is absent, then run tidy and all tests;
          test --long: ten times as many crash images, every bit of an archive,
          and a failure where this host does not let a test do what it is for
  tidy    hold the promises of ARCHITECTURE.md that Cargo cannot hold
  lint    rustfmt --check, clippy -D warnings and the documentation
  bench   measure the release binary on this machine; see docs/performance.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().cloned().unwrap_or_default();
    let done = match command.as_str() {
        "test" => tests::test(&arguments[1..]),
        "tidy" => tidy::tidy(),
        "lint" => tests::lint(),
        "bench" => bench::bench(&arguments[1..]),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => {
            eprintln!("xtask: no command {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
