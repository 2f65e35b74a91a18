//! Node ids are 64 random bits: 16 hex digits in JSON, where a number would not be exact.

use holdfast_types::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) fn serialize<S: Serializer>(node: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
    format!("{:016x}", node.0).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
    let text = String::deserialize(deserializer)?;
    let id = u64::from_str_radix(&text, 16).map(NodeId).map_err(de::Error::custom)?;
    if id.to_string() == text {
        Ok(id)
    } else {
        Err(de::Error::custom("not 16 lower-case hex digits"))
    }
}
