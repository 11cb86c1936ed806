//! A whole Leoma subnet on one machine, every part real: the chain, the S3 server, stand-ins for
//! outside services, miners and the launcher that runs validators against them.

pub mod axons;
pub mod bench_mesh;
pub mod calibrate;
pub mod chain;
pub mod chaos;
pub mod corpus;
pub mod forecasters;
pub mod launch;
pub mod market;
pub mod miners;
pub mod netns;
mod report_file;
pub mod seed;
pub mod services;
mod stop;
pub mod storage;
