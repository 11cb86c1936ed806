//! `PEER_VALIDATORS`: the operator's own list of peers' buckets. It wins over peers' grants.

use leoma_protocol::{Hotkey, Uid};
use serde_json::{Map, Value};

use crate::config::{BucketConfig, DEFAULT_REGION};
use crate::secret::Secret;

/// Longest text that is parsed: the most entries, of 4 KiB each.
const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Most entries: as many as a subnet has neurons.
const MAX_ENTRIES: usize = 256;

/// A peer's bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticPeer {
    /// The peer's hotkey.
    pub hotkey: Hotkey,
    /// The peer's uid when the list was written. Informational, because uids change hands.
    pub uid: Option<Uid>,
    /// The bucket's address and read-only keys.
    pub bucket: BucketConfig,
}

/// An entry that is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PEER_VALIDATORS[{index}]{}: {reason}", .hotkey.as_ref().map(|hotkey| format!(" ({hotkey})")).unwrap_or_default())]
pub struct StaticPeerError {
    /// Its index in the list, from 0.
    pub index: usize,
    /// Its hotkey, if it has one.
    pub hotkey: Option<Hotkey>,
    /// What is wrong with it.
    pub reason: String,
}

/// A text that is not a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "PEER_VALIDATORS must be a JSON list of at most {MAX_ENTRIES} objects with hotkey, bucket, endpoint, read_access_key, \
     read_secret_key (and uid, region): {reason}"
)]
pub struct StaticPeersError {
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The parsed list: its valid entries, and the faults of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticPeers {
    /// The valid entries; no hotkey occurs twice.
    pub peers: Vec<StaticPeer>,
    /// The entries that are left out. One of them does not invalidate the others.
    pub refused: Vec<StaticPeerError>,
}

impl StaticPeers {
    /// Parses the variable's text. An empty text is an empty list.
    ///
    /// # Errors
    /// [`StaticPeersError`] if it is not a list.
    pub fn parse(text: &str) -> Result<Self, StaticPeersError> {
        let refuse = |reason| StaticPeersError { reason };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(refuse("longer than 1 MiB"));
        }
        let entries: Vec<Value> =
            serde_json::from_str(text).map_err(|_| refuse("not a JSON list"))?;
        if entries.len() > MAX_ENTRIES {
            return Err(refuse("too many entries"));
        }
        let mut list = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            match read_entry(entry) {
                Ok(peer) if list.peers.iter().any(|known| known.hotkey == peer.hotkey) => {
                    let reason = "the hotkey occurs twice; the first entry is used".to_owned();
                    list.refused.push(StaticPeerError { index, hotkey: Some(peer.hotkey), reason });
                }
                Ok(peer) => list.peers.push(peer),
                Err((hotkey, reason)) => {
                    list.refused.push(StaticPeerError { index, hotkey, reason })
                }
            }
        }
        Ok(list)
    }
}

fn read_entry(entry: &Value) -> Result<StaticPeer, (Option<Hotkey>, String)> {
    let fields = entry.as_object().ok_or_else(|| (None, "not an object".to_owned()))?;
    let hotkey = text(fields, "hotkey")
        .and_then(|text| text.parse::<Hotkey>().map_err(|error| error.to_string()));
    let hotkey = hotkey.map_err(|reason| (None, reason))?;
    read_fields(fields, hotkey).map_err(|reason| (Some(hotkey), reason))
}

fn read_fields(fields: &Map<String, Value>, hotkey: Hotkey) -> Result<StaticPeer, String> {
    let uid = match fields.get("uid") {
        None | Some(Value::Null) => None,
        Some(value) => {
            // Some tools quote every value.
            let number =
                value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
            let uid = number.and_then(|uid| u16::try_from(uid).ok());
            Some(Uid(uid.ok_or("`uid` must be a number from 0 to 65535")?))
        }
    };
    let region =
        if fields.contains_key("region") { text(fields, "region")? } else { DEFAULT_REGION };
    let bucket = BucketConfig {
        endpoint: text(fields, "endpoint")?.to_owned(),
        bucket: text(fields, "bucket")?.to_owned(),
        region: region.to_owned(),
        access_key: Secret::new(text(fields, "read_access_key")?),
        secret_key: Secret::new(text(fields, "read_secret_key")?),
    };
    // Opening sends nothing, and reports what is wrong with the address, the names or the keys.
    bucket.open().map_err(|error| error.to_string())?;
    Ok(StaticPeer { hotkey, uid, bucket })
}

/// Errors name the field and not its value, which may be a key in the wrong place.
fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{name}` must be a string")),
        None => Err(format!("`{name}` is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn one_bad_entry_does_not_stop_the_others() {
        let list = StaticPeers::parse(&format!(
            r#"[
                {{"hotkey":"5bad","bucket":"leoma-b","endpoint":"https://a.com","read_access_key":"a","read_secret_key":"b"}},
                {{"hotkey":"{ALICE}","uid":"3","bucket":"leoma-a","endpoint":"a.com/leoma-a","read_access_key":"a","read_secret_key":"b"}},
                {{"hotkey":"{ALICE}","bucket":"leoma-c","endpoint":"https://a.com","read_access_key":"a","read_secret_key":"b"}},
                {{"hotkey":"{ALICE}","bucket":"leoma-c","endpoint":"https://a.com","read_access_key":["planted"],"read_secret_key":"b"}},
                {{"hotkey":"{ALICE}","bucket":"leoma-c","endpoint":"ftp://a.com","read_access_key":"planted","read_secret_key":"b"}},
                7
            ]"#
        ))
        .unwrap();
        assert_eq!(list.peers.len(), 1);
        assert_eq!(list.peers[0].uid, Some(Uid(3)));
        assert_eq!(list.peers[0].bucket.region, "auto");
        let refused: Vec<String> = list.refused.iter().map(ToString::to_string).collect();
        assert_eq!(refused.len(), 5);
        assert!(refused[0].contains("PEER_VALIDATORS[0]: `5bad`"), "{refused:?}");
        assert!(refused[1].contains("occurs twice"), "{refused:?}");
        assert!(
            refused[2].contains(ALICE) && refused[2].contains("`read_access_key` must be a string"),
            "{refused:?}"
        );
        assert!(refused[3].contains("endpoint"), "{refused:?}");
        assert!(!format!("{list:?}").contains("planted"));
    }

    #[test]
    fn a_text_that_is_no_list_is_named() {
        assert_eq!(StaticPeers::parse(" ").unwrap(), StaticPeers::default());
        assert!(StaticPeers::parse("{}").unwrap_err().to_string().contains("must be a JSON list"));
    }
}
