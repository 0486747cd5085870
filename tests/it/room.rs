//! Without room on the disk the service is not ready, and says so.
//!
//! How much is left is what `statfs` tells; strace has it tell nothing, so neither root nor a small disk is needed.

use std::process::{Command, Stdio};

use reqwest::Client;
use serde_json::Value;

use crate::harness::binary::{Installation, command};

/// The beginning of struct statfs on systems of 64 bits, five numbers of 8 bytes: type, block size, blocks, free ones, and free ones for
/// whoever is not root. Each thread is told the truth once.
const NO_ROOM: &str = "statfs:poke_exit=@arg2=53ef0000000000000010000000000000e80300000000000000000000000000000000000000000000:when=2+";

#[tokio::test]
async fn a_service_without_room_on_its_disk_is_not_ready_and_lives() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let mut serve = Command::new("strace");
    let binary = command(&[]);
    // -D: the service is the child, and strace the grandchild, so that signals reach the service.
    serve.args([
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=statfs",
        "-e",
        &format!("inject={NO_ROOM}"),
    ]);
    serve.arg(binary.get_program()).arg("serve").stdin(Stdio::null());
    let serving = installation.start(serve, "log");
    // The first look finds room.
    installation.wait_until_ready().await;

    let client = Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(installation.url(path)).send().await.unwrap();
    let mut full = get("/readyz").await;
    for _ in 0..100 {
        if full.status() == 503 {
            break;
        }
        full = get("/readyz").await;
    }

    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    let problem: Value = serde_json::from_str(&full.text().await.unwrap()).unwrap();
    assert_eq!(problem["type"], "urn:quarantine-bridge:problem:not-ready");
    assert_eq!(problem["detail"], "The store cannot be written, or its disk is nearly full.");
    assert_eq!(get("/livez").await.status(), 200);
    assert_eq!(serving.terminate().await, Some(0));
}
