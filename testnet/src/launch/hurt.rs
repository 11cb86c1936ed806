//! Faults that can be put on a running subnet.

use std::process::ExitStatus;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{LaunchError, Part, Result, Subnet};
use crate::chain::FaultProxy;
use crate::netns::{Impaired, Impairment, Network};
use crate::{services, storage};

/// A stand-in accepts an order within this, even on a busy machine.
const ORDER_LIMIT: Duration = Duration::from_secs(10);
/// A busy validator answers with its status page within this.
const PAGE_LIMIT: Duration = Duration::from_secs(3);

/// Cuts affect only what validators send each other: the chain, the storage and the services stay
/// within reach unless a method says otherwise. Methods about the network need
/// [`Options::namespaces`](super::Options::namespaces). An order that is refused is
/// [`LaunchError::Admin`].
impl Subnet {
    /// The network between validators, whose hosts are the validators in their order, and one more
    /// for strangers.
    ///
    /// # Errors
    /// [`LaunchError::NoNetwork`].
    pub fn network(&mut self) -> Result<&mut Network> {
        self.hosts.as_mut().map(|hosts| &mut hosts.network).ok_or(LaunchError::NoNetwork)
    }

    /// Cuts the validators of each group off from those of the others. Validators in no group form
    /// one more group.
    pub fn partition(&mut self, groups: &[Vec<usize>]) -> Result<()> {
        // The host of strangers is in no group, and reaches everybody.
        let mut groups = groups.to_vec();
        let rest = |one: &usize| !groups.iter().any(|group| group.contains(one));
        groups.push((0..self.validators.len()).filter(rest).collect());
        Ok(self.network()?.partition(&groups)?)
    }

    /// Drops what one validator sends to another, and nothing else.
    pub(crate) fn drop_one_way(&mut self, from: usize, to: usize) -> Result<()> {
        Ok(self.network()?.cut(from, to)?)
    }

    /// Delays what validators send each other, or loses some of it.
    ///
    /// # Errors
    /// [`LaunchError`], also where the machine has no `/dev/net/tun`.
    pub fn impair(&mut self, impairment: Impairment) -> Result<()> {
        Ok(self.network()?.impair(impairment)?)
    }

    /// How many packets were delayed and lost so far.
    pub fn impaired(&self) -> Impaired {
        self.hosts.as_ref().map(|hosts| hosts.network.impaired()).unwrap_or_default()
    }

    /// Cuts a validator off from the storage: all buckets, its own too.
    pub(crate) fn cut_from_storage(&mut self, validator: usize) -> Result<()> {
        self.hosts.as_ref().ok_or(LaunchError::NoNetwork)?.set_storage(validator, false)
    }

    /// How many of a validator's connections to the storage were held up by such cuts so far.
    pub(crate) fn held_from_storage(&self, validator: usize) -> u64 {
        self.hosts.as_ref().map_or(0, |hosts| hosts.held(validator))
    }

    /// Lets a validator's chain endpoint fall behind by this many blocks; 0 ends that. Needs
    /// [`Options::own_endpoints`](super::Options::own_endpoints).
    pub(crate) fn lag_endpoint(&self, validator: usize, blocks: u32) {
        if let Some(proxy) = self.proxies.get(validator) {
            proxy.lag(blocks);
        }
    }

    /// Ends all cuts, delay, loss and lag.
    pub fn heal(&mut self) -> Result<()> {
        self.proxies.iter().for_each(FaultProxy::heal);
        if let Some(hosts) = &mut self.hosts {
            hosts.open_all();
            hosts.network.heal()?;
        }
        Ok(())
    }

    /// Gives a running validator's machine another address, as a provider does; returns it.
    pub(crate) fn change_ip(&mut self, validator: usize) -> Result<std::net::Ipv4Addr> {
        Ok(self.network()?.change_address(validator)?)
    }

    /// Asks a validator to end, as a service manager does, and waits until it has. Returns how it
    /// ended, or `None` where it does not run.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] when it takes longer than `limit`; then it is killed.
    pub async fn terminate_validator(
        &mut self,
        validator: usize,
        limit: Duration,
    ) -> Result<Option<ExitStatus>> {
        let running = self.validators.get_mut(validator).and_then(|one| one.part.take());
        let Some(mut part) = running else { return Ok(None) };
        part.terminate();
        part.finished(limit).await.map(Some)
    }

    /// A validator's process, while it runs.
    fn part(&self, validator: usize) -> Option<&Part> {
        self.validators.get(validator)?.part.as_ref()
    }

    /// Pauses a validator, as on a machine that hangs.
    pub(crate) fn pause_validator(&self, validator: usize) {
        if let Some(part) = self.part(validator) {
            part.pause();
        }
    }

    /// Resumes a paused validator.
    pub(crate) fn resume_validator(&self, validator: usize) {
        if let Some(part) = self.part(validator) {
            part.resume();
        }
    }

    /// A validator's process id, while it runs.
    pub(crate) fn process_id(&self, validator: usize) -> Option<u32> {
        self.part(validator).map(Part::id)
    }

    /// Every validator's `/status`; `None` where it does not answer.
    pub(crate) async fn status_pages(&self) -> Vec<Option<Value>> {
        let asked = self.validators.iter().map(|validator| async {
            validator.part.as_ref()?;
            let url = format!("{}/status", validator.url);
            self.client.get(url).timeout(PAGE_LIMIT).send().await.ok()?.json().await.ok()
        });
        futures::future::join_all(asked).await
    }

    /// Orders a fault of the storage.
    pub(crate) async fn order_storage_fault(&self, fault: &storage::Fault) -> Result<()> {
        self.order(&format!("{}/faults", self.addresses.storage_admin), fault).await
    }

    /// The storage's faults in force, with the counts that are left.
    pub(crate) async fn storage_faults(&self) -> Result<Vec<storage::Fault>> {
        let url = format!("{}/faults", self.addresses.storage_admin);
        let answer = self.client.get(&url).timeout(ORDER_LIMIT).send().await;
        let failed = |error: reqwest::Error| LaunchError::Admin {
            url: url.clone(),
            reason: error.to_string(),
        };
        answer.map_err(failed)?.json().await.map_err(failed)
    }

    /// Orders a fault of a service.
    pub(crate) async fn order_service_fault(&self, fault: &services::Fault) -> Result<()> {
        self.order(&format!("{}/admin/faults", self.addresses.services.admin), fault).await
    }

    /// How many requests met a fault of a service, since the start.
    pub(crate) async fn service_faults_met(&self) -> Result<u64> {
        let url = format!("{}/admin/counts", self.addresses.services.admin);
        let failed = |error: reqwest::Error| LaunchError::Admin {
            url: url.clone(),
            reason: error.to_string(),
        };
        let answer = self.client.get(&url).timeout(ORDER_LIMIT).send().await.map_err(failed)?;
        let counts: std::collections::BTreeMap<String, services::Counts> =
            answer.json().await.map_err(failed)?;
        Ok(counts.values().map(|counts| counts.faults).sum())
    }

    /// Ends all ordered faults of the storage and the services.
    pub(crate) async fn clear_ordered_faults(&self) -> Result<()> {
        let storage = format!("{}/faults", self.addresses.storage_admin);
        let services = format!("{}/admin/faults", self.addresses.services.admin);
        for url in [storage, services] {
            self.accepted(&url, self.client.delete(&url)).await?;
        }
        Ok(())
    }

    async fn order(&self, url: &str, fault: &(impl Serialize + Sync)) -> Result<()> {
        self.accepted(url, self.client.post(url).json(fault)).await
    }

    async fn accepted(&self, url: &str, request: reqwest::RequestBuilder) -> Result<()> {
        let failed = |reason: String| LaunchError::Admin { url: url.to_owned(), reason };
        let answer =
            request.timeout(ORDER_LIMIT).send().await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(failed(status.to_string())) }
    }
}
