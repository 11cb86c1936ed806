//! `leoma-testnet axons`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::try_join_all;
use leoma_protocol::{Hotkey, Netuid};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::answers::Stage;
use super::clips::clips;
use super::serve::{Act, AxonsError, announce, serve, serve_feed};
use crate::forecasters::Forecasting;
use crate::launch::Played;
use crate::launch::accounts::Account;
use crate::market::Market;
use crate::report_file;
use crate::seed::Seed;

/// The configuration of the axons.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AxonsConfig {
    /// The subnet's seed: keys and challenges are drawn from it.
    pub seed: String,
    /// The chain's `ws://` address.
    pub chain: String,
    /// The subnet.
    pub netuid: u16,
    /// Who is served.
    pub validators: Vec<Hotkey>,
    /// The miners.
    pub miners: Vec<AxonEntry>,
    /// Seconds from one price of a forecast to the next.
    pub forecast_step: u32,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AxonEntry {
    /// The name that its keys are drawn by.
    pub slug: String,
    /// What it plays; one that answers with videos has no axon.
    pub played: Played,
}

/// Where they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxonsReport {
    /// Every miner's port on 127.0.0.1, by slug.
    pub ports: BTreeMap<String, u16>,
    /// The feed of the market that forecasters forecast: `MARKET_URL` with `/closes` after it, or
    /// `/lies` for a feed that lies. Empty without forecasters.
    #[serde(default)]
    pub market: String,
}

/// Runs the axons of a configuration file until it is stopped.
#[derive(Clone, Debug, clap::Args)]
pub struct AxonsArgs {
    /// JSON file: seed, chain, netuid, validators, miners, forecast_step.
    #[arg(long)]
    pub config: PathBuf,
    /// Where to write the ports, once every miner is announced on the chain.
    #[arg(long)]
    pub report: PathBuf,
}

impl AxonsArgs {
    /// Starts every axon, announces it, writes the report, and runs until a listener ends.
    ///
    /// # Errors
    /// When something does not start, or ends.
    pub async fn run(self) -> Result<(), AxonsError> {
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| AxonsError::File { path, source }
        };
        let text = std::fs::read(&self.config).map_err(failed(&self.config))?;
        let config: AxonsConfig = serde_json::from_slice(&text)
            .map_err(|source| AxonsError::Config { path: self.config.clone(), source })?;
        let seed = Seed::new(config.seed);
        let all = Arc::new(clips(&seed));
        let served = Arc::new(config.validators);
        let market = Market::new(seed.clone());
        let (mut tasks, mut ports, mut accounts) = (JoinSet::new(), BTreeMap::new(), Vec::new());
        let mut feed = String::new();
        for AxonEntry { slug, played } in config.miners {
            let account = Account::draw(&seed, &slug);
            let act = match played {
                Played::Motion(dancer) => {
                    let (clips, seed) = (Arc::clone(&all), seed.clone());
                    Act::Motion(Stage { dancer, slug: slug.clone(), seed, clips })
                }
                Played::Oracle(forecaster) => {
                    if feed.is_empty() {
                        let (url, serving) = serve_feed(market.clone()).await?;
                        tasks.spawn(serving);
                        feed = url;
                    }
                    let (market, step) = (market.clone(), config.forecast_step);
                    Act::Oracle(Forecasting { forecaster, market, step })
                }
                Played::Video(_) => continue,
            };
            let (port, serving) = serve(act, &slug, &account, Arc::clone(&served)).await?;
            tasks.spawn(serving);
            ports.insert(slug, port);
            accounts.push((account, port));
        }
        let (chain, netuid) = (config.chain.as_str(), Netuid(config.netuid));
        let announced =
            accounts.iter().map(|(account, port)| announce(chain, netuid, account, *port));
        try_join_all(announced).await?;
        let report = serde_json::to_vec_pretty(&AxonsReport { ports, market: feed })
            .map_err(|source| AxonsError::Config { path: self.report.clone(), source })?;
        report_file::write(&self.report, &report).map_err(failed(&self.report))?;
        let ended = tasks.join_next().await;
        let reason = ended.and_then(Result::err).map_or("no reason".to_owned(), |e| e.to_string());
        Err(AxonsError::Ended(reason))
    }
}
