//! Requests to services outside the subnet.
//!
//! | file | subject |
//! |---|---|
//! | `service.rs` | one question to an API: bounded bodies, retries, one error |
//! | `pace.rs` | our own rate, below the service's |
//! | `reach.rs` | which addresses requests may reach |
//! | `gemini.rs` | Gemini as a judge |

mod gemini;
mod pace;
mod reach;
mod service;

pub(crate) use gemini::Gemini;
pub(crate) use pace::Pace;
pub(crate) use reach::{OutOfReach, Reach};
pub(crate) use service::{Service, ServiceError, ask, ask_paced, fault_of, named_pause};
