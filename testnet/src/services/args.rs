//! `leoma-testnet services`.

use std::path::PathBuf;

use super::{Result, Services, ServicesConfig, ServicesError};
use crate::report_file;

/// Runs the stand-ins and miners of a configuration file until it is stopped.
#[derive(Clone, Debug, clap::Args)]
pub struct ServicesArgs {
    /// JSON file: chutes_keys, gemini_keys, miners, corpus, work, encoders.
    #[arg(long)]
    pub config: PathBuf,
    /// Where to write the addresses, once everything listens.
    #[arg(long)]
    pub report: PathBuf,
}

impl ServicesArgs {
    /// Starts everything, writes the report, and runs until a listener ends.
    ///
    /// # Errors
    /// When something does not start, or ends.
    pub async fn run(self) -> Result<()> {
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| ServicesError::File { path, source }
        };
        let text = std::fs::read(&self.config).map_err(failed(&self.config))?;
        let config: ServicesConfig = serde_json::from_slice(&text)
            .map_err(|source| ServicesError::Config { path: self.config.clone(), source })?;
        let mut services = Services::start(config).await?;
        let report = serde_json::to_vec_pretty(services.report())
            .map_err(|source| ServicesError::Config { path: self.report.clone(), source })?;
        report_file::write(&self.report, &report).map_err(failed(&self.report))?;
        Err(services.ended().await)
    }
}
