//! `holdfast completions SHELL`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::Done;
use crate::cli::{Cli, Global};
use crate::output;

/// Print the script that completes commands in a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast completions bash > ~/.local/share/bash-completion/completions/holdfast
  holdfast completions fish > ~/.config/fish/completions/holdfast.fish
  source <(holdfast completions zsh)")]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, global: &Global) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "holdfast", &mut script);
        if global.json {
            let script = String::from_utf8_lossy(&script);
            let shell = self.shell.to_string();
            return output::json(&serde_json::json!({ "shell": shell, "script": script }));
        }
        output::raw(&script)
    }
}
