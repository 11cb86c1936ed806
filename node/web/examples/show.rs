//! Serves the pages of a made-up subnet, to look at them without a chain.
//!
//! ```sh
//! cargo run -p leoma-web --example show -- 127.0.0.1:8099 [first_frame.png video.mp4]
//! ```

use leoma_web::testing::{MemorySource, Scale, subnet};
use leoma_web::{Audience, Site, SiteSettings, Start, bind, serve};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8099".to_owned());
    let mut snapshot = subnet(Scale { miners: 24, tasks: 100, validators: 6 });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    snapshot.head_seen_at = i64::try_from(now.as_secs())?;
    let (start, progress) = Start::new("making up a subnet");
    start.finish(match (std::env::args().nth(2), std::env::args().nth(3)) {
        (Some(frame), Some(video)) => MemorySource::with_media(
            snapshot,
            std::fs::read(frame)?.into(),
            std::fs::read(video)?.into(),
        ),
        _ => MemorySource::new(snapshot),
    });
    let site = Site::new(progress, SiteSettings::default(), CancellationToken::new());
    let listener = bind(address.parse()?, "the first argument").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(serve(listener, site, Audience::Operator).await?)
}
