//! A wire to PostgreSQL that can break at the worst moment: after a commit has come about, and before its answer arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A wire that loses the answer to the first commits of transactions that mention something.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The database, at the end of the wire.
    pub(crate) url: String,
    lost: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Wire {
    /// To this database; the answers to `count` commits of transactions whose statements have `word` are lost.
    pub(crate) async fn start(database: &str, word: &'static str, count: usize) -> Self {
        let (server, name) = database.rsplit_once('/').expect("a database name");
        let (user, address) = server.split_once('@').expect("a user");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("{user}@{}/{name}", listener.local_addr().expect("bound"));
        let lost = Arc::new(AtomicUsize::new(0));
        let (address, counted) = (address.to_owned(), lost.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&address).await.expect("connected");
                connections.spawn(carry(near, far, word, count, counted.clone()));
            }
        });
        Self { url, lost, task }
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

/// Carries both ways until either end is gone, or an answer is to be lost.
async fn carry(mut near: TcpStream, mut far: TcpStream, word: &str, count: usize, lost: Arc<AtomicUsize>) {
    let (mut asked, mut told) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut mentioned = false;
    loop {
        tokio::select! {
            read = near.read(&mut asked) => {
                let Ok(size @ 1..) = read else { return };
                mentioned |= has(&asked[..size], word);
                let ends = has(&asked[..size], "COMMIT");
                if far.write_all(&asked[..size]).await.is_err() {
                    return;
                }
                if ends && mentioned && lost.load(Ordering::SeqCst) < count {
                    // Its answer says that it has come about, and goes no further.
                    let _answer = far.read(&mut told).await;
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                mentioned &= !ends;
            }
            read = far.read(&mut told) => {
                let Ok(size @ 1..) = read else { return };
                if near.write_all(&told[..size]).await.is_err() {
                    return;
                }
            }
        }
    }
}
