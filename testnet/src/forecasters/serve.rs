//! A forecaster's axon: what answers `POST /Challenge`.

use leoma_protocol::synapse::{Field, FieldKind, Fields, Refusal, SynapseClass};
use leoma_synapse::{Call, Forward};

use super::answers::prediction;
use super::cast::Forecaster;
use super::moment::moment_of;
use crate::market::Market;

/// The class as its miners know it. It is written down here once more: a miner and a validator do
/// not share code either.
pub const CHALLENGE: SynapseClass = SynapseClass {
    name: "Challenge",
    fields: &[
        Field::new("repo_id", FieldKind::Text).nullable().mutable(),
        Field::new("model", FieldKind::Text).nullable().mutable(),
        Field::new("decryption_key", FieldKind::Text).nullable().mutable(),
        Field::new("data", FieldKind::Text).nullable().mutable(),
        Field::new("timestamp", FieldKind::Text).required(),
        Field::new("prediction", FieldKind::List).nullable().mutable(),
    ],
    hashed: &[],
};

/// What answers for one forecaster.
#[derive(Clone, Debug)]
pub struct Forecasting {
    /// Who it is.
    pub forecaster: Forecaster,
    /// The market that it forecasts.
    pub market: Market,
    /// Seconds from one forecast price to the next.
    pub step: u32,
}

#[async_trait::async_trait]
impl Forward for Forecasting {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        let told = call.fields.get("timestamp").and_then(|value| value.as_str());
        let moment = told.and_then(moment_of).ok_or(Refusal::Failed)?;
        let step = u64::from(self.step);
        let Some(prediction) = prediction(self.forecaster, &self.market, moment, step) else {
            return std::future::pending().await;
        };
        let nothing = |name| (name, leoma_protocol::python_json::Value::Null);
        let mut fields: Fields = ["repo_id", "model", "decryption_key", "data"].map(nothing).into();
        fields.insert("prediction", prediction);
        Ok(fields)
    }
}
