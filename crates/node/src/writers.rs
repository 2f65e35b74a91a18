//! Who else may change the data. Whoever can is an administrator at the next start (`formats/keys.md`, section 6).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use holdfast_service::{Level, Warning};

/// How many files are looked at: a start must not wait for a directory that somebody filled.
const FILES_MAX: usize = 10_000;

/// Weak points where others than who runs the server may change the data directory, or what lies in it. Of the
/// archives only their directory counts: they are signed.
pub(crate) fn others(data: &Path, archives: &Path) -> Vec<Warning> {
    others_than(rustix::process::geteuid().as_raw(), data, archives)
}

fn others_than(us: u32, data: &Path, archives: &Path) -> Vec<Warning> {
    let (mut writable, mut foreign) = (Vec::new(), Vec::new());
    let mut left = FILES_MAX;
    walk(data, archives, &mut left, &mut |path, found| {
        // A link is what it leads to, which is looked at by its own name.
        if found.mode() & 0o022 != 0 && !found.is_symlink() {
            writable.push(path.to_owned());
        }
        // Root may change everything in any case.
        if ![0, us].contains(&found.uid()) {
            foreign.push(path.to_owned());
        }
    });
    let shown = data.display();
    let tell = |paths: &[PathBuf], what: &str, next: String| {
        let (first, more) = paths.split_first()?;
        let more =
            if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
        let what = format!(
            "{what} {}{more}: whoever changes the data is an administrator at the next start",
            first.display()
        );
        Some(Warning { level: Level::Warning, what, next })
    };
    let chmod = format!("chmod -R go-w {shown}");
    let chown = format!("chown -R -h {us} {shown}");
    let found = [
        tell(&writable, "group or others may write", chmod),
        tell(&foreign, "another user owns", chown),
    ];
    found.into_iter().flatten().collect()
}

/// Hands over `path` and all that lies in it. What cannot be looked at is left out: a start fails by itself where
/// it needs that.
fn walk(path: &Path, archives: &Path, left: &mut usize, each: &mut impl FnMut(&Path, &Metadata)) {
    let Ok(found) = path.symlink_metadata() else { return };
    let Some(fewer) = left.checked_sub(1) else { return };
    *left = fewer;
    each(path, &found);
    // Directories that are links count: state and log may lie on another disk.
    if path == archives || !path.is_dir() {
        return;
    }
    if found.is_symlink()
        && let Ok(real) = path.metadata()
    {
        each(path, &real);
    }
    let entries = path.read_dir().into_iter().flatten().flatten();
    entries.for_each(|entry| walk(&entry.path(), archives, left, each));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn us() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn told(data: &Path) -> Vec<String> {
        let found = others_than(us(), data, &data.join("archives"));
        found.into_iter().map(|found| format!("{}; {}", found.what, found.next)).collect()
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_is_named_with_what_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for sub in ["state", "archives"] {
            std::fs::create_dir_all(data.join(sub)).unwrap();
        }
        let (file, archive) = (data.join("state/db"), data.join("archives/a.tar.gpg"));
        for path in [&file, &archive] {
            std::fs::write(path, b"x").unwrap();
            set(path, 0o644);
        }
        for path in [&data, &data.join("state"), &data.join("archives")] {
            set(path, 0o755);
        }
        assert_eq!(told(&data), Vec::<String>::new());
        // An archive is signed.
        set(&archive, 0o666);
        assert_eq!(told(&data), Vec::<String>::new());
        let chmod = format!("; chmod -R go-w {}", data.display());
        for (path, mode, fine) in
            [(&data, 0o775, 0o755), (&data.join("archives"), 0o757, 0o755), (&file, 0o660, 0o600)]
        {
            set(path, mode);
            let told = told(&data);
            assert_eq!(told.len(), 1, "{told:?}");
            let begin = format!("group or others may write {}: ", path.display());
            assert!(told[0].starts_with(&begin) && told[0].ends_with(&chmod), "{told:?}");
            set(path, fine);
        }
        set(&data, 0o777);
        set(&file, 0o666);
        assert!(told(&data)[0].contains(" (and 1 more): "), "{:?}", told(&data));
    }

    #[test]
    fn a_link_is_where_it_leads() {
        let dir = tempfile::tempdir().unwrap();
        let (data, elsewhere) = (dir.path().join("data"), dir.path().join("elsewhere"));
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        set(&data, 0o700);
        set(&elsewhere, 0o700);
        symlink(&elsewhere, data.join("log")).unwrap();
        assert_eq!(told(&data), Vec::<String>::new());
        set(&elsewhere, 0o770);
        assert_eq!(told(&data).len(), 1);
    }

    #[test]
    fn another_owner_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_owned();
        let found = others_than(us() + 1, &data, &data.join("archives"));
        // Root's are nobody else's.
        assert_eq!(found.len(), usize::from(us() != 0), "{found:?}");
        if us() != 0 {
            return;
        }
        let file = data.join("db");
        std::fs::write(&file, b"x").unwrap();
        chown(&file, Some(65_534), None).unwrap();
        let told = told(&data);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("another user owns {}: ", file.display())));
        assert!(told[0].ends_with(&format!("; chown -R -h 0 {}", data.display())), "{told:?}");
    }
}
