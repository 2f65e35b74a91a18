//! Backups that cannot be written where they should, and those made after them.

use crate::vault::Vault;

#[test]
fn a_backup_that_cannot_be_placed_is_in_nobodys_way() {
    let vault = Vault::start();
    let made = vault.run(&["backup", "--output", "first", "--quiet"], b"").expect(0).text();
    let name = made.strip_prefix("first/").unwrap().strip_suffix(".tar.gpg").unwrap();
    let (rest, revision) = name.rsplit_once('-').unwrap();
    let revision: u64 = revision.parse().unwrap();
    // The names that archives of the next revisions would have are taken.
    let taken = vault.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    for next in revision + 1..revision + 200 {
        std::fs::write(taken.join(format!("{rest}-{next:016}.tar.gpg")), b"").unwrap();
    }
    for _ in 0..5 {
        let refused = vault.run(&["backup", "--output", "taken"], b"").expect(12);
        assert!(refused.err.contains("already exists"), "{}", refused.err);
    }
    vault.run(&["backup", "--output", "second"], b"").expect(0);
    vault.audited(|line| line["action"] == "backup.cancel" && line["result"] == "ok");
}
