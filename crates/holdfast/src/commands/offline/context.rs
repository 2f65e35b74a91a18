//! The client context of a command that goes on without one.

use std::path::Path;

use holdfast_client::{ClientError, Context, default_path};
use holdfast_types::Kind;

use crate::cli::Global;
use crate::output::{self, Failure};

/// A client context, and where it was found.
pub(crate) struct Known {
    pub(crate) context: Context,
    /// For people: the file's path, or what the environment says.
    pub(crate) place: String,
}

/// The context, or why there is none; a note says so, unless nobody said that there should be one.
pub(crate) fn context(global: &Global) -> Result<Known, Failure> {
    let (is_expected, found) = look(global);
    if let (true, Err(failed)) = (is_expected, &found) {
        let what = match failed.kind {
            Kind::NotFound => "goes on without a client context",
            _ => "the client context is passed over",
        };
        output::note(format!("{what}: {failed}"));
    }
    Ok(found?)
}

/// The context, for whoever needs none.
pub(crate) fn context_if_any(global: &Global) -> Option<Known> {
    look(global).1.ok()
}

/// Looks for it, and says whether there should be one.
fn look(global: &Global) -> (bool, Result<Known, ClientError>) {
    let named = global.context();
    let usual = default_path().filter(|path| path.exists());
    let is_expected = named.is_some() || usual.is_some() || is_set("HOLDFAST_SERVER");
    let place = match named.as_deref().or(usual.as_deref()).map(Path::display) {
        Some(path) => path.to_string(),
        None => "the environment".to_owned(),
    };
    let found = Context::load(named.as_deref()).map(|context| Known { context, place });
    (is_expected, found)
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}
