//! Kinds and states, each with its published text: the same in JSON, in wraps and on the screen.

use holdfast_types::Millis;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $kind {$(
            $(#[$vdoc])*
            #[serde(rename = $text)]
            $variant,
        )*}

        impl $kind {
            /// All of them, in stored order: only ever add at the end.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its published text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $text,)*}
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = UnknownText;
            fn from_str(text: &str) -> Result<Self, UnknownText> {
                let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
                found.ok_or_else(|| UnknownText(text.to_owned()))
            }
        }
    )*};
}

/// A text that is none of the published ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown: {0:?}")]
pub struct UnknownText(pub String);

kinds! {
    /// What a key is for.
    KeyKind {
        /// XAES-256-GCM.
        Aes256 = "aes256",
    }
    /// Whether an enclave takes new things.
    EnclaveState {
        /// It does.
        Open = "open",
        /// It is about to be removed.
        Closing = "closing",
    }
    /// SP 800-57 state of a key version.
    VersionState {
        /// Made, not used yet.
        PreActivation = "pre-activation",
        /// Encrypts and decrypts.
        Active = "active",
        /// Neither, for a time.
        Suspended = "suspended",
        /// Only decrypts.
        Deactivated = "deactivated",
        /// Only decrypts, and should not be trusted.
        Compromised = "compromised",
        /// Gone.
        Destroyed = "destroyed",
    }
    /// What an identity may do beyond its policy.
    Privilege {
        /// Everything.
        Admin = "admin",
        /// What its policy allows, in its enclave.
        User = "user",
    }
    /// How a seal slot opens.
    SlotKind {
        /// With a custodian's OpenPGP key.
        OpenPgp = "openpgp",
    }
    /// What a secret of the cluster's own is for.
    SecretKind {
        /// The certificate authority of its listeners.
        Ca = "ca",
        /// The OpenPGP primary key that signs archives.
        SigningPrimary = "signing-primary",
        /// A signing subkey of it.
        Signing = "signing",
        /// Short-lived tokens.
        Token = "token",
    }
    /// What a job does.
    JobKind {
        /// Makes an archive.
        Backup = "backup",
        /// Restores one into scratch.
        Drill = "drill",
    }
    /// How far a job is.
    JobState {
        /// Claimed by its holder.
        Claimed = "claimed",
        /// Under way.
        Running = "running",
        /// Done.
        Done = "done",
        /// Failed.
        Failed = "failed",
    }
}

/// Whether a key may be used at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It may, as its versions' states allow.
    Active,
    /// Every use is stopped; it can be undeleted.
    Deleted {
        /// Since when, in state time.
        at: Millis,
    },
}

impl KeyState {
    /// Its published text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted { .. } => "deleted",
        }
    }
}

impl KeyKind {
    /// Bytes of its secret.
    #[must_use]
    pub const fn secret_bytes(self) -> usize {
        match self {
            Self::Aes256 => 32,
        }
    }
}
