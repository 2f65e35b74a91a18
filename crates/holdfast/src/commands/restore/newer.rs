//! Newer archives of the vault that is restored: what they took away stays away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast_fs::{Disk, read_to_vec};
use holdfast_recovery::{ArchiveError, ArchiveFiles, Public, Signed, Trust, check_json};
use holdfast_types::limits::MANIFEST_BYTES_MAX;

use super::report::PassedOver;
use crate::commands::offline::now;
use crate::output::{revision, when};

/// Newer archives of the vault that is restored, and those of other restores, which are neither newer nor older.
#[derive(Default)]
pub(super) struct Newer {
    /// The newest first, where they compare; the signatures of their JSON hold, their tars were not looked at.
    pub(super) archives: Vec<(ArchiveFiles, Signed)>,
    /// Others, which are of no use, and directories that could not be looked into.
    pub(super) passed_over: Vec<PassedOver>,
}

impl Newer {
    /// The archives of the same vault and signer beside `archive` or in `also` whose removals count here.
    pub(super) fn find(archive: &Path, also: &[PathBuf], signed: &Signed) -> Self {
        let beside = archive.parent().filter(|dir| !dir.as_os_str().is_empty());
        let beside = beside.unwrap_or(Path::new("."));
        let mut newer = Self::default();
        let mut seen = BTreeSet::new();
        for dir in also.iter().map(PathBuf::as_path).chain([beside]) {
            if !seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.to_owned())) {
                continue;
            }
            match std::fs::read_dir(dir) {
                Ok(entries) => {
                    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
                    paths.sort();
                    paths.iter().for_each(|path| look_at(path, signed, &mut newer));
                }
                Err(error) => newer.pass_over(dir, format!("it cannot be read: {error}")),
            }
        }
        // By epoch, that is, then by revision.
        newer.archives.sort_by_key(|(_, signed)| std::cmp::Reverse(signed.public.to));
        newer
    }

    /// Names what is passed over, the newest one, and the newest one that is neither newer nor older than what is
    /// restored.
    pub(super) fn lines(&self, public: &Public, quiet: bool) -> Vec<String> {
        let archives = || self.archives.iter().map(|(_, signed)| &signed.public);
        let is_apart = |other: &&Public| {
            other.epoch == public.epoch && other.incarnation != public.incarnation
        };
        let passed_over = self.passed_over.iter();
        let mut lines: Vec<_> =
            passed_over.map(|over| format!("{} is passed over: {}", over.path, over.why)).collect();
        match (archives().next(), self.passed_over.is_empty()) {
            (Some(_), _) => {}
            (None, false) => {
                lines.push("nothing is carried from newer archives of this vault".to_owned());
            }
            (None, true) if quiet => {}
            (None, true) => lines.push("no newer archive of this vault was found".to_owned()),
        }
        if let Some(newest) = archives().find(|other| !is_apart(other)) {
            lines.push(format!(
                "the newest archive of this vault is NEWER: {}. What newer ones deleted stays deleted, where \
                 they open; what was added since is not restored",
                place(newest)
            ));
        }
        if let Some(apart) = archives().find(is_apart) {
            lines.push(format!(
                "there are archives of another restore of this vault, neither newer nor older: {}. What was \
                 deleted there is deleted here, too, where they open; --revive KEY_ID leaves a key as it is",
                place(apart)
            ));
        }
        lines
    }

    fn pass_over(&mut self, path: &Path, why: impl std::fmt::Display) {
        self.passed_over.push(PassedOver::new(path, why));
    }
}

/// Which one it is, for people.
fn place(other: &Public) -> String {
    format!("{}, revision {} of {}", other.file, revision(other.to.0), when(other.created.0))
}

/// Takes a file's archive for one whose removals count, where it is that. What cannot be read and is one by
/// its name is told: somebody may want to mend it before anything that was taken away comes back.
fn look_at(path: &Path, signed: &Signed, newer: &mut Newer) {
    let public = &signed.public;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let here = public.name();
    let by_name = || here.heeds_file(&name);
    let files = ArchiveFiles::of(path);
    if *path == files.tar && !files.json.exists() && by_name() {
        newer.pass_over(path, format!("{} is not there", files.json.display()));
    }
    if *path != files.json {
        return;
    }
    let read = read_to_vec(&Disk, path, MANIFEST_BYTES_MAX).map_err(ArchiveError::from);
    match read.and_then(|bytes| Public::from_bytes(&bytes)) {
        Err(error) if by_name() => newer.pass_over(path, error),
        Err(_) => {}
        Ok(other) if !here.heeds(&other.name()) => {}
        Ok(_) => match check_json(&Disk, &files, &Trust::Fingerprint(signed.signer.clone()), now())
        {
            Ok(other) => newer.archives.push((files, other)),
            Err(error) => newer.pass_over(path, error),
        },
    }
}
