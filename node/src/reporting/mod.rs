//! What is reported to the API at `API_URL`: our samples, and our checks of the miners. It is for
//! the dashboard of the subnet's owner; nothing here depends on whether it arrives.
//!
//! | file | subject |
//! |---|---|
//! | `client.rs` | one signed post |
//! | `posts.rs` | what is posted |
//! | `reporter.rs` | when |

mod client;
mod posts;
mod reporter;

pub(crate) use reporter::Reporter;
