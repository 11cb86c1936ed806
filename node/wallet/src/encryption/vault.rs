//! `$ANSIBLE_VAULT;1.1;AES256`: lines of hexadecimal that hold three more texts in hexadecimal, the
//! salt, the authenticator and the ciphertext.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use zeroize::Zeroizing;

use super::error::SealError;
use crate::password::Password;

/// What follows the prefix on the first line.
const VERSION: &str = ";1.1;AES256";
const ROUNDS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
/// Two keys of 32 bytes, for the cipher and the authenticator, and the counter's first value.
const DERIVED_BYTES: usize = 32 + 32 + 16;
/// The text is padded to whole blocks, though its cipher needs none.
const BLOCK: usize = 16;

/// The parts of a vault.
pub(crate) struct Sealed {
    salt: Vec<u8>,
    authenticator: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Sealed {
    pub(super) fn read(body: &[u8]) -> Result<Self, SealError> {
        let damaged = || SealError::Damaged("its encrypted part is not a vault");
        let text = std::str::from_utf8(body).map_err(|_| damaged())?;
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some(VERSION) {
            return Err(SealError::Damaged(
                "is encrypted in a vault format other than version 1.1 with AES256",
            ));
        }
        let outer = hex::decode(lines.map(str::trim).collect::<String>()).map_err(|_| damaged())?;
        let mut parts = outer.split(|byte| *byte == b'\n').map(hex::decode);
        let mut part = || parts.next().and_then(Result::ok).ok_or_else(damaged);
        let (salt, authenticator, ciphertext) = (part()?, part()?, part()?);
        let whole = !ciphertext.is_empty() && ciphertext.len().is_multiple_of(BLOCK);
        if parts.next().is_some() || authenticator.len() != 32 || !whole {
            return Err(damaged());
        }
        Ok(Self { salt, authenticator, ciphertext })
    }

    pub(super) fn open(self, password: &Password) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &self.salt,
            password.as_bytes(),
            &mut *derived,
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derived[32..64]);
        hmac::verify(&key, &self.ciphertext, &self.authenticator)
            .map_err(|_| SealError::WrongPassword)?;
        let damaged = SealError::Damaged("its encrypted part does not decrypt");
        let mut counter = [0; 16];
        counter.copy_from_slice(&derived[64..]);
        let mut text = Zeroizing::new(self.ciphertext);
        let key = UnboundCipherKey::new(&AES_256, &derived[..32])
            .and_then(DecryptingKey::ctr)
            .map_err(|_| damaged)?;
        key.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(counter)))
            .map_err(|_| damaged)?;
        let padding = text.last().map_or(0, |last| usize::from(*last));
        if padding == 0 || padding > BLOCK {
            return Err(damaged);
        }
        let length = text.len().saturating_sub(padding);
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by bittensor-wallet 4.1.1: `legacy_encrypt_keyfile_data(b'{"secretSeed":"0x01"}',
    /// "correct horse")`.
    const OF_PYTHON: &str = "$ANSIBLE_VAULT;1.1;AES256\n\
        64363534663166616134663835356665393834613761343065616632656231633861306261666361\n\
        3336616361333661326562646362613833653535306633640a303764626534393464616263303336\n\
        66353765376531623333303839396231313530663134333461386130636361323932393438333962\n\
        6531346336323063370a653833643634643938346662336434666263373433336564653930383164\n\
        66333434353037626562326531376661626533306232386664623130386532366462\n";

    fn open(text: &str, password: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        Sealed::read(text.strip_prefix("$ANSIBLE_VAULT").unwrap().as_bytes())?
            .open(&Password::new(password))
    }

    #[test]
    fn a_vault_of_the_python_wallet_opens_with_its_password_only() {
        assert_eq!(*open(OF_PYTHON, "correct horse").unwrap(), b"{\"secretSeed\":\"0x01\"}");
        assert_eq!(
            *open(&OF_PYTHON.replace('\n', "\r\n"), "correct horse").unwrap(),
            b"{\"secretSeed\":\"0x01\"}"
        );
        assert_eq!(open(OF_PYTHON, "correct hors").err(), Some(SealError::WrongPassword));
    }

    #[test]
    fn another_version_and_broken_lines_are_damaged() {
        let last = OF_PYTHON.trim_end().rfind('\n').unwrap();
        for text in [
            OF_PYTHON.replace("1.1", "1.2"),
            OF_PYTHON.replace("AES256", "AES"),
            OF_PYTHON[..last].to_owned(),
            OF_PYTHON[..30].to_owned(),
            OF_PYTHON.trim_end()[..OF_PYTHON.len() - 2].to_owned(),
            "$ANSIBLE_VAULT".to_owned(),
        ] {
            let error = open(&text, "correct horse").err();
            assert!(matches!(error, Some(SealError::Damaged(_))), "{text}: {error:?}");
        }
        // A flipped digit inside is what the authenticator is for.
        let flipped = OF_PYTHON.trim_end();
        let flipped = format!(
            "{}{}",
            &flipped[..flipped.len() - 1],
            if flipped.ends_with('0') { '1' } else { '0' }
        );
        assert!(open(&flipped, "correct horse").is_err());
    }
}
