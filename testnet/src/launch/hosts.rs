//! Validators with addresses of their own: each in a namespace, from which forwarders lead to the
//! chain, the storage and the services.

use std::net::{Ipv4Addr, SocketAddr};

use super::environment::{Addresses, Ports};
use super::{LaunchError, Result};
use crate::netns::{Forwarder, Network, Place, forward};

/// The network of a subnet's validators. The last host is free, for strangers.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) network: Network,
    doors: Vec<Doors>,
}

/// The forwarders by which one validator reaches this machine's loopback, and is reached from it.
#[derive(Debug)]
struct Doors {
    storage: Forwarder,
    status: Forwarder,
    _others: Vec<Forwarder>,
}

impl Hosts {
    /// Where every validator listens inside its namespace. The mesh listens on all addresses, as
    /// the validator's own may change.
    pub(super) const PORTS: Ports = Ports { ip: Ipv4Addr::UNSPECIFIED, mesh: 4070, http: 9090 };

    /// Hosts for validators that read the chain at these addresses, and one more.
    pub(super) fn new(endpoints: &[String], addresses: &Addresses) -> Result<Self> {
        let network = Network::new(endpoints.len() + 1)?;
        let services = &addresses.services;
        let others = [
            &services.chutes_api,
            &services.chutes_generate,
            &services.hugging_face,
            &services.gemini,
        ];
        let mut doors = Vec::with_capacity(endpoints.len());
        for (host, endpoint) in endpoints.iter().enumerate() {
            let place = Place::Inside(network.namespace(host)?.clone());
            let out = |url: &str| {
                let address = socket_address(url)?;
                Ok::<_, LaunchError>(forward(&place, address, Place::Here, address)?)
            };
            let (free, status) = (loopback(0), loopback(Self::PORTS.http));
            doors.push(Doors {
                storage: out(&addresses.storage)?,
                _others: others
                    .into_iter()
                    .chain([endpoint])
                    .map(|url| out(url))
                    .collect::<Result<_, _>>()?,
                status: forward(&Place::Here, free, place.clone(), status)?,
            });
        }
        Ok(Self { network, doors })
    }

    /// Where the status pages of a validator are reached from this machine.
    pub(super) fn status_url(&self, validator: usize) -> Result<String> {
        Ok(format!("http://{}", self.doors(validator)?.status.address()))
    }

    /// Opens or closes the forwarder to the storage.
    pub(super) fn set_storage(&self, validator: usize, open: bool) -> Result<()> {
        self.doors(validator)?.storage.set_open(open);
        Ok(())
    }

    /// How many connections to the storage were held up so far.
    pub(super) fn held(&self, validator: usize) -> u64 {
        self.doors.get(validator).map_or(0, |doors| doors.storage.held())
    }

    /// Opens all forwarders.
    pub(super) fn open_all(&self) {
        self.doors.iter().for_each(|doors| doors.storage.set_open(true));
    }

    fn doors(&self, validator: usize) -> Result<&Doors> {
        self.doors.get(validator).ok_or(LaunchError::Options("the subnet has no such validator"))
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The socket address of a part's URL.
fn socket_address(url: &str) -> Result<SocketAddr> {
    let parsed = url::Url::parse(url).ok();
    let port = parsed
        .and_then(|url| url.port())
        .ok_or(LaunchError::Options("the address of a part has no port"))?;
    Ok(loopback(port))
}
