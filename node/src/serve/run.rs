//! The stages one after the other.

use leoma_web::{Audience, Site, Start};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

use super::loops;
use super::mesh::Joined;
use super::open::Opened;
use super::parts::Parts;
use super::supervise::Supervisor;

/// Runs a validator until `stop`.
///
/// # Errors
/// What kept it from starting, or the loop that died.
pub(crate) async fn serve(
    config: Config,
    parts: Parts,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let own = leoma_web::bind(config.machine.http_listen, "LEOMA_HTTP_LISTEN").await?;
    let public = match config.api.listen {
        Some(address) => Some(leoma_web::bind(address, "LEOMA_API_LISTEN").await?),
        None => None,
    };
    serve_at(own, public, &config, parts, stop).await
}

async fn serve_at(
    http: TcpListener,
    public: Option<TcpListener>,
    config: &Config,
    parts: Parts,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (start, progress) = Start::new("reading the hotkey");
    let mut supervisor = Supervisor::new(stop.clone());
    let site = Site::new(progress, config.api.site(), stop.clone());
    let served = leoma_web::serve(http, site.clone(), Audience::Operator);
    supervisor.spawn("HTTP server", async move { Ok(served.await?) });
    if let Some(public) = public {
        let served = leoma_web::serve(public, site, Audience::Public);
        supervisor.spawn("public HTTP server", async move { Ok(served.await?) });
    }
    let opening = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        opening = Opened::open(config, parts, &start, &stop) => opening,
    };
    let mut opened = match opening {
        Ok(opened) => opened,
        // A step that waits ends with an error at the stop, which is no failure.
        Err(error) if stop.is_cancelled() => {
            tracing::info!(%error, "stopped during the start");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let joined = Joined::join(config, &mut opened, &start).await?;
    let (mesh, scorer) = (joined.mesh.clone(), opened.scorer.clone());
    loops::spawn(config, parts, opened, joined, start, &mut supervisor)?;
    supervisor.run(mesh, scorer).await
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use leoma_wallet::{NewHotkey, hotkey_path};

    use super::*;
    use crate::config::Sources;

    #[tokio::test]
    async fn http_names_the_step_of_a_start_that_waits_and_a_stop_then_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        // The system accepts its connections; nobody answers them.
        let silent_node = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let node = format!("ws://{}", silent_node.local_addr().unwrap());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let environment = [
            ("NETWORK", node),
            ("WALLET_PATH", path("wallets")),
            ("LEOMA_STATE_DIR", path("state")),
            ("R2_ENDPOINT", "http://127.0.0.1:9".to_owned()),
            ("R2_SOURCE_BUCKET", "source".to_owned()),
            ("R2_VIDEOS_READ_ACCESS_KEY", "key".to_owned()),
            ("R2_VIDEOS_READ_SECRET_KEY", "secret".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let config = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
        NewHotkey::generate().write(&hotkey_path(&config.wallet), None, false).unwrap();
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = http.local_addr().unwrap();
        let parts = Parts { sampler: false, weights: true, rehearses: false };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving =
            tokio::spawn(async move { serve_at(http, None, &config, parts, stopped).await });

        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        while get("/readyz").await == (503, "starting: reading the hotkey\n".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(get("/readyz").await, (503, "starting: connecting to the chain\n".to_owned()));
        stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), serving).await.unwrap();
        ended.unwrap().unwrap();
    }
}
