//! Against stock gpg 2.2, and against every flipped bit.
