//! Pools of worker processes. This test program is started again as a worker that works as it
//! should or has a fault.

use crate::support;
use crate::support::Studio;
use bytes::Bytes;
use leoma_protocol::Digest;
use leoma_protocol::verdict::EntryStatus;
use leoma_scoring::worker::{
    FaultKind, Opening, Patience, PoolOptions, Progress, ScorerOptions, ScorerPool, Work,
    WorkerFault, WorkerProgram, open_scorer, serve,
};
use leoma_scoring::{
    AspectPolicy, Device, DeviceChoice, DeviceFault, Outcome, ScoreFault, Scored, Scorer,
    SelfTestFault,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
pub(crate) const SOURCE: Bytes = Bytes::from_static(b"a source clip");
const SECRET: &str = "LEOMA_TEST_SECRET_KEY";

/// Ends a test that would wait for ever.
pub(crate) async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, wait).await.expect("it does not end")
}

/// This program as a worker that runs the ignored test `name` with `folder` for notes. Frames have
/// a descriptor of their own, because the test harness prints on standard output.
fn worker(name: &str, folder: &Path) -> WorkerProgram {
    let test = std::env::current_exe().unwrap();
    let script = "exec 3>&1 1>&2; exec \"$0\" --ignored --exact \"$1\" --nocapture --quiet \"$2\"";
    let arguments = [
        "-c".into(),
        script.into(),
        test.into(),
        format!("worker::as_worker::{name}").into(),
        folder.into(),
    ];
    WorkerProgram { path: "/bin/sh".into(), arguments: arguments.into() }
}

pub(crate) fn options(name: &str, folder: &Path) -> PoolOptions {
    let patience = Patience { restart: Duration::from_millis(20), ..Patience::default() };
    PoolOptions { scoring: ScorerOptions::default(), program: worker(name, folder), patience }
}

async fn pool(name: &str, folder: &Path) -> ScorerPool {
    soon(ScorerPool::open_on(vec![Device::Cpu], options(name, folder))).await.unwrap()
}

pub(crate) fn reason(scored: Scored) -> String {
    match scored.outcome {
        Outcome::Unusable { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// All of a result without addresses of memory, which ffmpeg's complaints name. Every float is
/// printed with enough digits to tell it from its neighbours.
fn without_addresses(scored: &Scored) -> String {
    let text = format!("{scored:?}");
    text.split(' ').filter(|word| !word.starts_with("0x")).collect::<Vec<_>>().join(" ")
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Process numbers that workers noted, in the order of their starts.
fn pids(folder: &Path) -> Vec<u32> {
    let noted = std::fs::read_to_string(folder.join("pids")).unwrap_or_default();
    noted.lines().map(|line| line.parse().unwrap()).collect()
}

/// Whether a process exists and is not a zombie.
fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What runs in the other processes.
mod as_worker {
    use super::*;

    /// Calls `F` for each answer; sources are not looked at. An error of `F` is what the worker
    /// reports.
    struct Fake<F>(F);

    impl<F: Fn(&[u8]) -> Result<String, ScoreFault> + Send + Sync + 'static> Work for Fake<F> {
        type Source = ();

        fn source(&self, _mp4: &[u8]) -> Result<(), ScoreFault> {
            Ok(())
        }

        fn score(&self, (): &(), _prompt: Option<&str>, mp4: &[u8]) -> Result<Scored, ScoreFault> {
            let outcome = Outcome::Unusable {
                status: EntryStatus::Failed,
                reason: (self.0)(mp4)?,
                raw: None,
            };
            Ok(Scored { video_sha256: Digest::of(mp4), outcome, fingerprint: None })
        }
    }

    fn notes() -> PathBuf {
        std::env::args().next_back().unwrap().into()
    }

    /// Whether this is the first call with this name.
    fn is_first(name: &str) -> bool {
        std::fs::File::options().write(true).create_new(true).open(notes().join(name)).is_ok()
    }

    fn work<W: Work>(open: impl FnOnce(&Opening, Progress<'_>) -> Result<W, ScoreFault>) {
        let Ok(output) = std::fs::File::options().write(true).open("/proc/self/fd/3") else {
            return;
        };
        let mut pids =
            std::fs::File::options().append(true).create(true).open(notes().join("pids")).unwrap();
        std::io::Write::write_all(&mut pids, format!("{}\n", std::process::id()).as_bytes())
            .unwrap();
        serve(&mut std::io::stdin().lock(), output, open).unwrap();
        std::process::exit(0);
    }

    fn fake(score: impl Fn(&[u8]) -> Result<String, ScoreFault> + Send + Sync + 'static) {
        work(|_, _| Ok(Fake(score)));
    }

    #[test]
    #[ignore = "a worker process"]
    fn sound() {
        work(open_scorer);
    }

    #[test]
    #[ignore = "a worker process"]
    fn ends_in_the_middle_of_the_first_clip() {
        struct Mortal(Scorer);
        impl Work for Mortal {
            type Source = <Scorer as Work>::Source;
            fn source(&self, mp4: &[u8]) -> Result<Self::Source, ScoreFault> {
                self.0.source(mp4)
            }
            fn score(
                &self,
                source: &Self::Source,
                prompt: Option<&str>,
                mp4: &[u8],
            ) -> Result<Scored, ScoreFault> {
                if is_first("clip") {
                    std::process::abort();
                }
                Work::score(&self.0, source, prompt, mp4)
            }
        }
        work(|opening, progress| open_scorer(opening, progress).map(Mortal));
    }

    #[test]
    #[ignore = "a worker process"]
    fn ends_at_a_poisoned_clip() {
        fake(|mp4| {
            if mp4 == b"poison" {
                eprintln!("the driver is on fire");
                std::process::abort();
            }
            std::thread::sleep(Duration::from_millis(50));
            Ok("done".into())
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn never_starts() {
        eprintln!("no such luck");
        std::process::exit(3);
    }

    #[test]
    #[ignore = "a worker process"]
    fn starts_once() {
        if is_first("start") {
            fake(|_| std::process::abort());
        }
        std::process::exit(3);
    }

    #[test]
    #[ignore = "a worker process"]
    fn hangs_at_the_first_clip() {
        fake(|_| {
            if is_first("clip") {
                std::thread::sleep(10 * LIMIT);
            }
            Ok("done".into())
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn hangs() {
        fake(|_| {
            loop {
                std::thread::sleep(LIMIT);
            }
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn breaks_its_context_once() {
        fake(|_| {
            if is_first("clip") {
                let device = Device::Cuda { index: 0 };
                return Err(ScoreFault::Arithmetic {
                    device,
                    reason: "CUDA_ERROR_ILLEGAL_ADDRESS".into(),
                });
            }
            Ok("done".into())
        });
    }

    /// Two clips are scored, then the device is gone for every process until it is `back`.
    #[test]
    #[ignore = "a worker process"]
    fn loses_its_device_after_two_clips() {
        let is_back = || notes().join("back").exists();
        work(|_, _| {
            if notes().join("gone").exists() && !is_back() {
                return Err(DeviceFault::NoDriver.into());
            }
            Ok(Fake(move |_: &[u8]| {
                if is_first("one") || is_first("two") || is_back() {
                    return Ok("done".into());
                }
                std::fs::write(notes().join("gone"), "").unwrap();
                let device = Device::Cuda { index: 0 };
                Err(ScoreFault::Arithmetic { device, reason: "CUDA_ERROR_UNKNOWN".into() })
            }))
        });
    }

    /// The CPU works, and every other device computes something else.
    #[test]
    #[ignore = "a worker process"]
    fn computes_wrongly_on_a_gpu() {
        work(|opening, _| {
            if opening.device != "cpu" {
                let device = Device::Cuda { index: 0 };
                let (metric, index, got, want) = ("ms_ssim", 1, 0.64, 0.942);
                return Err(SelfTestFault { device, metric, index, got, want }.into());
            }
            Ok(Fake(|_: &[u8]| Ok::<String, ScoreFault>("done".into())))
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn has_memory_for_one_comparison() {
        work(|opening, _| {
            let comparisons = opening.comparisons;
            Ok(Fake(move |_: &[u8]| match comparisons {
                1 => Ok("done".into()),
                _ => {
                    let device = Device::Cuda { index: 0 };
                    Err(ScoreFault::OutOfMemory { device, reason: "can't allocate buffer".into() })
                }
            }))
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn babbles_after_the_first_clip() {
        fake(|_| {
            if is_first("clip") {
                let mut output =
                    std::fs::File::options().write(true).open("/proc/self/fd/3").unwrap();
                std::io::Write::write_all(&mut output, b"Segmentation fault (not really)\n")
                    .unwrap();
                std::thread::sleep(LIMIT);
            }
            Ok("done".into())
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn names_itself() {
        let in_hand = std::sync::atomic::AtomicU32::new(0);
        fake(move |_| {
            let beside = in_hand.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(200));
            in_hand.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            Ok(format!("{} {beside}", std::process::id()))
        });
    }

    #[test]
    #[ignore = "a worker process"]
    fn tells_its_settings() {
        fake(|_| Ok(std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect()));
    }

    /// Stands in for a validator, which another test kills.
    #[tokio::test]
    #[ignore = "a validator's process"]
    async fn validator() {
        let folder = notes();
        let Ok(pool) = ScorerPool::open_on(vec![Device::Cpu], options("hangs", &folder)).await
        else {
            return;
        };
        let source = pool.reference(SOURCE).await.unwrap();
        std::fs::write(folder.join("scoring"), "").unwrap();
        let _never = pool.score(&source, SOURCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_finds_what_this_process_finds_to_the_last_bit_also_after_an_end_in_the_middle() {
    if support::ffmpeg().is_none() {
        return;
    }
    let (folder, studio) = (folder(), Studio::new());
    let source = studio.scene("source.mp4");
    let answers = [
        studio.copy("good.mp4", "source.mp4", "null"),
        studio.copy("bad.mp4", "source.mp4", "gblur=4"),
        studio.copy("small.mp4", "source.mp4", "scale=640:360"),
        b"no video".to_vec(),
        Vec::new(),
        vec![0; 65 << 20],
    ];
    let here = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    let reference = here.reference(&source).unwrap();
    let pool = pool("ends_in_the_middle_of_the_first_clip", folder.path()).await;
    let source = soon(pool.reference(source.into())).await.unwrap();
    assert_eq!(source.sha256(), reference.sha256());
    for answer in answers {
        let want = here.score(&reference, &answer).unwrap();
        let got = soon(pool.score(&source, answer.into())).await.unwrap();
        assert_eq!(without_addresses(&got), without_addresses(&want));
        if let (Outcome::Usable { raw: got, .. }, Outcome::Usable { raw: want, .. }) =
            (got.outcome, want.outcome)
        {
            assert_eq!(got.first_psnr.to_bits(), want.first_psnr.to_bits());
        }
    }
    assert_eq!(pool.counts().restarts, 1, "{:?}", pool.counts());
    assert!(pool.counts().peak_kib > 100 << 10, "{:?}", pool.counts());
    let unusable = soon(pool.reference(Bytes::from_static(b"no video"))).await;
    let is_ours = |fault: &WorkerFault| {
        matches!(fault, WorkerFault::Reported { kind: FaultKind::Reference, .. })
    };
    assert!(matches!(&unusable, Err(ScoreFault::Worker(fault)) if is_ours(fault)), "{unusable:?}");
    assert!(matches!(soon(pool.reference(Bytes::new())).await, Err(ScoreFault::Reference(_))));
    assert_eq!(pool.counts().restarts, 1, "an unusable source ended a worker");
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_ends_every_worker_is_our_fault_and_its_neighbours_are_scored() {
    let folder = folder();
    let pool = pool("ends_at_a_poisoned_clip", folder.path()).await;
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let score = |answer: &'static [u8]| soon(pool.score(&source, Bytes::from_static(answer)));
    let (before, poisoned, after) =
        tokio::join!(score(b"before"), score(b"poison"), score(b"after"));
    match poisoned {
        Err(ScoreFault::Worker(WorkerFault::Ended { reason, .. })) => {
            assert!(reason.contains("signal: 6") && reason.contains("on fire"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!([before, after].map(|scored| reason(scored.unwrap())), ["done", "done"]);
    assert_eq!(pids(folder.path()).len(), 3, "two tries end two workers");
    assert_eq!(pool.counts().restarts, 2);
    assert_eq!(reason(score(b"later").await.unwrap()), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_starts_is_a_fault_with_its_last_words() {
    let folder = folder();
    match soon(ScorerPool::open_on(vec![Device::Cpu; 2], options("never_starts", folder.path())))
        .await
    {
        Err(ScoreFault::Worker(WorkerFault::Start { reason, .. })) => {
            assert!(
                reason.contains("exit status: 3") && reason.contains("no such luck"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    let program = WorkerProgram { path: "/nonexistent/leoma".into(), arguments: Vec::new() };
    let options = PoolOptions { program, ..options("", folder.path()) };
    let missing = soon(ScorerPool::open(DeviceChoice::Cpu, options)).await;
    assert!(matches!(missing, Err(ScoreFault::Worker(WorkerFault::Start { .. }))), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_started_again_fails_every_clip_and_does_not_spin() {
    let folder = folder();
    let patience = Patience { restart: Duration::from_millis(300), ..Patience::default() };
    let options = PoolOptions { patience, ..options("starts_once", folder.path()) };
    let pool = soon(ScorerPool::open_on(vec![Device::Cpu], options)).await.unwrap();
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        let scored = soon(pool.score(&source, SOURCE)).await;
        assert!(matches!(scored, Err(ScoreFault::Worker(WorkerFault::Start { .. }))), "{scored:?}");
    }
    assert!(begun.elapsed() < LIMIT / 2);
    assert_eq!(pool.counts().up, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // After 0, 0.3, 0.6 and 1.2 s, and whatever the calls above took.
    let most = 5 + begun.elapsed().as_secs() / 2;
    assert!(
        (3..=most).contains(&pool.counts().restarts),
        "{:?} after {:?}",
        pool.counts(),
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_is_killed_at_its_deadline_and_the_clip_tried_again() {
    let folder = folder();
    let patience = Patience { clip: Duration::from_secs(2), ..Patience::default() };
    let options = |name| PoolOptions { patience, ..options(name, folder.path()) };
    let pool = soon(ScorerPool::open_on(vec![Device::Cpu], options("hangs_at_the_first_clip")))
        .await
        .unwrap();
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(reason(soon(pool.score(&source, SOURCE)).await.unwrap()), "done");
    assert!(begun.elapsed() >= patience.clip, "{:?}", begun.elapsed());
    let hung = pids(folder.path())[0];
    assert!(!runs(hung), "the hung worker is still there");
    pool.close().await;

    let pool = soon(ScorerPool::open_on(vec![Device::Cpu], options("hangs"))).await.unwrap();
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let scored = soon(pool.score(&source, SOURCE)).await;
    let late = WorkerFault::Late { device: Device::Cpu, seconds: 2 };
    assert!(matches!(&scored, Err(ScoreFault::Worker(fault)) if *fault == late), "{scored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_context_a_full_device_and_a_broken_protocol_each_take_a_fresh_worker() {
    for name in
        ["breaks_its_context_once", "has_memory_for_one_comparison", "babbles_after_the_first_clip"]
    {
        let folder = folder();
        // A device with more than one comparison at a time; these workers open none.
        let devices = vec![Device::Cuda { index: 0 }];
        let pool = soon(ScorerPool::open_on(devices, options(name, folder.path()))).await.unwrap();
        let source = soon(pool.reference(SOURCE)).await.unwrap();
        let score =
            |answer: &'static str| soon(pool.score(&source, Bytes::from_static(answer.as_bytes())));
        let (first, second) = tokio::join!(score("first"), score("second"));
        assert_eq!(
            [first, second].map(|scored| reason(scored.unwrap())),
            ["done", "done"],
            "{name}"
        );
        assert_eq!(pids(folder.path()).len(), 2, "{name}");
        assert_eq!(reason(score("third").await.unwrap()), "done", "{name}");
        assert_eq!(pool.counts().restarts, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_scores_on_the_cpu_where_the_gpu_fails_its_test_and_a_named_gpu_is_refused() {
    let folder = folder();
    let options = options("computes_wrongly_on_a_gpu", folder.path());
    let devices = vec![Device::Cuda { index: 0 }];
    let named = soon(ScorerPool::open_on(devices.clone(), options.clone())).await.unwrap_err();
    let ScoreFault::Worker(fault) = named else { panic!("{named:?}") };
    assert!(matches!(fault, WorkerFault::Start { kind: FaultKind::SelfTest, .. }), "{fault:?}");

    let pool = soon(ScorerPool::open_on_or_cpu(devices, options)).await.unwrap();
    assert_eq!(pool.devices(), [Device::Cpu]);
    let reason_why = pool.counts().fallback.unwrap_or_default();
    assert!(reason_why.contains("cuda:0 computes ms_ssim differently"), "{reason_why}");
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    assert_eq!(reason(soon(pool.score(&source, SOURCE)).await.unwrap()), "done");

    // A pool that opens as it was told has nothing to explain.
    let sound = soon(ScorerPool::open_on_or_cpu(
        vec![Device::Cpu],
        self::options("computes_wrongly_on_a_gpu", folder.path()),
    ));
    assert_eq!(sound.await.unwrap().counts().fallback, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_one_queue_and_each_has_several_clips_in_hand() {
    let folder = folder();
    let devices = [0, 1].map(|index| Device::Cuda { index }).to_vec();
    let pool = soon(ScorerPool::open_on(devices.clone(), options("names_itself", folder.path())))
        .await
        .unwrap();
    assert_eq!(pool.devices(), devices);
    assert!(pool.clips_at_a_time() >= 4);
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let mut scoring = tokio::task::JoinSet::new();
    for n in 0..16_u8 {
        let (pool, source) = (pool.clone(), source.clone());
        scoring.spawn(async move { pool.score(&source, vec![n].into()).await });
    }
    let scored = soon(scoring.join_all()).await;
    let told: Vec<String> = scored.into_iter().map(|scored| reason(scored.unwrap())).collect();
    let numbers = told.iter().map(|told| told.split_once(' ').unwrap());
    let (by_worker, beside): (BTreeSet<u32>, Vec<u32>) = numbers
        .map(|(pid, beside)| (pid.parse::<u32>().unwrap(), beside.parse::<u32>().unwrap()))
        .unzip();
    assert_eq!(by_worker, BTreeSet::from_iter(pids(folder.path())));
    assert!(beside.iter().any(|beside| *beside > 0), "one clip at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_given_no_secrets() {
    let folder = folder();
    // SAFETY: nothing in this program reads the environment's memory itself.
    unsafe { std::env::set_var(SECRET, "correct horse") };
    let pool = pool("tells_its_settings", folder.path()).await;
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let settings = reason(soon(pool.score(&source, SOURCE)).await.unwrap());
    assert!(!settings.contains(SECRET) && !settings.contains("correct horse"), "{settings}");
    assert!(settings.contains("PATH="), "{settings}");
    let shell_adds = ["PWD", "OLDPWD", "SHLVL", "_"];
    for name in settings.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name) {
        let known = [
            "PATH",
            "HOME",
            "TMPDIR",
            "LD_LIBRARY_PATH",
            "XDG_CACHE_HOME",
            "RUST_LOG",
            "RAYON_NUM_THREADS",
        ];
        assert!(
            known.contains(&name) || name.starts_with("CUDA_") || shell_adds.contains(&name),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_with_their_pool_and_with_a_validator_that_is_killed() {
    let closed = folder();
    let pool = pool("hangs", closed.path()).await;
    let source = soon(pool.reference(SOURCE)).await.unwrap();
    let stuck = tokio::spawn({
        let (pool, source) = (pool.clone(), source.clone());
        async move { pool.score(&source, SOURCE).await }
    });
    let [pid] = pids(closed.path())[..] else { panic!("one worker") };
    assert!(runs(pid));
    tokio::time::sleep(Duration::from_millis(100)).await;
    soon(pool.close()).await;
    assert!(!runs(pid) && !Path::new(&format!("/proc/{pid}")).exists(), "no process, no zombie");
    for scored in [soon(stuck).await.unwrap(), soon(pool.score(&source, SOURCE)).await] {
        assert!(matches!(scored, Err(ScoreFault::Worker(WorkerFault::Stopped))), "{scored:?}");
    }

    let killed = folder();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "worker::as_worker::validator", "--nocapture"])
        .arg(killed.path());
    let mut validator = command.spawn().unwrap();
    until("the validator scores", || killed.path().join("scoring").exists()).await;
    let [pid] = pids(killed.path())[..] else { panic!("one worker") };
    assert!(runs(pid));
    validator.kill().unwrap();
    validator.wait().unwrap();
    until("an orphan goes on", || !runs(pid)).await;
}
