//! The project's own chores: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask lint`.

mod arrows;
mod tests;
mod tidy;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test    install what the tests need and is absent, then run tidy and all tests
  tidy    hold the promises of ARCHITECTURE.md that Cargo cannot hold
  lint    rustfmt --check, clippy -D warnings and the documentation
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let done = match command.as_str() {
        "test" => tests::test(),
        "tidy" => tidy::tidy(),
        "lint" => tests::lint(),
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
