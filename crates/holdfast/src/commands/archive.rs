//! `holdfast archive ...`

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::{Client, segment};

use crate::Done;
use crate::cli::Global;
use crate::output::{self, revision, when};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  holdfast archive ls
  holdfast archive show archives/NAME.tar.gpg")]
pub(crate) enum Archive {
    /// List archives, newest first
    #[command(after_help = "Example: holdfast archive ls")]
    Ls,
    /// Show an archive and how far it is proved: written, stored, verified, drilled
    #[command(after_help = "Example: holdfast archive show archives/NAME.tar.gpg")]
    Show {
        /// Its name, with or without directory and extension, or its id
        which: String,
    },
}

impl Archive {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Ls => list(global, &client.get("/archives").await?),
            Self::Show { which } => {
                let path = format!("/archives/{}", segment(which));
                show(global, &client.get(&path).await?)
            }
        }
    }
}

/// The furthest state an archive has come to, where it is still there.
pub(crate) fn proved(archive: &wire::Archive) -> &'static str {
    match archive {
        wire::Archive { gone: true, .. } => "gone",
        wire::Archive { drilled: Some(_), drilled_full: true, .. } => "full drill",
        wire::Archive { drilled: Some(_), .. } => "byte drill",
        wire::Archive { verified: Some(_), .. } => "verified",
        wire::Archive { stored: Some(_), .. } => "stored",
        wire::Archive { written: Some(_), .. } => "written",
        _ => "unfinished",
    }
}

fn list(global: &Global, list: &wire::Archives) -> Done {
    if global.json {
        return output::json(list);
    }
    if global.quiet {
        return list.archives.iter().try_for_each(|archive| output::line(&archive.name));
    }
    let row = |archive: &wire::Archive| {
        vec![
            archive.name.clone(),
            revision(archive.to),
            archive.size.to_string(),
            proved(archive).to_owned(),
            archive.place.clone(),
        ]
    };
    let rows: Vec<_> = list.archives.iter().map(row).collect();
    output::table(&["NAME", "REVISION", "SIZE", "PROVED", "PLACE"], &rows)
}

fn show(global: &Global, archive: &wire::Archive) -> Done {
    if global.json {
        return output::json(archive);
    }
    if global.quiet {
        return output::line(&archive.name);
    }
    let at = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), when);
    let how = match archive.drilled {
        Some(_) if archive.drilled_full => " (full)",
        Some(_) => " (byte)",
        None => "",
    };
    let gone = if archive.gone { ", where it no longer is" } else { "" };
    let by = match archive.stored_by.as_deref() {
        Some("vault") => ", read back by the vault".to_owned(),
        Some(who) => format!(", as reported by {who}"),
        None => String::new(),
    };
    output::line(format!(
        "name        {}\narchive_id  {}\nrevision    {}\nsize        {}\nsha256      {}\n\
         place       {}{gone}\ncustodians  {}\nwritten     {}\nstored      {}{by}\nverified    {}\n\
         drilled     {}{how}",
        archive.name,
        archive.archive_id,
        revision(archive.to),
        archive.size,
        archive.sha256,
        archive.place,
        archive.custodians.join(" "),
        at(archive.written),
        at(archive.stored),
        at(archive.verified),
        at(archive.drilled),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_drill_is_not_taken_for_a_full_one() {
        let check = |change: fn(&mut wire::Archive), want| {
            let mut archive = wire::Archive {
                archive_id: String::new(),
                name: String::new(),
                from: 0,
                to: 9,
                sha256: String::new(),
                size: 1,
                written: Some(1),
                stored: Some(1),
                stored_by: None,
                verified: Some(1),
                drilled: None,
                drilled_full: false,
                gone: false,
                place: String::new(),
                custodians: Vec::new(),
            };
            change(&mut archive);
            assert_eq!(proved(&archive), want);
        };
        check(|_| (), "verified");
        check(|archive| archive.drilled = Some(1), "byte drill");
        check(|archive| (archive.drilled, archive.drilled_full) = (Some(1), true), "full drill");
        check(|archive| archive.gone = true, "gone");
    }
}
