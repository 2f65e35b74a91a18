//! Fields that stand in row keys: fixed width and big-endian, a name last.

use holdfast_types::{
    ArchiveId, CustodianId, EnclaveId, Generation, IdentityId, JobId, KeyId, Name, NodeId,
    SecretId, SlotId, Version,
};

/// A field of a row key.
pub(crate) trait KeyPart: Sized + serde::Serialize + serde::de::DeserializeOwned {
    fn write(&self, out: &mut Vec<u8>);
    /// Takes it from the front; a name takes all.
    fn read(from: &mut &[u8]) -> Option<Self>;
    /// Its form in JSON.
    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::to_value(self)
    }
    fn from_json(value: &serde_json::Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(value)
    }
}

macro_rules! id_parts {
    ($($id:ident),*) => {$(
        impl KeyPart for $id {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn read(from: &mut &[u8]) -> Option<Self> {
                let (head, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self(*head))
            }
        }
    )*};
}

id_parts!(ArchiveId, CustodianId, EnclaveId, IdentityId, JobId, KeyId, SecretId, SlotId);

macro_rules! number_parts {
    ($($number:ty, $new:expr, $get:expr;)*) => {$(
        impl KeyPart for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&$get(*self).to_be_bytes());
            }
            fn read(from: &mut &[u8]) -> Option<Self> {
                let (head, rest) = from.split_first_chunk()?;
                *from = rest;
                Some($new(*head))
            }
        }
    )*};
}

number_parts! {
    u32, u32::from_be_bytes, |n: u32| n;
    u64, u64::from_be_bytes, |n: u64| n;
    Version, |b| Version(u32::from_be_bytes(b)), |v: Version| v.0;
    Generation, |b| Generation(u32::from_be_bytes(b)), |g: Generation| g.0;
}

/// Any id, where the kind of thing stands beside it.
impl KeyPart for [u8; 16] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(from: &mut &[u8]) -> Option<Self> {
        let (head, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(*head)
    }
    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        crate::hex::serialize(self, serde_json::value::Serializer)
    }
    fn from_json(value: &serde_json::Value) -> Result<Self, serde_json::Error> {
        crate::hex::deserialize(value)
    }
}

impl KeyPart for NodeId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
    fn read(from: &mut &[u8]) -> Option<Self> {
        let (head, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(Self(u64::from_be_bytes(*head)))
    }
    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        crate::node::serialize(self, serde_json::value::Serializer)
    }
    fn from_json(value: &serde_json::Value) -> Result<Self, serde_json::Error> {
        crate::node::deserialize(value)
    }
}

impl KeyPart for Name {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
    fn read(from: &mut &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(std::mem::take(from)).ok()?;
        text.parse().ok()
    }
}
