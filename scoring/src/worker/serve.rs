//! The worker's side: reads requests, works on several clips at a time, and replies.

use super::frame::{self, FrameFault};
use super::message::{Ask, KEPT_SOURCES, MOST_CLIPS, Opening, Tell, encode};
use super::work::{Progress, Work, open_scorer};
use crate::media::MediaFault;
use crate::scorer::ScoreFault;
use leoma_protocol::Digest;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs as a worker on standard input and output until the input ends, which is when the validator
/// ends.
///
/// # Errors
/// The validator broke the protocol, or a stream failed.
pub fn run() -> Result<(), FrameFault> {
    // Text that this program or a driver prints must not get between the frames.
    let output = private_output().map_err(FrameFault::Stream)?;
    keep_to_the_validator();
    serve(&mut std::io::stdin().lock(), output, open_scorer)
}

fn private_output() -> std::io::Result<std::fs::File> {
    let output: OwnedFd = std::io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(std::io::stderr())?;
    Ok(output.into())
}

/// Leaves signals to the validator, and makes this process the first to be killed where memory runs
/// out.
fn keep_to_the_validator() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: no handler is installed that could run.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
}

/// Answers the requests of `input` on `output` until `input` ends. `open` handles the first
/// request. Clips that are unfinished when the input ends are dropped with the process.
///
/// # Errors
/// A frame that cannot be read, or a request out of place.
pub fn serve<W: Work>(
    input: &mut impl Read,
    output: impl Write + Send + 'static,
    open: impl FnOnce(&Opening, Progress<'_>) -> Result<W, ScoreFault>,
) -> Result<(), FrameFault> {
    let output = Output(Arc::new(Mutex::new(output)));
    let Some((Ask::Open(opening), _)) = frame::read(input)? else {
        return unexpected("no opening");
    };
    let mut progress = |done, of, what: &str| {
        let what = what.to_owned();
        // Where the validator is gone, the input ends too.
        let _ = output.tell(&Tell::Progress { done, of, what }, &[]);
    };
    let work = match open(&opening, &mut progress) {
        Ok(work) => Arc::new(work),
        Err(fault) => return output.tell(&Tell::fault(None, &fault), &[]),
    };
    output.tell(&Tell::Ready { policy: opening.options.policy().digest() }, &[])?;
    let sources = Sources(Mutex::new(VecDeque::new()));
    let worker = Arc::new(Worker { work, output, sources, in_hand: AtomicUsize::new(0) });
    while let Some((ask, mp4)) = frame::read(input)? {
        worker.take(ask, mp4)?;
    }
    Ok(())
}

fn unexpected<T>(reason: &str) -> Result<T, FrameFault> {
    Err(FrameFault::Unexpected { reason: reason.to_owned() })
}

struct Output<O>(Arc<Mutex<O>>);

impl<O: Write> Output<O> {
    fn tell(&self, tell: &Tell, body: &[u8]) -> Result<(), FrameFault> {
        frame::write(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), tell, body)
    }
}

/// The newest source clips, from old to new.
struct Sources<S>(Mutex<VecDeque<(Digest, Arc<S>)>>);

impl<S> Sources<S> {
    fn add(&self, sha256: Digest, source: S) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((sha256, Arc::new(source)));
        if kept.len() > KEPT_SOURCES {
            kept.pop_front();
        }
    }

    fn get(&self, sha256: Digest) -> Option<Arc<S>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(kept, _)| *kept == sha256).map(|(_, source)| Arc::clone(source))
    }
}

/// A frame and its body.
type Answer = Result<(Tell, Vec<u8>), ScoreFault>;

struct Worker<W: Work, O> {
    work: Arc<W>,
    output: Output<O>,
    sources: Sources<W::Source>,
    in_hand: AtomicUsize,
}

impl<W: Work, O: Write + Send + 'static> Worker<W, O> {
    fn take(self: &Arc<Self>, ask: Ask, mp4: Vec<u8>) -> Result<(), FrameFault> {
        if self.in_hand.fetch_add(1, Ordering::SeqCst) >= MOST_CLIPS {
            return unexpected("more clips than a worker takes");
        }
        let worker = Arc::clone(self);
        let (id, job): (u64, Box<dyn FnOnce() -> Answer + Send>) = match ask {
            Ask::Open(_) => return unexpected("a second opening"),
            Ask::Source { id } => (id, Box::new(move || worker.prepare(id, &mp4))),
            Ask::Score { id, source, prompt } => {
                let Some(source) = self.sources.get(source) else {
                    return unexpected("an unknown source clip");
                };
                (id, Box::new(move || worker.score(id, &source, prompt.as_deref(), &mp4)))
            }
        };
        let worker = Arc::clone(self);
        let started = std::thread::Builder::new().name("clip".into()).spawn(move || {
            let (tell, body) =
                job().unwrap_or_else(|fault| (Tell::fault(Some(id), &fault), Vec::new()));
            worker.in_hand.fetch_sub(1, Ordering::SeqCst);
            // Where the validator is gone, the input ends, and with it this process.
            let _ = worker.output.tell(&tell, &body);
        });
        started.map_or_else(|source| self.not_started(id, source), |_detached| Ok(()))
    }

    /// Reports a clip for which the system gave no thread. The clips of other threads go on: the end
    /// of this process would look as if one of them had crashed it.
    fn not_started(&self, id: u64, source: std::io::Error) -> Result<(), FrameFault> {
        self.in_hand.fetch_sub(1, Ordering::SeqCst);
        let program = "a thread of the scoring process".to_owned();
        let fault = ScoreFault::Media(MediaFault::Spawn { program, source });
        self.output.tell(&Tell::fault(Some(id), &fault), &[])
    }

    fn prepare(&self, id: u64, mp4: &[u8]) -> Answer {
        let source = caught(|| self.work.source(mp4))?;
        let (description, fingerprint) =
            (self.work.describe(&source), self.work.fingerprint(&source));
        self.sources.add(Digest::of(mp4), source);
        Ok((Tell::Prepared { id, description }, fingerprint))
    }

    fn score(&self, id: u64, source: &W::Source, prompt: Option<&str>, mp4: &[u8]) -> Answer {
        let scored = caught(|| self.work.score(source, prompt, mp4))?;
        let body = encode(scored).map_err(|fault| broken(&fault.to_string()))?;
        Ok((Tell::Scored { id, peak_kib: peak_kib() }, body))
    }
}

/// Turns a panic outside the arithmetic into a fault.
fn caught<T>(work: impl FnOnce() -> Result<T, ScoreFault>) -> Result<T, ScoreFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(broken(text.unwrap_or("a panic without a message")))
    })
}

fn broken(reason: &str) -> ScoreFault {
    ScoreFault::Broken { reason: reason.to_owned() }
}

/// Peak resident memory of this process so far, in KiB; 0 where the system does not report it.
pub fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceChoice;
    use crate::judge::{Outcome, Scored};
    use crate::worker::{FaultKind, ScorerOptions};
    use leoma_protocol::verdict::EntryStatus;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Calls every clip undecodable; a source of no bytes is unusable, and an answer of one byte
    /// panics.
    struct Fake;

    impl Work for Fake {
        type Source = usize;

        fn source(&self, mp4: &[u8]) -> Result<usize, ScoreFault> {
            if mp4.is_empty() {
                Err(ScoreFault::Reference(crate::media::VideoDefect::Empty))
            } else {
                Ok(mp4.len())
            }
        }

        fn score(
            &self,
            source: &usize,
            _prompt: Option<&str>,
            mp4: &[u8],
        ) -> Result<Scored, ScoreFault> {
            assert!(mp4.len() != 1, "this clip breaks the program");
            let reason = format!("{} bytes against {source}", mp4.len());
            let outcome = Outcome::Unusable { status: EntryStatus::Undecodable, reason, raw: None };
            Ok(Scored { video_sha256: Digest::of(mp4), outcome, fingerprint: None })
        }
    }

    /// Both ends of a stream in memory.
    struct Pipe(Vec<u8>, SyncSender<Vec<u8>>);
    struct Bytes(Vec<u8>, Receiver<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.1.send(std::mem::take(&mut self.0)).map_err(std::io::Error::other)
        }
    }

    impl Read for Bytes {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                self.0 = self.1.recv().unwrap_or_default();
            }
            let count = into.len().min(self.0.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn opening() -> Ask {
        Ask::Open(Opening {
            device: "cpu".into(),
            options: ScorerOptions::default(),
            comparisons: 1,
        })
    }

    fn frames(asks: &[(Ask, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (ask, body) in asks {
            frame::write(&mut bytes, ask, body).unwrap();
        }
        bytes
    }

    /// What a worker says to some bytes, and how it ended.
    fn said(input: &[u8]) -> (Vec<Tell>, Result<(), FrameFault>) {
        let (sender, receiver) = sync_channel(100);
        let ended = serve(&mut &input[..], Pipe(Vec::new(), sender), |_, _| Ok(Fake));
        let mut output = Bytes(Vec::new(), receiver);
        let mut tells = Vec::new();
        while let Some((tell, _)) = frame::read(&mut output).unwrap() {
            tells.push(tell);
        }
        (tells, ended)
    }

    #[test]
    fn it_answers_as_it_is_asked_and_survives_a_clip_that_panics() {
        let (mut ask, from_us) = std::io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        let (sender, receiver) = sync_channel(100);
        let mut input = from_us;
        let worker = std::thread::spawn(move || {
            serve(&mut input, Pipe(Vec::new(), sender), |_, _| Ok(Fake))
        });
        let mut output = Bytes(Vec::new(), receiver);
        let mut hear = || frame::read::<Tell>(&mut output).unwrap().unwrap();
        frame::write(&mut ask, &opening(), &[]).unwrap();
        assert!(matches!(hear().0, Tell::Ready { .. }));
        frame::write(&mut ask, &Ask::Source { id: 1 }, b"").unwrap();
        assert!(matches!(hear().0, Tell::Fault { id: Some(1), kind: FaultKind::Reference, .. }));
        frame::write(&mut ask, &Ask::Source { id: 2 }, b"source").unwrap();
        assert_eq!(hear().0, Tell::Prepared { id: 2, description: String::new() });
        frame::write(
            &mut ask,
            &Ask::Score { id: 3, source: Digest::of(b"source"), prompt: None },
            b"x",
        )
        .unwrap();
        match hear().0 {
            Tell::Fault { id: Some(3), kind: FaultKind::Arithmetic, reason } => {
                assert!(reason.contains("breaks the program"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        frame::write(
            &mut ask,
            &Ask::Score { id: 4, source: Digest::of(b"source"), prompt: None },
            b"ans",
        )
        .unwrap();
        let (tell, body) = hear();
        assert!(matches!(tell, Tell::Scored { id: 4, peak_kib: 1.. }), "{tell:?}");
        let scored = crate::worker::message::decode(&body).unwrap();
        assert_eq!(scored.video_sha256, Digest::of(b"ans"));
        assert!(
            matches!(scored.outcome, Outcome::Unusable { reason, .. } if reason == "3 bytes against 6")
        );
        drop(ask);
        worker.join().unwrap().unwrap();
    }

    #[test]
    fn what_no_validator_sends_ends_it() {
        let garbage = b"GET / HTTP/1.1\r\nHost: worker\r\n\r\n";
        assert!(
            matches!(said(garbage), (tells, Err(FrameFault::Lengths { .. })) if tells.is_empty())
        );
        assert!(matches!(said(b""), (_, Err(FrameFault::Unexpected { .. }))));
        assert!(matches!(
            said(&frames(&[(Ask::Source { id: 1 }, b"x")])),
            (_, Err(FrameFault::Unexpected { .. }))
        ));
        let twice = frames(&[(opening(), b""), (opening(), b"")]);
        assert!(matches!(said(&twice), (_, Err(FrameFault::Unexpected { .. }))));
        let unknown = frames(&[
            (opening(), b""),
            (Ask::Score { id: 1, source: Digest::of(b"?"), prompt: None }, b"x"),
        ]);
        assert!(matches!(said(&unknown), (_, Err(FrameFault::Unexpected { .. }))));
        let whole = frames(&[(opening(), b""), (Ask::Source { id: 1 }, b"a source")]);
        let (tells, ended) = said(&whole[..whole.len() - 3]);
        assert!(matches!(ended, Err(FrameFault::Cut)), "{ended:?}");
        assert!(matches!(tells[..], [Tell::Ready { .. }]), "{tells:?}");
        let (tells, ended) = said(&whole);
        assert!(
            ended.is_ok() && tells.contains(&Tell::Prepared { id: 1, description: String::new() }),
            "{tells:?} {ended:?}"
        );
    }

    #[test]
    fn a_clip_for_which_there_is_no_thread_is_this_machines_fault_and_ends_nothing() {
        let (sender, receiver) = sync_channel(100);
        let worker = Worker {
            work: Arc::new(Fake),
            output: Output(Arc::new(Mutex::new(Pipe(Vec::new(), sender)))),
            sources: Sources(Mutex::new(VecDeque::new())),
            in_hand: AtomicUsize::new(1),
        };
        let refused = std::io::Error::from(nix::errno::Errno::EAGAIN);
        worker.not_started(7, refused).unwrap();
        assert_eq!(worker.in_hand.load(Ordering::SeqCst), 0);
        drop(worker);
        let mut output = Bytes(Vec::new(), receiver);
        let (tell, _) = frame::read::<Tell>(&mut output).unwrap().unwrap();
        let Tell::Fault { id: Some(7), kind: FaultKind::Media, reason } = tell else {
            panic!("{tell:?}");
        };
        assert!(reason.contains("cannot start a thread"), "{reason}");
        assert!(frame::read::<Tell>(&mut output).unwrap().is_none());
    }

    #[test]
    fn a_device_that_does_not_open_is_reported_and_ends_it() {
        let (sender, receiver) = sync_channel(100);
        let open = |opening: &Opening, progress: Progress<'_>| {
            progress(1, 2, "a step");
            Err::<Fake, _>(opening.device.parse::<DeviceChoice>().unwrap_err().into())
        };
        let bad =
            Opening { device: "tpu".into(), options: ScorerOptions::default(), comparisons: 1 };
        serve(&mut &frames(&[(Ask::Open(bad), b"")])[..], Pipe(Vec::new(), sender), open).unwrap();
        let mut output = Bytes(Vec::new(), receiver);
        let mut hear = || frame::read::<Tell>(&mut output).unwrap().map(|(tell, _)| tell);
        assert_eq!(hear(), Some(Tell::Progress { done: 1, of: 2, what: "a step".into() }));
        assert!(matches!(hear(), Some(Tell::Fault { id: None, kind: FaultKind::Device, .. })));
        assert_eq!(hear(), None);
    }
}
