use super::*;
use codec::Encode as _;
use proptest::prelude::*;

fn registration(fields: u32, data: &[u8]) -> Vec<u8> {
    [7u64.encode(), 1234u32.encode(), Compact(fields).encode(), data.to_vec()].concat()
}

/// A registration of one short raw field.
fn raw(text: &str, block: u32) -> Registration {
    let length = RAW_0 + u8::try_from(text.len()).unwrap();
    let bytes = [7u64.encode(), block.encode(), vec![4, length], text.as_bytes().to_vec()].concat();
    Registration::decode(&bytes)
}

fn newest(
    registration: Option<&Registration>,
    reveals: &[(&[u8], u64)],
) -> Option<Result<(String, u64, usize), CommitmentDecodeError>> {
    let reveals: Vec<_> = reveals.iter().map(|(text, block)| (text.to_vec(), *block)).collect();
    let found = Stored { registration, reveals: &reveals }.newest()?;
    let read = found.map(|found| (found.text, found.block.0, found.count));
    Some(read.map_err(|unreadable| unreadable.reason))
}

#[test]
fn raw_fields_of_every_length_are_read_and_joined() {
    let mut data = vec![RAW_0 + 3];
    data.extend(b"abc");
    data.push(BIG_RAW);
    data.extend(vec![b'x'; 300].encode());
    data.push(0);
    let commitment = decode_registration(&registration(3, &data)).unwrap();
    assert_eq!(commitment.bytes, format!("abc{}", "x".repeat(300)).into_bytes());
    assert_eq!(commitment.block, BlockNumber(1234));
}

#[test]
fn odd_bytes_are_refused_with_a_reason() {
    use CommitmentDecodeError::{NotRevealed, TooManyFields, Truncated, Unreadable};
    assert_eq!(decode_registration(&[]), Err(Truncated));
    assert_eq!(decode_registration(&registration(4, &[0; 4])), Err(TooManyFields));
    assert_eq!(decode_registration(&registration(1, &[RAW_0 + 5, 1])), Err(Truncated));
    assert_eq!(decode_registration(&registration(1, &[TIMELOCKED])), Err(NotRevealed));
    for unknown in [130, 133, 138, 255] {
        let bytes = registration(1, &[unknown]);
        assert_eq!(decode_registration(&bytes), Err(Unreadable(unknown)));
    }
    let huge = [vec![BIG_RAW], Compact(u32::MAX).encode()].concat();
    assert_eq!(decode_registration(&registration(1, &huge)), Err(Truncated));
}

#[test]
fn a1_revealed_commitment_with_a_length_prefix() {
    let text = |length: usize| format!("{{\"model_name\": \"{}\"}}", "m".repeat(length - 18));
    for length in [40, 63, 64, 152, 163, 194, 1000] {
        let text = text(length);
        assert_eq!(text.len(), length);
        let sealed = text.encode();
        if length == 163 {
            assert_eq!(sealed[..2], [0x8d, 0x02]);
        }
        // With the SDK's length, and without it.
        for stored in [sealed.as_slice(), text.as_bytes()] {
            assert_eq!(newest(None, &[(stored, 9)]), Some(Ok((text.clone(), 9, 1))), "{length}");
        }
        // A length that is not that of the rest is part of the text.
        let longer = [sealed.as_slice(), b"!"].concat();
        let (found, ..) = newest(None, &[(&longer, 9)]).unwrap().unwrap();
        assert_ne!(found, text);
    }
    assert_eq!(newest(None, &[(b"", 9)]), Some(Ok((String::new(), 9, 1))));
    assert_eq!(newest(None, &[(&[0], 9)]), Some(Ok((String::new(), 9, 1))));
}

#[test]
fn a1b_the_newer_of_an_open_commitment_and_a_reveal_counts() {
    let (old, new) = (raw("open", 5), raw("open", 20));
    let open = |count| Some(Ok(("open".to_owned(), 20, count)));
    assert_eq!(newest(Some(&new), &[]), open(1));
    assert_eq!(newest(Some(&new), &[(b"sealed", 9)]), open(2));
    assert_eq!(newest(Some(&new), &[(b"sealed", 20)]), open(2), "reveals come first in a block");
    let sealed = |block| Some(Ok(("sealed".to_owned(), block, 1)));
    assert_eq!(newest(Some(&old), &[(b"sealed", 9)]), sealed(9));
    assert_eq!(newest(None, &[(b"sealed", 9)]), sealed(9));
    assert_eq!(newest(None, &[]), None);
}

#[test]
fn the_newest_reveal_counts_and_all_are_counted() {
    let reveals: [(&[u8], u64); 2] = [(b"new", 9), (b"old", 3)];
    assert_eq!(newest(None, &reveals), Some(Ok(("new".to_owned(), 9, 2))));
    // An unusable newest reveal is not replaced by an older one.
    let reveals: [(&[u8], u64); 2] = [(b"{}", 3), (b"\xff", 9)];
    assert_eq!(newest(None, &reveals), Some(Ok(("\u{fffd}".to_owned(), 9, 2))));
}

#[test]
fn a4_a_commitment_that_is_gone_after_a_failed_reveal_leaves_the_reveals_before_it() {
    let reveals: [(&[u8], u64); 2] = [(b"first", 3), (b"second", 9)];
    // Both remain, and both count towards the miner's limit.
    assert_eq!(newest(None, &reveals), Some(Ok(("second".to_owned(), 9, 2))));
    assert_eq!(newest(None, &[]), None, "without any there is no commitment");
}

#[test]
fn a3_a_failed_reveal_is_that_hotkeys_reason_only() {
    use CommitmentDecodeError::{NotRevealed, RevealFailed, Unreadable};
    let failed = [vec![REVEAL_FAILED], vec![7_u8; 300].encode(), 99_u64.encode()].concat();
    let json = [vec![BIG_RAW], vec![b'x'; 300].encode()].concat();
    for data in [
        (1, failed.clone()),
        (2, [failed.clone(), json.clone()].concat()),
        (2, [json.clone(), failed].concat()),
    ] {
        let stored = Registration::decode(&registration(data.0, &data.1));
        assert_eq!(stored.plain(), None);
        assert_eq!(newest(Some(&stored), &[]), Some(Err(RevealFailed)));
        // It hides the older reveal, and a newer reveal hides it.
        assert_eq!(newest(Some(&stored), &[(b"old", 1000)]), Some(Err(RevealFailed)));
        let newer = Some(Ok(("new".to_owned(), 2000, 1)));
        assert_eq!(newest(Some(&stored), &[(b"new", 2000)]), newer);
    }
    let unknown = Registration::decode(&registration(1, &[200, 1, 2, 3]));
    assert_eq!(newest(Some(&unknown), &[(b"old", 1000)]), Some(Err(Unreadable(200))));
    // A commitment that waits for its reveal replaces nothing yet.
    let waits = Registration::decode(&registration(1, &[TIMELOCKED]));
    assert_eq!(newest(Some(&waits), &[]), Some(Err(NotRevealed)));
    assert_eq!(newest(Some(&waits), &[(b"old", 9)]), Some(Ok(("old".to_owned(), 9, 1))));
    // Bytes too few for a block hide what is older, as they may be newer.
    let cut = Registration::decode(&[1]);
    assert!(newest(Some(&cut), &[(b"old", 9)]).is_some_and(|newest| newest.is_err()));
}

#[test]
fn an_owners_commitment_that_waits_for_its_reveal_brings_no_older_list_back() {
    use CommitmentDecodeError::NotRevealed;
    let of_owner = |registration: &Registration, reveals: &[(Vec<u8>, u64)]| {
        let stored = Stored { registration: Some(registration), reveals };
        let found = stored.newest_of_owner().unwrap();
        found.map(|found| found.text).map_err(|unreadable| (unreadable.block.0, unreadable.reason))
    };
    // Revealed, then another in the open, then one that waits: it was made at block 1234.
    let old = [(b"old".to_vec(), 9)];
    assert_eq!(of_owner(&raw("new", 20), &old), Ok("new".to_owned()));
    let waits = Registration::decode(&registration(1, &[TIMELOCKED]));
    assert_eq!(of_owner(&waits, &old), Err((1234, NotRevealed)));
    assert_eq!(of_owner(&waits, &[]), Err((1234, NotRevealed)));
    // Nor does a reveal count while another field still waits.
    assert_eq!(of_owner(&waits, &[(b"part".to_vec(), 2000)]), Err((1234, NotRevealed)));
    // Once it is revealed, the chain keeps no registration of it.
    let revealed = [(b"sealed".to_vec(), 1300), (b"old".to_vec(), 9)];
    let newest = Stored { registration: None, reveals: &revealed }.newest_of_owner();
    assert_eq!(newest.unwrap().unwrap().text, "sealed");
    // For a miner it still replaces nothing.
    let stored = Stored { registration: Some(&waits), reveals: &old };
    assert_eq!(stored.newest_of_miner().unwrap().unwrap().text, "old");
}

/// The witness has replaced the open list that running validators have taken: those which start now
/// must not take the older, revealed one for the owner's newest.
#[test]
fn an_owners_witness_brings_no_older_list_back() {
    use CommitmentDecodeError::Witness;
    let of_owner = |registration: &Registration, reveals: &[(Vec<u8>, u64)]| {
        let stored = Stored { registration: Some(registration), reveals };
        let found = stored.newest_of_owner()?;
        let read = found.map(|found| (found.text, found.block.0));
        Some(read.map_err(|unreadable| (unreadable.block.0, unreadable.reason)))
    };
    let text = |text: &str, block| Some(Ok((text.to_owned(), block)));
    let reveals = [(b"old".to_vec(), 9), (b"older".to_vec(), 5)];
    // An older reveal, then a list in the open, then a witness in its place.
    assert_eq!(of_owner(&raw("list", 20), &reveals), text("list", 20));
    let witness = raw("leoma:witness:v1:xyz", 30);
    assert_eq!(of_owner(&witness, &reveals), Some(Err((30, Witness))));
    assert_eq!(of_owner(&raw("leoma:witness:v1:xyz", 9), &reveals), Some(Err((9, Witness))));
    // A list that is revealed after the witness counts, and so does one in the open.
    let revealed = [(b"sealed".to_vec(), 40), (b"old".to_vec(), 9)];
    assert_eq!(of_owner(&witness, &revealed), text("sealed", 40));
    assert_eq!(of_owner(&raw("next", 50), &revealed), text("next", 50));
    // Without any reveal there is no commitment, as before.
    assert_eq!(of_owner(&witness, &[]), None);
}

/// A late copy that is hidden before each epoch behind an early reveal of something else.
#[test]
fn a_miner_counts_from_its_newest_commitment_whatever_that_is() {
    let reveals = [(b"early".to_vec(), 100)];
    let since = |registration: &Registration| {
        let stored = Stored { registration: Some(registration), reveals: &reveals };
        let found = stored.newest_of_miner().unwrap().unwrap();
        (found.text, found.block.0)
    };
    assert_eq!(since(&raw("late", 5000)), ("late".to_owned(), 5000));
    let waits = Registration::decode(&registration(1, &[TIMELOCKED]));
    assert_eq!(since(&waits), ("early".to_owned(), 1234));
    assert_eq!(since(&raw("leoma:witness:v1:xyz", 5170)), ("early".to_owned(), 5170));
    // A reveal that is newer than what is in the open is at its own block.
    assert_eq!(since(&raw("older", 50)), ("early".to_owned(), 100));
    let none = Stored { registration: None, reveals: &reveals };
    assert_eq!(none.newest_of_miner().unwrap().unwrap().block.0, 100);
}

#[test]
fn a_witness_is_no_miners_commitment() {
    let witness = raw("leoma:witness:v1:xyz", 20);
    assert_eq!(witness.plain().unwrap().bytes, b"leoma:witness:v1:xyz");
    assert_eq!(newest(Some(&witness), &[]), None);
    let sealed = Some(Ok(("sealed".to_owned(), 9, 1)));
    assert_eq!(newest(Some(&witness), &[(b"sealed", 9)]), sealed);
    assert_eq!(newest(None, &[(b"leoma:witness:v1:xyz", 9)]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>, reveal: Vec<u8>) {
        let stored = Registration::decode(&bytes);
        let _answered_without_panic = newest(Some(&stored), &[(&reveal, 9)]);
    }

    #[test]
    fn a_text_is_read_with_and_without_its_length(text in "[ -~]{0,1024}") {
        let sealed = text.as_str().encode();
        prop_assert_eq!(without_length(&sealed), text.as_bytes());
    }
}
