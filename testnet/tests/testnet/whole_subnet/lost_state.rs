//! A validator that lost its state while its bucket is down.

use std::time::{Duration, Instant};

use leoma::state::Books;
use leoma_testnet::storage::{Fault, FaultKind};

use super::bench::{Bench, LIMIT, Result};

const POLL: Duration = Duration::from_millis(100);

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn c6_an_empty_state_beside_a_bucket_that_is_down_waits_and_writes_nothing_over() {
    // Tasks of 48 s: other whole subnets run beside this one, and a turn that the machine cannot
    // finish in time signs nothing.
    let mut bench = Bench::start("lost state", 192).await;
    let result = run(&mut bench).await;
    bench.end(result).await;
}

async fn run(bench: &mut Bench) -> Result<()> {
    bench.learn_what_is_usual().await?;
    let before = bench.published();
    let down = Fault::always(FaultKind::InternalError);
    bench.order_of_storage(Some(&Fault { path: Some("leoma-validator-1".into()), ..down })).await?;
    bench.restart_without_state()?;
    let deadline = Instant::now() + LIMIT;
    while !bench.readyz().await.unwrap_or_default().contains("own bucket") {
        if Instant::now() > deadline {
            return Err(format!("/readyz: {:?}", bench.readyz().await).into());
        }
        tokio::time::sleep(POLL).await;
    }
    bench.order_of_storage(None).await?;
    bench.next_file().await?;
    let now = bench.published();
    for (task, bytes) in &before {
        if now.get(task) != Some(bytes) {
            return Err(format!("the file of task {task} is another one").into());
        }
    }
    let books = Books::read(&bench.state())?;
    match books.files.iter().find(|(_, digests)| digests.len() != 1) {
        Some((file, _)) => Err(format!("two files for {file:?}").into()),
        None => Ok(()),
    }
}
