//! Replies of the hot path, written once into a buffer of their size.
//!
//! The fields are those of [`crate::wire`], in its order. A general serialiser would grow its buffer by
//! copying, which leaves pieces of plaintexts in freed memory, and would search every byte of base64
//! for something to escape. There is nothing: base64, hex digits, numbers and names have none of it.
//!
//! The buffer is wiped when HTTP lets go of it. What HTTP and TLS copy meanwhile is theirs.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use data_encoding::BASE64;
use holdfast_service::{Decrypted, Encrypted, Generated};
use holdfast_types::{KeyId, Name, Version};
use http::StatusCode;
use zeroize::Zeroizing;

use crate::error::respond;

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
    object.base64("plaintext", &done.plaintext);
    object.key(done.key_id, done.version);
    object.name("name", &done.name);
    object.name("enclave", &done.enclave);
    object.response()
}

/// As [`crate::wire::Generated`].
pub(crate) fn generated(done: &Generated) -> Response {
    let mut object = Object::with_room_for(done.plaintext.len() + done.ciphertext.len());
    object.base64("plaintext", &done.plaintext);
    object.base64("ciphertext", &done.ciphertext);
    object.key(done.key_id, done.version);
    object.response()
}

/// Room for all that is not base64: field names, a key id, a version, two names.
const REST: usize = 320;

/// A JSON object (RFC 8259) that is being written.
struct Object(Zeroizing<Vec<u8>>);

impl Object {
    fn with_room_for(bytes: usize) -> Self {
        // Two paddings at most, as two byte strings are the most.
        Self(Zeroizing::new(Vec::with_capacity(BASE64.encode_len(bytes) + 4 + REST)))
    }

    fn field(&mut self, name: &str) {
        let before = if self.0.is_empty() { b'{' } else { b',' };
        self.0.push(before);
        self.quoted(name);
        self.0.push(b':');
    }

    fn quoted(&mut self, text: &str) {
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    fn base64(&mut self, field: &str, bytes: &[u8]) {
        self.field(field);
        self.0.push(b'"');
        let start = self.0.len();
        self.0.resize(start + BASE64.encode_len(bytes.len()), 0);
        BASE64.encode_mut(bytes, &mut self.0[start..]);
        self.0.push(b'"');
    }

    fn key(&mut self, id: KeyId, version: Version) {
        self.field("key_id");
        self.quoted(&id.to_string());
        self.field("version");
        self.0.extend_from_slice(version.to_string().as_bytes());
    }

    fn name(&mut self, field: &str, name: &Name) {
        self.field(field);
        self.quoted(name.as_str());
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
    use crate::wire::{self, Base64, SecretBase64};

    const ID: KeyId = KeyId([0xab; 16]);

    async fn text(response: Response) -> Vec<u8> {
        let body = response.into_body().collect().await.expect("it is in memory");
        body.to_bytes().to_vec()
    }

    #[tokio::test]
    async fn replies_are_the_documented_ones() {
        for length in [0, 1, 2, 3, 32, 1024, PLAINTEXT_BYTES_MAX] {
            let bytes = vec![0xfb; length];
            let plaintext = Zeroizing::new(bytes.clone());
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
                plaintext: plaintext.clone(),
                key_id: ID,
                version,
                name: name.clone(),
                enclave: name.clone(),
            };
            let wire = wire::Decrypted {
                plaintext: SecretBase64(plaintext.clone()),
                key_id: ID.to_string(),
                version: version.0,
                name: name.to_string(),
                enclave: name.to_string(),
            };
            assert_eq!(text(decrypted(&done)).await, serde_json::to_vec(&wire).unwrap());

            let done =
                Generated { plaintext: plaintext.clone(), ciphertext: bytes, key_id: ID, version };
            let wire = wire::Generated {
                plaintext: SecretBase64(plaintext),
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
