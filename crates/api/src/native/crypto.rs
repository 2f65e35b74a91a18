//! Encrypt, decrypt, generate: the hot path. Nothing here awaits unless a record is missing.

use holdfast_service::{Action, Decrypt, Encrypt, Generate};
use holdfast_types::Name;

use crate::error::{Answer, Reply};
use crate::extract::{Body, Call, Path};
use crate::wire::{self, Base64, SecretBase64};

pub(crate) async fn encrypt(
    call: Call,
    Path((enclave, key)): Path<(String, String)>,
    body: Body,
) -> Answer<wire::Encrypted> {
    let action = Action::KeyEncrypt;
    let request: wire::Encrypt = call.body(action, &key, body)?;
    let (enclave, key) = (call.name(action, &enclave)?, call.name(action, &key)?);
    let (plaintext, context) = (&request.plaintext.0[..], &request.context.0[..]);
    let request = Encrypt { enclave: &enclave, key: &key, context, plaintext };
    let done = call.service.encrypt(&call.caller, request).await?;
    Ok(Reply(wire::Encrypted {
        ciphertext: Base64(done.ciphertext),
        key_id: done.key_id.to_string(),
        version: done.version.0,
    }))
}

pub(crate) async fn decrypt_with(
    call: Call,
    Path((enclave, key)): Path<(String, String)>,
    body: Body,
) -> Answer<wire::Decrypted> {
    let action = Action::KeyDecrypt;
    let request = call.body(action, &key, body)?;
    let names = (call.name(action, &enclave)?, call.name(action, &key)?);
    decrypt_any(&call, Some((&names.0, &names.1)), &request).await
}

pub(crate) async fn decrypt(call: Call, body: Body) -> Answer<wire::Decrypted> {
    let request = call.body(Action::KeyDecrypt, "", body)?;
    decrypt_any(&call, None, &request).await
}

async fn decrypt_any(
    call: &Call,
    key: Option<(&Name, &Name)>,
    request: &wire::Decrypt,
) -> Answer<wire::Decrypted> {
    let (context, ciphertext) = (&request.context.0[..], &request.ciphertext.0[..]);
    let done = call.service.decrypt(&call.caller, Decrypt { key, context, ciphertext }).await?;
    Ok(Reply(wire::Decrypted {
        plaintext: SecretBase64(done.plaintext),
        key_id: done.key_id.to_string(),
        version: done.version.0,
        name: Some(done.name.to_string()),
    }))
}

pub(crate) async fn generate(
    call: Call,
    Path((enclave, key)): Path<(String, String)>,
    body: Body,
) -> Answer<wire::Generated> {
    let action = Action::KeyGenerate;
    let request: wire::Generate = call.body(action, &key, body)?;
    let (enclave, key) = (call.name(action, &enclave)?, call.name(action, &key)?);
    let request = Generate { enclave: &enclave, key: &key, context: &request.context.0 };
    let done = call.service.generate(&call.caller, request).await?;
    Ok(Reply(wire::Generated {
        plaintext: SecretBase64(done.plaintext),
        ciphertext: Base64(done.ciphertext),
        key_id: done.key_id.to_string(),
        version: done.version.0,
    }))
}
