//! The page a custodian prints and keeps.

use std::fmt::Write as _;

use holdfast_machine::View;
use holdfast_types::VaultId;

use super::Service;
use crate::audit::Resource;
use crate::{Action, Caller, CustodianInfo, Error, Sheet};

impl Service {
    /// The page a custodian keeps.
    pub async fn sheet(&self, caller: &Caller) -> Result<Sheet, Error> {
        let call = self.enter(caller, Action::SheetRead, Resource::Text("sheet")).await?;
        let result = self.read(|view| self.sheet_of(view)).await;
        call.end(result)
    }

    fn sheet_of(&self, view: &dyn View) -> Result<Sheet, Error> {
        let fingerprint = self.signer_fingerprint(view)?;
        let custodians = super::custodians::all(view)?;
        let text = page(self.vault_id, &fingerprint, &custodians);
        Ok(Sheet { vault_id: self.vault_id, fingerprint, custodians, text })
    }
}

/// Lines of at most 80 characters, so that they print anywhere.
fn page(vault: VaultId, fingerprint: &str, custodians: &[CustodianInfo]) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    _ = write!(
        text,
        "HOLDFAST RECOVERY SHEET\n\
         Keep this page on paper, away from the vault. Nothing on it is secret.\n\n\
         Vault        {vault}\n\
         Signer       {}\n",
        groups(fingerprint)
    );
    text.push_str("Custodians\n");
    if custodians.is_empty() {
        text.push_str("  NONE. Nobody can open an archive of this vault.\n");
    }
    for custodian in custodians {
        _ = writeln!(text, "  {}\n    {}", custodian.name, groups(&custodian.fingerprint));
        if let Some(slot) = custodian.slot {
            _ = writeln!(text, "    slot {slot}");
        }
    }
    _ = write!(
        text,
        "\nTo restore, any one custodian needs: an archive (three files: NAME.tar.gpg,\n\
         NAME.json, NAME.json.sig), their OpenPGP secret key, and the signer above.\n\n\
         With this program, on a host without a vault:\n\
         \x20 holdfast verify NAME.tar.gpg --identity SECRET_KEY \\\n\
         \x20   --trust {fingerprint}\n\
         \x20 holdfast restore NAME.tar.gpg --identity SECRET_KEY \\\n\
         \x20   --trust {fingerprint} --data DIR\n\n\
         Without it, with gpg, tar and python3 (RECOVER.txt beside the archives):\n\
         \x20 gpg --show-keys cluster.pgp          # one \"pub\", the signer above: else stop\n\
         \x20 gpgv --keyring ./cluster.pgp NAME.json.sig NAME.json\n\
         \x20 sha256sum NAME.tar.gpg               # must be the one in NAME.json\n\
         \x20 mkdir -m700 x && gpg -o x/a.tar -d NAME.tar.gpg && cd x && tar xf a.tar\n\
         \x20 sha256sum -c SHA256SUMS && sha256sum SHA256SUMS && cat END\n\
         \x20 gpg -o slot.txt -d slots/*-SLOT.pgp  # yours: above, or ls slots\n\
         \x20 python3 recover.py . slot.txt\n"
    );
    text
}

/// A fingerprint in groups of four, as people compare them.
fn groups(fingerprint: &str) -> String {
    let chars: Vec<char> = fingerprint.chars().collect();
    let groups: Vec<String> = chars.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_what_a_custodian_needs_and_fits_paper() {
        let fingerprint = "0123456789abcdef0123456789abcdef01234567";
        let custodian = CustodianInfo {
            name: "anna".parse().unwrap(),
            custodian_id: holdfast_types::CustodianId([1; 16]),
            fingerprint: fingerprint.to_owned(),
            added: holdfast_types::Millis(0),
            expires: None,
            slot: Some(holdfast_types::SlotId([0xcd; 16])),
        };
        let text = page(VaultId([0xab; 16]), fingerprint, &[custodian]);
        assert!(text.contains("anna") && text.contains(&"cd".repeat(16)), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let text = page(VaultId([0xab; 16]), fingerprint, &[]);
        assert!(text.contains("0123 4567 89ab"));
        assert!(text.contains(&"ab".repeat(16)));
        assert!(text.contains("NONE"));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
