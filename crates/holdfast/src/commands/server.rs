//! `holdfast server`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use holdfast_node::{DevOptions, Made, ServeOptions};

use crate::Done;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  holdfast server --dev --data demo\n  holdfast server --data /srv/vault"
)]
pub(crate) struct Server {
    /// The data directory of a vault; with --dev, the directory of everything
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the soft key lies now
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    soft_key: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// For trying out: make a vault where there is none, with a throw-away custodian
    #[arg(long)]
    dev: bool,
}

impl Server {
    pub(crate) fn run(&self, global: &Global) -> Done {
        if self.dev {
            return self.dev(global);
        }
        let options = ServeOptions {
            data: self.data.clone(),
            soft_key: self.soft_key.clone(),
            listen: self.listen.clone(),
            archives: None,
            pid_file: None,
        };
        Ok(holdfast_node::serve(&options, |address| serving(global, address))?)
    }

    fn dev(&self, global: &Global) -> Done {
        let options = DevOptions { home: self.data.clone(), listen: self.listen.clone() };
        let home = std::path::absolute(&self.data).unwrap_or_else(|_| self.data.clone());
        let made = |made: &Made, home: &Path| {
            if !global.quiet {
                _ = output::line(format!(
                    "made vault {} in {}\n\
                     custodian.asc is a throw-away custodian's secret key WITHOUT a passphrase.\n\
                     Never use --dev for keys that matter: everything that opens this vault lies in \
                     this one directory. Use holdfast init.",
                    made.vault_id,
                    home.display()
                ));
                super::init::first(made);
            }
        };
        let ready = |address| {
            serving(global, address);
            if !global.quiet {
                _ = output::line(format!("In a second terminal:\n  {}", export(&home)));
            }
        };
        Ok(holdfast_node::dev(&options, made, ready)?)
    }
}

fn serving(global: &Global, address: SocketAddr) {
    // That nobody reads it does not stop a server.
    if !global.quiet {
        _ = output::line(format!("serving on https://{address}"));
    }
}

/// One line to paste into a shell.
fn export(home: &Path) -> String {
    let binary = std::env::current_exe().ok();
    let directory = binary.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    let context = home.join("context.toml");
    format!(
        "export PATH={}:$PATH HOLDFAST_CONTEXT={}",
        quoted(&directory.display().to_string()),
        quoted(&context.display().to_string())
    )
}

/// For a POSIX shell, quoted where it must be.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@%:,".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(quoted("/a b"), "'/a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
