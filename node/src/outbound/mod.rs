//! Requests to services outside the subnet.

mod gemini;
mod service;

pub(crate) use gemini::Gemini;
pub(crate) use service::{BodyError, Service, ServiceError, ask, bounded_body, client, fault_of};
