//! Network cards that refuse segmentation offload: the kernel offers it, and each datagram that is
//! sent with it is an error.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::*;
use leoma_protocol::mesh::MeshConfig;
use std::net::Ipv4Addr;

/// Stands between a program and the system's calls. It offers offload on every kernel and refuses
/// what is sent with it, as such a card does, and notes each refusal.
const CARD: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { UDP = 17, SEGMENT = 103 };

int uname(struct utsname *name) {
    int (*real)(struct utsname *) = dlsym(RTLD_NEXT, "uname");
    int result = real(name);
    strcpy(name->release, "6.1.0");
    return result;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    if (level == UDP && option == SEGMENT) return 0;
    return real(fd, level, option, value, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    struct msghdr *given = (struct msghdr *)message;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(given); part; part = CMSG_NXTHDR(given, part)) {
        if (part->cmsg_level == UDP && part->cmsg_type == SEGMENT) {
            int notes = open(getenv("LEOMA_TEST_CARD_NOTES"), O_WRONLY | O_CREAT | O_APPEND, 0600);
            if (write(notes, "x", 1) != 1) abort();
            close(notes);
            errno = atoi(getenv("LEOMA_TEST_CARD_ERROR"));
            return -1;
        }
    }
    return real(fd, message, flags);
}
"#;

/// The card as a library, or a printed reason why there is none.
fn card(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("card.c"), folder.join("card.so"));
    std::fs::write(&source, CARD).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut compile = Command::new(compiler);
    compile.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
    match compile.status() {
        Ok(status) => assert!(status.success(), "the card does not compile"),
        Err(error) => {
            println!("skipped: no C compiler: {error}");
            return None;
        }
    }
    Some(library)
}

#[test]
fn f8_a_network_card_that_refuses_offload_breaks_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let Some(card) = card(folder.path()) else { return };
    // EIO of most such cards, and EINVAL.
    for error in ["5", "22"] {
        let notes = folder.path().join(error);
        let mut pair = Command::new(std::env::current_exe().unwrap());
        pair.args(["--ignored", "--exact", "mesh::offload::pair_worker_process", "--nocapture"]);
        pair.env("LD_PRELOAD", &card).env("LEOMA_TEST_CARD_ERROR", error);
        let said = pair.env("LEOMA_TEST_CARD_NOTES", &notes).output().unwrap();
        assert!(said.status.success(), "error {error}: {said:?}");
        let refused = std::fs::read(&notes).unwrap_or_default().len();
        assert!(refused > 0, "nothing was sent with offload: the test shows nothing");
        // Offload is switched off for the socket, and not tried for each datagram again.
        assert!(refused < 100, "{refused} datagrams were refused");
    }
}

/// Two validators that have nothing but QUIC, and a file that takes many datagrams.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that another test starts behind a network card without offload"]
async fn pair_worker_process() {
    if std::env::var_os("LEOMA_TEST_CARD_NOTES").is_none() {
        return println!("skipped: f8_a_network_card_that_refuses_offload_… starts it");
    }
    let members = hotkeys(1..=2);
    let quic_alone = |number| {
        let mut config = config(number, &members);
        let listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0);
        config.listen = listen.into_iter().filter(|to| to.to_string().contains("quic")).collect();
        assert_eq!(config.listen.len(), 1);
        config
    };
    let first = Node::start(quic_alone(1));
    let mut second = quic_alone(2);
    second.bootnodes = vec![first.addresses("/quic-v1").await];
    let second = Node::start(second);
    first.until_mutual(1).await;
    second.until_mutual(1).await;
    let content = vec![7; 512 << 10];
    let file = verdict(&signer(1), 99, &content);
    first.handle.provide_verdict(file.id, file.digest, content.clone()).await.unwrap();
    let fetched = second.handle.fetch_verdict(file.id, file.digest, only(file.digest)).await;
    assert_eq!(*fetched.unwrap(), content);
    assert_eq!((first.mutual().await, second.mutual().await), (1, 1));
}
