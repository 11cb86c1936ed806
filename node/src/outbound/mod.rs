//! Requests to services outside the subnet.

mod service;

pub(crate) use service::{BodyError, ServiceError, ask, bounded_body, client, fault_of};
