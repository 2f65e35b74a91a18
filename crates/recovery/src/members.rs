//! Which members an archive has, in which order, and the two that close it.

use holdfast_crypto::{Sha256, sha256};
use holdfast_records::tables;
use holdfast_types::limits::MEMBERS_MAX;
use holdfast_types::{Table, hex};

use crate::ArchiveError;
use crate::give_way::{PIECE_BYTES, give_way};

pub const README: &str = "README.txt";
pub const RECOVER: &str = "recover.py";
pub const MANIFEST: &str = "manifest.json";
pub const CLUSTER: &str = "cluster.pgp";
pub const SUMS: &str = "SHA256SUMS";
pub const END: &str = "END";

/// The name of a member of records. Numbers start at 1 in each table.
pub fn records(table: &str, number: u32) -> String {
    format!("records/{table}-{number:06}.ndjson")
}

/// The tables of archives, ascending.
pub fn archived_tables() -> impl Iterator<Item = (Table, &'static str)> {
    let archived = |table: Table| table.class() == holdfast_types::TableClass::Archived;
    tables().iter().filter(move |info| archived(info.table)).map(|info| (info.table, info.name))
}

/// SHA-256 of a member, which may be large.
fn hash(data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for piece in data.chunks(PIECE_BYTES) {
        give_way();
        hash.update(piece);
    }
    hash.finish()
}

/// The sums of the members so far: what `sha256sum -c SHA256SUMS` reads.
#[derive(Default)]
pub struct Sums {
    text: String,
    count: usize,
}

impl Sums {
    /// Counts a member in.
    pub fn add(&mut self, name: &str, data: &[u8]) -> Result<(), ArchiveError> {
        if self.count == MEMBERS_MAX {
            return Err(ArchiveError::damaged(format!("more than {MEMBERS_MAX} members")));
        }
        self.count += 1;
        self.text.push_str(&hex::encode(&hash(data)));
        self.text.push_str("  ");
        self.text.push_str(name);
        self.text.push('\n');
        Ok(())
    }

    /// The data of `SHA256SUMS`.
    pub fn sums(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The data of `END`.
    pub fn end(&self) -> Vec<u8> {
        let hash = hex::encode(&sha256(self.sums()));
        format!("holdfast-end-v1 {} {hash}\n", self.count).into_bytes()
    }
}
