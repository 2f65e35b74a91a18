//! `holdfast server`

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use holdfast_client::Context;
use holdfast_node::{DevOptions, Event, Made, ServeOptions, Serving};
use holdfast_types::Kind;

use super::init::{MadeJson, failed, first};
use super::must_be_a_directory;
use crate::Done;
use crate::cli::Global;
use crate::output;

/// Serve a vault until SIGTERM or SIGINT
///
/// It never makes one: an empty directory where a vault should be, such as a disk that failed to mount, is
/// an error that names the restore command. Only --dev makes one, for trying out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast server --data /srv/vault
  holdfast server --data /srv/vault --soft-key /mnt/stick/soft.key
  holdfast server --dev --data demo      everything that opens this vault lies in demo: never for
                                         keys that matter

Connections: as many as half of the files that the system lends (ulimit -n), at most 4096. Three
quarters are for callers that the vault knows, half of those for one identity; where places are
short whoever has most loses the connection that is silent longest. Known callers may be silent for
5 minutes, strangers for 10 seconds. Request bodies above 16 KiB share 64 MiB of memory, those of one
identity 16 MiB; a body that brings less than 32 KiB a second is given up after 10 seconds.")]
pub(crate) struct Server {
    /// The data directory of a vault; with --dev, the directory of everything
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the soft key lies now; where it lay last time if nothing is said
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    soft_key: Option<PathBuf>,
    /// Where to listen, from now on: an address of this host, a name that leads to one, or :PORT for all
    /// of IPv4; at first 127.0.0.1:7373
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// For trying out: make a vault where there is none, with a throw-away custodian
    #[arg(long)]
    dev: bool,
}

/// What `--json` says once the address answers.
#[derive(serde::Serialize)]
struct ServingJson {
    address: String,
    listen: String,
    names: Vec<String>,
    data: String,
    made: Option<MadeJson>,
    export: Option<String>,
}

impl Server {
    pub(crate) fn run(&self, global: &Global) -> Done {
        must_be_a_directory(&self.data, Kind::NoVault)?;
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
        Ok(holdfast_node::serve(&options, &mut |event| match event {
            Event::Serving(serving) => self.serving(global, serving, None, None),
            Event::Stopping { calls, wait } => stopping(global, calls, wait),
        })?)
    }

    fn dev(&self, global: &Global) -> Done {
        let options = DevOptions { home: self.data.clone(), listen: self.listen.clone() };
        let home = std::path::absolute(&self.data).unwrap_or_else(|_| self.data.clone());
        let new = RefCell::new(None);
        let made = |made: &Made, home: &Path| {
            new.replace(Some(MadeJson::of(made)));
            if global.quiet {
                failed(made).iter().for_each(output::note);
            } else if !global.json {
                _ = output::line(introduction(made, home));
            }
        };
        Ok(holdfast_node::dev(&options, &made, &mut |event| match event {
            Event::Serving(serving) => {
                self.serving(global, serving, new.take(), Some(export(&home)));
            }
            Event::Stopping { calls, wait } => stopping(global, calls, wait),
        })?)
    }

    /// Says that it serves. That nobody reads it does not stop a server.
    fn serving(
        &self,
        global: &Global,
        serving: Serving,
        made: Option<MadeJson>,
        export: Option<String>,
    ) {
        let Serving { vault_id, address, listen, names } = serving;
        if global.json {
            let (data, listen) = (self.data.display().to_string(), listen.to_string());
            _ = output::json(&ServingJson { address, listen, names, data, made, export });
            return;
        }
        if global.quiet {
            _ = output::line(address);
            return;
        }
        _ = output::line(format!("serving on {address}"));
        if address != format!("https://{listen}") {
            _ = output::line(format!("  at {listen}, by the names {}", names.join(", ")));
        }
        match export {
            Some(export) => _ = output::line(format!("In a second terminal:\n  {export}")),
            None => _ = self.moved(global, &vault_id.to_string(), &address).map(output::line),
        }
    }

    /// What clients need to know of another address than they knew.
    fn moved(&self, global: &Global, vault_id: &str, address: &str) -> Option<String> {
        let use_it =
            format!("clients use HOLDFAST_SERVER={address}, or `server` in their context file");
        let path = global.context().or_else(holdfast_client::default_path);
        let known = path.and_then(|path| Some((Context::read(&path).ok()?, path)));
        match known.filter(|(context, _)| context.vault_id == vault_id) {
            Some((context, path)) if context.server != address => {
                Some(format!("  {} says {}: {use_it}", path.display(), context.server))
            }
            None if self.listen.is_some() => Some(format!("  {use_it}")),
            _ => None,
        }
    }
}

/// That a stop takes its time.
fn stopping(global: &Global, calls: usize, wait: Duration) {
    if !global.quiet && !global.json {
        output::note(format!(
            "stopping: waiting up to {} s for {}; Ctrl-C again stops now",
            wait.as_secs(),
            match calls {
                0 => "connections".to_owned(),
                1 => "1 call".to_owned(),
                more => format!("{more} calls"),
            }
        ));
    }
}

/// What somebody who tries it out should know.
fn introduction(made: &Made, home: &Path) -> String {
    format!(
        "made vault {} in {}\n{}\n\
         custodian.asc is a throw-away custodian's secret key WITHOUT a passphrase.\n\
         Never use --dev for keys that matter: everything that opens this vault lies in this one \
         directory,\nand one `rm` takes the keys and the archives. For those: holdfast init.",
        made.vault_id,
        home.display(),
        [first(made), failed(made)].concat().join("\n"),
    )
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
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
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
        assert_eq!(quoted(""), "''");
    }
}
