//! When there is no room: nothing is acked that is not there, senders hear when to come again, and it goes on by itself.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::cluster::spawned;
use crate::support::hook;
use crate::support::server::Setup;

const SOON: Duration = Duration::from_secs(60);

/// A small disk of its own. Ends with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None: disks may not be mounted here.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("temp dir");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }

    /// Fills it to the last byte, and gives the file that does.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.path().join("ballast");
        let mut file = fs::File::create(&path).expect("made");
        for size in [64 * 1024, 1024, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// Sends until the answer has this status, and gives it.
async fn until(status: u16, mut send: impl AsyncFnMut() -> Result<hook::Answer, String>) -> hook::Answer {
    let begin = Instant::now();
    loop {
        match send().await {
            Ok(answer) if answer.status == status => return answer,
            other => assert!(begin.elapsed() < SOON, "no {status}, but {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acks_nothing_and_everything_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new() else { return };
    // The double's journal lies elsewhere: a judge does not run out of room.
    let judge = tempfile::tempdir().expect("temp dir");
    let setup = Setup { data: Some(disk.0.path().join("data")), journal: Some(judge.path().join("journal")), ..Setup::fake() };
    let server = setup.start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let send = async |delivery: &str, thread: i64, marks: &str| {
        hook::github(&url, &secret, "issue_comment", delivery, &hook::comment(thread, marks)).await
    };
    let live = send("d-1", 1, "[[sleep: 6]] [[say: done]]").await.expect("answered");
    spawned(&server.journal_path(), 1, SOON).await;
    let ballast = disk.fill();
    assert!(size(&ballast) > 1024 * 1024);
    let mut acked = Vec::new();
    let (begin, mut refused) = (Instant::now(), 0);
    // What still fits is stored and acked; what does not is refused, again and again.
    while refused < 20 {
        let delivery = format!("f-{}", acked.len());
        let answer = send(&delivery, 2, &"x".repeat(20_000)).await.expect("answered");
        match answer.status {
            200 => acked.push(answer.run_id()),
            status => {
                assert_eq!((status, answer.headers.contains_key("retry-after")), (503, true));
                refused += 1;
            }
        }
        assert!(begin.elapsed() < SOON, "a full disk takes everything");
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    fs::remove_file(&ballast).expect("removed");
    let again = until(200, async || send(&format!("f-{}", acked.len()), 2, "now").await).await;
    acked.push(again.run_id());
    let run = client.ended(&live.run_id()).await;
    assert_eq!((run.state(), run.attempt, run.result_text.as_str()), (v1::RunState::Succeeded, 1, "done"), "it was waited for");
    for run in acked {
        assert_eq!(client.ended(&run).await.state(), v1::RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_before_the_body_is_read() {
    let server = Setup::fake().with("[runner]\nslots = 1").start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let settings =
        v1::Settings { limits: Some(v1::LimitSettings { max_queued_runs: Some(2), ..Default::default() }), ..Default::default() };
    let update = v1::UpdateSettingsRequest {
        settings: Some(settings),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limits.max_queued_runs".to_owned()] }),
        ..Default::default()
    };
    client.settings.update_settings(update).await.expect("updated");
    let send = async |n: u32| {
        let payload = hook::comment(i64::from(n), "[[sleep: 3]]");
        hook::github(&url, &secret, "issue_comment", &format!("d-{n}"), &payload).await
    };
    let begin = Instant::now();
    let mut sent = 0;
    let refused = loop {
        let answer = send(sent).await.expect("answered");
        if answer.status != 200 {
            break answer;
        }
        sent += 1;
        assert!(begin.elapsed() < SOON && sent < 1000, "a queue of two takes everything");
    };
    assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true));
    // Only the head of a request that says that more follows: the answer does not wait for it.
    let mut stream = tokio::net::TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("connected");
    let path = &url[url.find("/hooks").expect("a path")..];
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("answered at once").expect("read");
    assert_eq!(&answer, b"HTTP/1.1 503");
    // There is room again by itself.
    until(200, async || send(5000).await).await;
}
