//! Replies of the hot path, written once into a buffer of their size.
//!
//! The fields are those of [`crate::wire`], in its order. A general serialiser would grow its buffer by
//! copying, which leaves pieces of plaintexts in freed memory, and would search every byte of base64
//! for something to escape. There is nothing: base64, hex digits, numbers and names have none of it.
//!
//! The buffer is wiped when HTTP lets go of it. What HTTP and TLS copy meanwhile is theirs.

use std::io::Write as _;

use axum::body::Body;
use axum::response::Response;
use base64_simd::STANDARD;
use bytes::Bytes;
use holdfast_service::{Decrypted, Encrypted, Generated};
use holdfast_types::{KeyId, Name, Version};
use http::StatusCode;

use crate::error::respond;
use crate::wiped::WipedVec;

/// As [`crate::wire::Encrypted`].
pub(crate) fn encrypted(done: &Encrypted) -> Response {
    let mut object = Object::with_room_for(done.ciphertext.len());
    object.base64("ciphertext", &done.ciphertext);
    object.key(done.key_id, done.version);
    object.response()
}

/// As [`crate::wire::Decrypted`].
pub(crate) fn decrypted(done: &Decrypted) -> Response {
    let mut object = Object::with_room_for(done.plaintext.len());
    object.base64("plaintext", done.plaintext.expose_secret());
    object.key(done.key_id, done.version);
    object.name("name", &done.name);
    object.name("enclave", &done.enclave);
    object.response()
}

/// As [`crate::wire::Generated`].
pub(crate) fn generated(done: &Generated) -> Response {
    let mut object = Object::with_room_for(done.plaintext.len() + done.ciphertext.len());
    object.base64("plaintext", done.plaintext.expose_secret());
    object.base64("ciphertext", &done.ciphertext);
    object.key(done.key_id, done.version);
    object.response()
}

/// Room for all that is not base64: field names, a key id, a version, two names.
const REST: usize = 320;

/// A JSON object (RFC 8259) that is being written.
struct Object(WipedVec);

impl Object {
    fn with_room_for(bytes: usize) -> Self {
        // Two paddings at most, as two byte strings are the most.
        Self(Vec::with_capacity(STANDARD.encoded_length(bytes) + 4 + REST).into())
    }

    fn field(&mut self, name: &str) {
        let before = if self.0.is_empty() { b'{' } else { b',' };
        self.0.push(before);
        self.quoted(name.as_bytes());
        self.0.push(b':');
    }

    fn quoted(&mut self, text: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
    }

    fn base64(&mut self, field: &str, bytes: &[u8]) {
        self.field(field);
        self.0.push(b'"');
        STANDARD.encode_append(bytes, &mut *self.0);
        self.0.push(b'"');
    }

    fn key(&mut self, id: KeyId, version: Version) {
        self.field("key_id");
        self.quoted(&id.text());
        self.field("version");
        // Writing to a Vec does not fail.
        _ = write!(self.0, "{version}");
    }

    fn name(&mut self, field: &str, name: &Name) {
        self.field(field);
        self.quoted(name.as_str().as_bytes());
    }

    fn response(mut self) -> Response {
        self.0.push(b'}');
        respond(StatusCode::OK, Body::from(Bytes::from_owner(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_types::limits::{NAME_BYTES_MAX, PLAINTEXT_BYTES_MAX};
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::wire::{self, Base64};

    const ID: KeyId = KeyId([0xab; 16]);

    async fn text(response: Response) -> Vec<u8> {
        let body = response.into_body().collect().await.expect("it is in memory");
        body.to_bytes().to_vec()
    }

    #[tokio::test]
    async fn replies_are_the_documented_ones() {
        for length in [0, 1, 2, 3, 32, 1024, PLAINTEXT_BYTES_MAX] {
            let bytes = vec![0xfb; length];
            let plaintext = || bytes.clone().into();
            let version = Version(u32::MAX);
            let name: Name = "x".repeat(NAME_BYTES_MAX).parse().expect("a name");
            let done = Encrypted { ciphertext: bytes.clone(), key_id: ID, version };
            let wire = wire::Encrypted {
                ciphertext: Base64(bytes.clone()),
                key_id: ID.to_string(),
                version: version.0,
            };
            assert_eq!(text(encrypted(&done)).await, serde_json::to_vec(&wire).unwrap());

            let done = Decrypted {
                plaintext: plaintext(),
                key_id: ID,
                version,
                name: name.clone(),
                enclave: name.clone(),
            };
            let wire = wire::Decrypted {
                plaintext: bytes.clone().into(),
                key_id: ID.to_string(),
                version: version.0,
                name: name.to_string(),
                enclave: name.to_string(),
            };
            assert_eq!(text(decrypted(&done)).await, serde_json::to_vec(&wire).unwrap());

            let done = Generated {
                plaintext: plaintext(),
                ciphertext: bytes.clone(),
                key_id: ID,
                version,
            };
            let wire = wire::Generated {
                plaintext: bytes.clone().into(),
                ciphertext: Base64(done.ciphertext.clone()),
                key_id: ID.to_string(),
                version: version.0,
            };
            assert_eq!(text(generated(&done)).await, serde_json::to_vec(&wire).unwrap());
        }
    }

    #[test]
    fn the_buffer_never_grows() {
        let bytes = [7; 100];
        let mut object = Object::with_room_for(bytes.len());
        let room = object.0.capacity();
        object.base64("plaintext", &bytes[..1]);
        object.base64("ciphertext", &bytes[1..]);
        object.key(ID, Version(u32::MAX));
        object.name("name", &"x".repeat(NAME_BYTES_MAX).parse().expect("a name"));
        object.name("enclave", &"x".repeat(NAME_BYTES_MAX).parse().expect("a name"));
        assert!(object.0.len() < room);
        assert_eq!(object.0.capacity(), room);
    }
}
