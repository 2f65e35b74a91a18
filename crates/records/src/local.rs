//! A node's own records: never replicated, never archived, no JSON form. A version byte, then postcard.

use holdfast_types::{ArchiveId, Generation, NodeId, SlotId, Table};
use serde::{Deserialize, Serialize};

use crate::{RecordError, body};

/// A node's own slot; a local record, never replicated or archived.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SoftSlot {
    /// Its id; names the key file.
    pub slot_id: SlotId,
    /// The generation it opens.
    pub generation: Generation,
    /// Where its key file lies.
    pub key_path: String,
    /// The sealed root.
    pub sealed: Vec<u8>,
}

/// Where a node listens; a local record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listen {
    /// `address:port` or `name:port`.
    pub addr: String,
}

/// Which node this is; a local record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Its id.
    pub node_id: NodeId,
    /// How often it was started.
    pub boot: u64,
}

/// Archives that a node saw on the disk of its data; a local record.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct SeenWithData {
    /// Their ids, those seen first first.
    pub archives: Vec<ArchiveId>,
}

/// The version of a node's own records.
const LOCAL_VERSION: u8 = 1;

macro_rules! local {
    ($($record:ident, $key:literal;)*) => {$(
        impl $record {
            /// Its key among the node's own rows.
            pub const KEY: &'static [u8] = $key;

            /// Its bytes: a version, then postcard.
            #[must_use]
            pub fn to_bytes(&self) -> Vec<u8> {
                let mut out = vec![LOCAL_VERSION];
                out.extend_from_slice(&body::encode(LOCAL_VERSION, self).bytes);
                out
            }

            /// Reads it back.
            ///
            /// Errors: a version newer than this program, bytes that are no such record, bytes left over.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
                let table = Table::LOCAL_NODE;
                match bytes {
                    [LOCAL_VERSION, body @ ..] => body::decode(table, body),
                    [schema, ..] => Err(RecordError::Schema { table, schema: *schema }),
                    [] => Err(RecordError::Body(table)),
                }
            }
        }
    )*};
}

local! {
    SoftSlot, b"soft-slot";
    Listen, b"listen";
    NodeIdentity, b"node";
    SeenWithData, b"seen-with-data";
}
