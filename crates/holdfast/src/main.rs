//! `holdfast`: the server and every command, in one binary.
//!
//! Standard output carries only what was asked for; progress, notes and errors go to standard error.
//! Exit codes are `holdfast_types::Kind`'s; 2 is a usage error, 130 an interruption.

mod cli;
mod commands;
mod output;
mod progress;
mod terminal;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use holdfast_types::Kind;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Cli;
use crate::output::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log_to_stderr();
    holdfast_node::no_core_dumps();
    if cli.global.json {
        output::keep_notes();
    }
    match guarded(|| commands::run(&cli)) {
        Ok(()) => {
            output::kept_notes();
            ExitCode::SUCCESS
        }
        // What went wrong is that somebody asked for the end.
        Err(_) if holdfast_node::interrupted() => Failure::Interrupted.report(cli.global.json),
        Err(failure) => failure.report(cli.global.json),
    }
}

/// A panic is our bug, and ends with the exit code of one. What it said stands on standard error already.
fn guarded(run: impl FnOnce() -> Done) -> Done {
    // Nothing of the command's is used afterwards.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    done.unwrap_or_else(|_| {
        Err(Failure::new(Kind::Internal, "a bug in holdfast broke this command off")
            .next("report it with the lines above; if it was a change, look what came of it"))
    })
}

/// Help and version end with 0, a usage error with 2; in JSON where that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let text = error.to_string();
        let what: Vec<_> = text.lines().map(str::trim).take_while(|it| !it.is_empty()).collect();
        output::usage_json(what.join(" ").trim_start_matches("error: "));
    } else {
        // Nobody may be reading; that is no reason to end otherwise.
        _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Warnings of the libraries, or what `HOLDFAST_LOG` asks for.
fn log_to_stderr() {
    let asked = std::env::var("HOLDFAST_LOG").ok().and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| {
        Targets::new().with_default(LevelFilter::WARN).with_target("openraft", LevelFilter::ERROR)
    });
    // https://no-color.org
    let plain = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(!plain && std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// What every command gives.
pub(crate) type Done = Result<(), Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_as_our_bug() {
        let failure = guarded(|| panic!("on purpose")).unwrap_err();
        let Failure::Failed { kind, next, .. } = &failure else { panic!("{failure:?}") };
        assert_eq!((kind.exit_code(), next.is_some()), (70, true));
        assert_eq!(guarded(|| Ok(())), Ok(()));
    }
}
