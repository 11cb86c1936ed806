//! How a faulty endpoint changes JSON-RPC messages: it lies about the past, or serves the past as
//! the present.

use super::proxy_faults::{ConnectionError, Faults};
use super::rpc::block_number;
use codec::{Decode, Encode};
use node_subtensor_runtime::{AccountId, Header};
use serde_json::{Value, json};
use sp_core::H256;
use sp_core::crypto::Ss58Codec;
use subxt::rpcs::{RpcClient, rpc_params};

/// Methods that answer for a block, and the place of its hash among their parameters; without it
/// they mean the newest.
const AT_BLOCK: [(&str, usize); 12] = [
    ("chain_getHeader", 0),
    ("chain_getBlock", 0),
    ("chain_getRuntimeVersion", 0),
    ("state_getRuntimeVersion", 0),
    ("state_getMetadata", 0),
    ("state_getStorage", 1),
    ("state_getStorageAt", 1),
    ("state_queryStorageAt", 1),
    ("state_call", 2),
    ("state_callAt", 2),
    ("state_getKeysPaged", 3),
    ("state_getKeysPagedAt", 3),
];

/// Notifications that carry a header.
const HEADS: [&str; 3] = ["chain_newHead", "chain_allHead", "chain_finalizedHead"];

/// What happens to a request.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It goes on to the chain, perhaps changed.
    Pass(String),
    /// The proxy answers it.
    Answer(String),
    /// It submits a transaction under this id, and goes on as it is.
    Submission(Value),
}

/// One connection's view of the chain behind it.
#[derive(Debug)]
pub(super) struct Content {
    upstream: String,
    /// For the proxy's own questions; connected when the first comes up.
    client: Option<RpcClient>,
}

/// Whether a message answers the request `id`.
pub(super) fn answers(text: &str, id: &Value) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|message| message.get("id") == Some(id))
}

impl Content {
    pub(super) fn new(upstream: String) -> Self {
        Self { upstream, client: None }
    }

    /// Decides on a request.
    pub(super) async fn request(
        &mut self,
        text: &str,
        faults: &Faults,
    ) -> Result<Verdict, ConnectionError> {
        let submits = text.contains("\"author_submit");
        if !submits && !faults.lie && faults.lag == 0 {
            return Ok(Verdict::Pass(text.to_owned()));
        }
        let Ok(mut request) = serde_json::from_str::<Value>(text) else {
            return Ok(Verdict::Pass(text.to_owned()));
        };
        let Some(method) = request.get("method").and_then(Value::as_str).map(str::to_owned) else {
            return Ok(Verdict::Pass(text.to_owned()));
        };
        if method.starts_with("author_submit") {
            return Ok(Verdict::Submission(request["id"].clone()));
        }
        if faults.lie
            && matches!(method.as_str(), "chain_getBlockHash" | "chain_getHead")
            && has_parameter(&request)
        {
            return self.lie(&request).await;
        }
        if faults.lag > 0
            && matches!(method.as_str(), "system_accountNextIndex" | "account_nextIndex")
        {
            return self.old_nonce(&request, faults.lag).await;
        }
        if faults.lag > 0 {
            self.set_back(&method, &mut request, faults.lag).await?;
        }
        Ok(Verdict::Pass(request.to_string()))
    }

    /// Changes what comes from the chain.
    pub(super) async fn answer(
        &mut self,
        text: &str,
        faults: &Faults,
    ) -> Result<String, ConnectionError> {
        if faults.lag == 0 || !HEADS.iter().any(|name| text.contains(name)) {
            return Ok(text.to_owned());
        }
        let Ok(mut message) = serde_json::from_str::<Value>(text) else {
            return Ok(text.to_owned());
        };
        let Some(header) = message.pointer_mut("/params/result") else {
            return Ok(text.to_owned());
        };
        let number = number_of(header)?;
        let hash = self.hash_at(number.saturating_sub(faults.lag)).await?;
        *header = self.ask("chain_getHeader", json!([hash])).await?;
        Ok(message.to_string())
    }

    /// Answers for past blocks with hashes that are not theirs.
    async fn lie(&mut self, request: &Value) -> Result<Verdict, ConnectionError> {
        let best = self.best().await?;
        let asked = request["params"][0].clone();
        let mut answer = self.ask("chain_getBlockHash", json!([asked.clone()])).await?;
        match (&asked, &mut answer) {
            (Value::Array(numbers), Value::Array(hashes)) => {
                for (number, hash) in numbers.iter().zip(hashes) {
                    falsify(number, hash, best);
                }
            }
            (number, hash) => falsify(number, hash, best),
        }
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": answer });
        Ok(Verdict::Answer(answer.to_string()))
    }

    /// Answers with the nonce of `lag` blocks ago: a node that far behind does not know what waits
    /// in the chain's pool.
    async fn old_nonce(&mut self, request: &Value, lag: u32) -> Result<Verdict, ConnectionError> {
        let account =
            request.pointer("/params/0").and_then(Value::as_str).map(AccountId::from_ss58check);
        let Some(Ok(account)) = account else { return Ok(Verdict::Pass(request.to_string())) };
        let newest = self.best().await?.saturating_sub(lag);
        let at = self.hash_at(newest).await?;
        let argument = format!("0x{}", hex::encode(account.encode()));
        let answer =
            self.ask("state_call", json!(["AccountNonceApi_account_nonce", argument, at])).await?;
        let bytes =
            answer.as_str().and_then(|text| hex::decode(text.trim_start_matches("0x")).ok());
        let nonce = bytes
            .and_then(|bytes| u32::decode(&mut &bytes[..]).ok())
            .ok_or(ConnectionError::Nonsense)?;
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": nonce });
        Ok(Verdict::Answer(answer.to_string()))
    }

    /// Turns a question about now into one about `lag` blocks ago.
    async fn set_back(
        &mut self,
        method: &str,
        request: &mut Value,
        lag: u32,
    ) -> Result<(), ConnectionError> {
        match method {
            "chain_getBlockHash" | "chain_getHead" => {
                let newest = self.best().await?.saturating_sub(lag);
                if !has_parameter(request) {
                    request["params"] = json!([newest]);
                } else {
                    hide_after(&mut request["params"][0], newest);
                }
            }
            "chain_getFinalizedHead" | "chain_getFinalisedHead" => {
                let finalized = self.ask("chain_getFinalizedHead", json!([])).await?;
                let finalized = number_of(&self.ask("chain_getHeader", json!([finalized])).await?)?;
                request["method"] = json!("chain_getBlockHash");
                request["params"] = json!([finalized.saturating_sub(lag)]);
            }
            method => {
                let Some((_, place)) = AT_BLOCK.iter().find(|(name, _)| *name == method) else {
                    return Ok(());
                };
                let mut params =
                    request.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
                if params.get(*place).is_some_and(|at| !at.is_null()) {
                    return Ok(());
                }
                let newest = self.best().await?.saturating_sub(lag);
                params.resize(*place + 1, Value::Null);
                params[*place] = json!(self.hash_at(newest).await?);
                request["params"] = Value::Array(params);
            }
        }
        Ok(())
    }

    /// Number of the chain's best block.
    async fn best(&mut self) -> Result<u32, ConnectionError> {
        number_of(&self.ask("chain_getHeader", json!([])).await?)
    }

    async fn hash_at(&mut self, number: u32) -> Result<H256, ConnectionError> {
        let hash = self.ask("chain_getBlockHash", json!([number])).await?;
        serde_json::from_value(hash).map_err(|_| ConnectionError::Nonsense)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, ConnectionError> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(RpcClient::from_insecure_url(&self.upstream).await?).clone(),
        };
        let mut arguments = rpc_params![];
        for parameter in params.as_array().into_iter().flatten() {
            arguments.push(parameter).map_err(|_| ConnectionError::Nonsense)?;
        }
        Ok(client.request(method, arguments).await?)
    }
}

fn has_parameter(request: &Value) -> bool {
    request.pointer("/params/0").is_some_and(|first| !first.is_null())
}

/// Block numbers after `newest` become one that no chain reaches.
fn hide_after(asked: &mut Value, newest: u32) {
    match asked {
        Value::Array(numbers) => numbers.iter_mut().for_each(|number| hide_after(number, newest)),
        number => {
            if block_number(number).is_some_and(|number| number > newest) {
                *number = json!(u32::MAX);
            }
        }
    }
}

fn falsify(number: &Value, hash: &mut Value, best: u32) {
    let past = block_number(number).is_some_and(|number| number > 0 && number < best);
    let true_hash = serde_json::from_value::<H256>(hash.clone());
    if let (true, Ok(true_hash)) = (past, true_hash) {
        *hash = json!(true_hash ^ H256::repeat_byte(0xff));
    }
}

fn number_of(header: &Value) -> Result<u32, ConnectionError> {
    let header: Header =
        serde_json::from_value(header.clone()).map_err(|_| ConnectionError::Nonsense)?;
    Ok(header.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_past_blocks_are_lied_about() {
        let truth = json!(H256::repeat_byte(1));
        for (number, lied) in [
            (json!(0), false),
            (json!(1), true),
            (json!("0x4"), true),
            (json!(5), false),
            (json!(9), false),
        ] {
            let mut hash = truth.clone();
            falsify(&number, &mut hash, 5);
            assert_eq!(hash != truth, lied, "{number}");
        }
        let mut missing = Value::Null;
        falsify(&json!(1), &mut missing, 5);
        assert_eq!(missing, Value::Null);
    }

    #[test]
    fn the_future_of_a_lagging_endpoint_is_hidden() {
        let mut asked = json!([1, "0x5", 6, "0x7"]);
        hide_after(&mut asked, 5);
        assert_eq!(asked, json!([1, "0x5", u32::MAX, u32::MAX]));
    }

    #[tokio::test]
    async fn without_faults_nothing_is_parsed() {
        let mut content = Content::new("ws://nowhere".to_owned());
        let faults = Faults::default();
        assert_eq!(
            content.request("no json", &faults).await.unwrap(),
            Verdict::Pass("no json".to_owned())
        );
        let submission = r#"{"id":7,"method":"author_submitExtrinsic","params":["0x"]}"#;
        assert_eq!(
            content.request(submission, &faults).await.unwrap(),
            Verdict::Submission(json!(7))
        );
        assert!(
            answers(r#"{"id":7,"result":1}"#, &json!(7))
                && !answers(r#"{"id":8,"result":1}"#, &json!(7))
        );
    }
}
