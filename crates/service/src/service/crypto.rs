//! The hot path: encrypt, decrypt, generate. Nothing here waits unless a record is missing on this node.

use std::sync::Arc;

use holdfast_keyring::ciphertext;
use holdfast_keys::{Operation, check_use};
use holdfast_types::limits::{CIPHERTEXT_OVERHEAD, CONTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use holdfast_types::{KeyId, Kind};

use super::Service;
use super::caches::KeyEntry;
use super::enter::Actor;
use super::said::Used;
use crate::audit::Resource;
use crate::{Action, Caller, Decrypt, Decrypted, Encrypt, Encrypted, Error, Generate, Generated};

impl Service {
    /// Encrypts under the newest version.
    pub async fn encrypt(&self, caller: &Caller, request: Encrypt<'_>) -> Result<Encrypted, Error> {
        let resource = Resource::Within(request.enclave.as_str(), request.key.as_str());
        let call = self.enter(caller, Action::KeyEncrypt, resource).await?;
        let result = self.again_if_missing(|| self.encrypt_here(&request)).await;
        let used = result.as_ref().ok().map(|done| Used::new(done.key_id, done.version));
        call.end_as(resource, used.as_ref().map_or("", Used::as_str), result)
    }

    /// Makes a data key and encrypts it under the newest version.
    pub async fn generate(
        &self,
        caller: &Caller,
        request: Generate<'_>,
    ) -> Result<Generated, Error> {
        let resource = Resource::Within(request.enclave.as_str(), request.key.as_str());
        let call = self.enter(caller, Action::KeyGenerate, resource).await?;
        let result = self.again_if_missing(|| self.generate_here(&request)).await;
        let used = result.as_ref().ok().map(|done| Used::new(done.key_id, done.version));
        call.end_as(resource, used.as_ref().map_or("", Used::as_str), result)
    }

    /// Decrypts with the key that the ciphertext names, where the caller may use that key. Whoever may
    /// not learns its id from the ciphertext, and no more.
    pub async fn decrypt(&self, caller: &Caller, request: Decrypt<'_>) -> Result<Decrypted, Error> {
        let asked = match request.key {
            Some((enclave, name)) => Resource::Within(enclave.as_str(), name.as_str()),
            None => Resource::Text("by ciphertext"),
        };
        let call = self.enter_unnamed(caller, Action::KeyDecrypt, asked).await?;
        let wanted = self.again_if_missing(|| self.wanted(&call.actor, &request)).await;
        let (entry, header) = match wanted {
            Ok(found) => found,
            Err(error) => return call.end(Err(error)),
        };
        let decrypt = || self.decrypt_here(&entry, &header, &request);
        let result = self.again_if_missing(decrypt).await;
        let resource = Resource::Within(entry.enclave.as_str(), entry.key.name.as_str());
        call.end_as(resource, Used::new(header.key_id, header.version).as_str(), result)
    }

    fn encrypt_here(&self, request: &Encrypt<'_>) -> Result<Encrypted, Error> {
        check_context(request.context)?;
        if request.plaintext.len() > PLAINTEXT_BYTES_MAX {
            let len = request.plaintext.len();
            return Err(Error::new(
                Kind::TooLarge,
                format!("a plaintext of {len} bytes is too large: at most {PLAINTEXT_BYTES_MAX}"),
            )
            .next(format!(
                "get a data key and encrypt with that: holdfast key generate {} -e {}",
                request.key, request.enclave
            )));
        }
        let entry = self.key_named(request.enclave, request.key)?;
        check_use(&entry.enclave, &entry.key, &entry.newest, Operation::Encrypt)?;
        let ciphertext = self.keyring.encrypt(&entry.newest, request.context, request.plaintext)?;
        Ok(Encrypted { ciphertext, key_id: entry.key.key_id, version: entry.newest.version })
    }

    fn generate_here(&self, request: &Generate<'_>) -> Result<Generated, Error> {
        check_context(request.context)?;
        let entry = self.key_named(request.enclave, request.key)?;
        check_use(&entry.enclave, &entry.key, &entry.newest, Operation::Generate)?;
        let (plaintext, ciphertext) =
            self.keyring.generate_data_key(&entry.newest, request.context)?;
        Ok(Generated {
            plaintext,
            ciphertext,
            key_id: entry.key.key_id,
            version: entry.newest.version,
        })
    }

    /// The key that the ciphertext names, if the caller may decrypt with it.
    fn wanted(
        &self,
        actor: &Actor,
        request: &Decrypt<'_>,
    ) -> Result<(Arc<KeyEntry>, ciphertext::Header), Error> {
        check_context(request.context)?;
        if request.ciphertext.len() > PLAINTEXT_BYTES_MAX + CIPHERTEXT_OVERHEAD {
            let len = request.ciphertext.len();
            let message = format!("{len} bytes are too many for a ciphertext of this vault");
            return Err(Error::new(Kind::TooLarge, message)
                .next("give the ciphertext alone, as `key encrypt` wrote it"));
        }
        let header = ciphertext::parse_header(request.ciphertext).map_err(Error::from)?;
        let id = header.key_id;
        // Whoever may use none is told so before anything is looked for: not even the time says what there is.
        if !actor.may_any(Action::KeyDecrypt) {
            return Err(not_theirs(actor, &id));
        }
        let Some(entry) = self.key_with_id(&id)? else {
            let log = format!("key {id} is none of this vault's");
            let theirs = || Error { miss: true, ..not_theirs(actor, &id).detail(log) };
            return Err(if actor.admin { unknown(&id) } else { theirs() });
        };
        let (enclave, name) = (entry.enclave.as_str(), entry.key.name.as_str());
        if !actor.may(Action::KeyDecrypt, enclave, name) {
            // Asked again, too: it takes as long as one that there is not.
            let log = format!("{} may not key.decrypt with key {id}, {enclave}/{name}", actor.name);
            return Err(Error { miss: true, ..not_theirs(actor, &id).detail(log) });
        }
        if let Some((asked_enclave, asked_name)) = request.key
            && (asked_enclave.as_str(), asked_name.as_str()) != (enclave, name)
        {
            let asked = (asked_enclave.as_str(), asked_name.as_str());
            // Whoever may use a key of that name is told where there is none.
            if actor.may(Action::KeyDecrypt, asked.0, asked.1) {
                self.key_named(asked_enclave, asked_name)?;
            }
            return Err(another_key(actor, &entry, asked.0, asked.1));
        }
        Ok((entry, header))
    }

    fn decrypt_here(
        &self,
        entry: &KeyEntry,
        header: &ciphertext::Header,
        request: &Decrypt<'_>,
    ) -> Result<Decrypted, Error> {
        let version = self.key_version(entry, header.version)?;
        check_use(&entry.enclave, &entry.key, &version, Operation::Decrypt)?;
        let plaintext = self.keyring.decrypt(&version, request.context, request.ciphertext)?;
        Ok(Decrypted {
            plaintext,
            key_id: header.key_id,
            version: header.version,
            name: entry.key.name.clone(),
            enclave: entry.enclave.clone(),
        })
    }
}

fn check_context(context: &[u8]) -> Result<(), Error> {
    if context.len() <= CONTEXT_BYTES_MAX {
        return Ok(());
    }
    let len = context.len();
    let message = format!("a context of {len} bytes is too large: at most {CONTEXT_BYTES_MAX}");
    Err(Error::new(Kind::TooLarge, message).next("give a digest of it as the context"))
}

/// A key that a user may not decrypt with, or that there is not: whether it is the one or the other is for
/// administrators.
fn not_theirs(actor: &Actor, id: &KeyId) -> Error {
    let message = format!("{} may not key.decrypt with key {id}", actor.name);
    Error::new(Kind::Refused, message).next(
        "ask an administrator, naming that key id: it may be denied, of another enclave, or not of this vault",
    )
}

fn unknown(id: &KeyId) -> Error {
    Error::missing(format!("the ciphertext wants key {id}, which this vault does not have"))
        .next("look whether it comes from another vault, or from before a restore")
}

fn another_key(actor: &Actor, entry: &KeyEntry, enclave: &str, name: &str) -> Error {
    let id = entry.key.key_id;
    let real = (entry.enclave.as_str(), entry.key.name.as_str());
    let wanted = if actor.may(Action::KeyShow, real.0, real.1) {
        format!("{}/{} ({id})", real.0, real.1)
    } else {
        id.to_string()
    };
    let message = format!("the ciphertext is not of key {enclave}/{name}: it wants {wanted}");
    Error::new(Kind::NotAuthentic, message)
        .next("decrypt without naming a key: the ciphertext says which")
}
