//! Names the kind of a file that is not an MP4, by its first bytes.

/// How much of a file is looked at.
const LOOKED_AT_BYTES: usize = 512;
/// Files that begin with fixed bytes.
const SIGNATURES: [(&[u8], &str); 14] = [
    (b"GIF8", "a GIF picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska file"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "bzip2-compressed data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard-compressed data"),
    (b"\xfd7zXZ", "XZ-compressed data"),
    (b"RIFF", "a RIFF file (AVI, WAV or WebP)"),
    (b"OggS", "an Ogg file"),
    (b"FLV\x01", "a Flash video"),
    (b"%PDF", "a PDF document"),
    (b"ffconcat", "a playlist"),
];
/// The bytes of one packet of an MPEG transport stream.
const TRANSPORT_PACKET: usize = 188;

/// The kind of a file that has no box of an MP4, with its article.
pub(super) fn kind_of(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(LOOKED_AT_BYTES)];
    if let Some((_, kind)) = SIGNATURES.iter().find(|(first, _)| head.starts_with(first)) {
        return kind;
    }
    if head.iter().all(|byte| *byte == 0) {
        return "nothing but zeros";
    }
    if head[0] == 0x47 && bytes.get(TRANSPORT_PACKET).is_none_or(|byte| *byte == 0x47) {
        return "an MPEG transport stream";
    }
    text_kind(head).unwrap_or("of an unknown kind")
}

/// The kind of a text; `None` where the bytes are not text.
fn text_kind(head: &[u8]) -> Option<&'static str> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    if text.is_empty() || !text.iter().all(is_text) {
        return None;
    }
    let starts = |prefix: &[u8]| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_base64 = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
    };
    Some(if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") {
        "an HTML page"
    } else if starts(b"<") {
        "an XML document"
    } else if starts(b"{") || starts(b"[") || starts(b"\"") {
        "JSON"
    } else if starts(b"data:") {
        "a data URL"
    } else if starts(b"#extm3u") {
        "a playlist"
    } else if text.len() >= 32 && text.trim_ascii_end().iter().all(is_base64) {
        "base64 text"
    } else {
        "plain text"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_archives_pictures_and_texts_are_named() {
        let webm = b"\x1a\x45\xdf\xa3\x01\0\0\0";
        let cases: [(&[u8], &str); 12] = [
            (b"\n<!DOCTYPE html><html>", "an HTML page"),
            (b"{\"detail\": \"busy\"}", "JSON"),
            (b"GIF89a....", "a GIF picture"),
            (webm, "a WebM or Matroska file"),
            (b"\x1f\x8b\x08\0", "gzip-compressed data"),
            (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
            (b"AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDE=", "base64 text"),
            (b"Internal Server Error", "plain text"),
            (b"#EXTM3U\n#EXT-X", "a playlist"),
            (b"\0\0\0\0\0\0\0\0\0", "nothing but zeros"),
            (b"<?xml version=\"1.0\"?>", "an XML document"),
            (b"\x01\x02\x03\x04", "of an unknown kind"),
        ];
        for (bytes, kind) in cases {
            assert_eq!(kind_of(bytes), kind, "{bytes:?}");
        }
    }
}
