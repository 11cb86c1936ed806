//! Where an audit finds certificates and verdict files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use leoma_protocol::verdict::MAX_FILE_BYTES;
use leoma_protocol::{FileId, Hotkey, TaskId};
use leoma_storage::{Bucket, Key, TaskKey};
use serde::Deserialize;

use super::buckets::BucketArg;
use super::read::read_json;
use crate::cli::account::given;
use crate::cli::running::is_here;
use crate::config::Config;
use crate::verdicts::report::{AttestedFile, SignedAgreement};

/// Longest wait for a validator's answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest page of attestations: 300 tasks of 64 validators stay far below.
const MAX_PAGE_BYTES: usize = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// A chain node to use instead of the network's own, such as an archive node; may be given
    /// several times.
    #[arg(long, value_name = "URL")]
    chain_endpoint: Vec<String>,
    /// Validators to ask for attestations and files, as http://host:port; without one, that of this
    /// machine (LEOMA_HTTP_LISTEN). Nothing that they say is believed without its signatures.
    #[arg(long, value_name = "URL")]
    validator: Vec<String>,
    /// Attestations as `leoma mesh certificates` writes them, instead of a validator's.
    #[arg(long, value_name = "FILE")]
    certificates: Option<PathBuf>,
}

/// A file of attestations.
#[derive(Deserialize)]
#[serde(untagged)]
enum AgreementFile {
    Signed(SignedAgreement),
    Rows(Vec<AttestedFile>),
}

/// Where to look, in this order.
pub(super) struct Sources {
    buckets: Vec<(Option<Hotkey>, String, Bucket)>,
    validators: Vec<String>,
    certificates: Option<PathBuf>,
    client: reqwest::Client,
    /// For validators of this machine.
    direct: reqwest::Client,
}

impl SourceArgs {
    /// The configuration with the flags that name the chain.
    pub(super) fn config(&self, file: Option<PathBuf>) -> anyhow::Result<Config> {
        let endpoints = (!self.chain_endpoint.is_empty()).then(|| self.chain_endpoint.join(","));
        let flags: BTreeMap<String, String> = given([("CHAIN_ENDPOINTS", &endpoints)]);
        Ok(crate::cli::settings::load(file, flags)?)
    }

    pub(super) fn open(&self, config: &Config, buckets: &[BucketArg]) -> anyhow::Result<Sources> {
        let opened = buckets
            .iter()
            .map(|bucket| anyhow::Ok((bucket.owner, bucket.bucket.clone(), bucket.open()?)));
        let mut validators = self.validator.clone();
        if validators.is_empty() {
            validators.push(format!("http://{}", config.machine.http_listen));
        }
        Ok(Sources {
            buckets: opened.collect::<Result<_, _>>()?,
            validators,
            certificates: self.certificates.clone(),
            client: reqwest::Client::builder().timeout(TIMEOUT).build()?,
            direct: reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?,
        })
    }
}

impl Sources {
    /// The attestations of all sources that answer, sorted.
    ///
    /// # Errors
    /// When none answers.
    pub(super) async fn attestations(&self) -> anyhow::Result<Vec<AttestedFile>> {
        if let Some(path) = &self.certificates {
            return Ok(sorted(match read_json(path)? {
                AgreementFile::Signed(signed) => signed.attestations,
                AgreementFile::Rows(rows) => rows,
            }));
        }
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for validator in &self.validators {
            match self.agreement_of(validator).await {
                Ok(signed) => all.extend(signed.attestations),
                Err(error) => errors.push(format!("{validator}: {error:#}")),
            }
        }
        if errors.len() == self.validators.len() {
            bail!(
                "no validator shows its attestations ({}): name one with --validator, or a file with --certificates",
                errors.join("; ")
            );
        }
        Ok(sorted(all))
    }

    async fn agreement_of(&self, validator: &str) -> anyhow::Result<SignedAgreement> {
        let body = self.get(&format!("{validator}/agreement"), MAX_PAGE_BYTES).await?;
        serde_json::from_slice(&body.context("it has no such page")?).context("malformed")
    }

    /// The versions of a file that are found, each with the name of its source; any of them may be
    /// forged.
    pub(super) async fn versions(
        &self,
        file: FileId,
        mut note: impl FnMut(String),
    ) -> Vec<(String, Vec<u8>)> {
        let FileId { task_id, producer } = file;
        let mut found = Vec::new();
        let key = Key::from(TaskKey::verdict(task_id, producer));
        for (owner, name, bucket) in &self.buckets {
            if owner.is_some_and(|owner| owner != producer) {
                continue;
            }
            match bucket.get(&key, MAX_FILE_BYTES as u64).await {
                Ok(Some(bytes)) => found.push((format!("{name}/{key}"), bytes.to_vec())),
                Ok(None) => {}
                Err(error) => note(error.to_string()),
            }
        }
        for validator in &self.validators {
            let url = format!("{validator}/verdicts/{task_id}/{producer}");
            match self.get(&url, MAX_FILE_BYTES).await {
                Ok(Some(bytes)) => found.push((url, bytes)),
                Ok(None) => {}
                Err(error) => note(format!("{url}: {error:#}")),
            }
        }
        found
    }

    /// A page of a validator, `None` where it has none.
    async fn get(&self, url: &str, most: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let client = if is_here(url) { &self.direct } else { &self.client };
        let mut answer = client.get(url).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer.error_for_status_ref()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > most {
                bail!("the answer is longer than {most} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }
}

/// One row for each file and digest with all its attesters, however many sources name them.
fn sorted(rows: Vec<AttestedFile>) -> Vec<AttestedFile> {
    type Place = (TaskId, Hotkey, leoma_protocol::Digest);
    let mut merged: BTreeMap<Place, BTreeMap<Hotkey, Option<String>>> = BTreeMap::new();
    for row in rows {
        let attesters = merged.entry((row.task_id, row.producer, row.digest)).or_default();
        let signatures = row.signatures.into_iter().map(Some).chain(std::iter::repeat(None));
        for (attester, signature) in row.attesters.into_iter().zip(signatures) {
            let kept = attesters.entry(attester).or_default();
            *kept = kept.take().or(signature);
        }
    }
    let row = |((task_id, producer, digest), attesters): (Place, BTreeMap<Hotkey, _>)| {
        let signatures: Option<Vec<String>> = attesters.values().cloned().collect();
        AttestedFile {
            task_id,
            producer,
            digest,
            attesters: attesters.into_keys().collect(),
            signatures: signatures.unwrap_or_default(),
        }
    };
    merged.into_iter().map(row).collect()
}
