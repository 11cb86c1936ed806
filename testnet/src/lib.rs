//! To be filled.

pub mod corpus;
pub mod miners;
pub mod seed;
pub mod services;
