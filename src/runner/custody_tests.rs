//! Transcripts into custody and back.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

type Key = (i32, String, i32);

/// Keeps parts in memory.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    parts: Mutex<BTreeMap<Key, TranscriptPart>>,
}

impl Shelf {
    pub(super) fn put(&self, part: TranscriptPart) -> Result<()> {
        assert!(part.body_zstd.len() <= PART_BYTES + 1024 && part.byte_to - part.byte_from <= PART_BYTES as i64);
        self.parts.lock().expect("not poisoned").insert((part.rewrite, part.path.clone(), part.part), part);
        Ok(())
    }

    pub(super) fn get(&self, file: &CustodyFile, part: i32) -> Option<TranscriptPart> {
        self.parts.lock().expect("not poisoned").get(&(file.rewrite, file.path.clone(), part)).cloned()
    }

    fn len(&self) -> usize {
        self.parts.lock().expect("not poisoned").len()
    }

    fn each(&self, change: impl Fn(&mut TranscriptPart)) {
        self.parts.lock().expect("not poisoned").values_mut().for_each(change);
    }
}

struct Bench {
    shelf: Shelf,
    here: tempfile::TempDir,
    there: tempfile::TempDir,
    id: Uuid,
    manifest: Manifest,
}

impl Bench {
    fn new() -> Self {
        let dir = || tempfile::tempdir().expect("a directory");
        Self { shelf: Shelf::default(), here: dir(), there: dir(), id: Uuid::now_v7(), manifest: Manifest::default() }
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.here.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content).expect("written");
    }

    fn main(&self) -> String {
        name_of(self.id)
    }

    async fn save(&mut self) -> usize {
        let before = self.shelf.len();
        self.manifest = save_all(&Vault::Memory(&self.shelf), 1, self.id, self.here.path(), &self.manifest).await.expect("saved");
        self.shelf.len() - before
    }

    async fn restore(&self, dir: &Path) -> Materialised {
        restore_all(&Vault::Memory(&self.shelf), self.id, &self.manifest, dir).await.expect("restored")
    }

    fn there(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.there.path().join(path)).expect("there")
    }
}

/// Bytes that do not repeat, so that parts cannot be mixed up unseen.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{{\"n\":{n},\"uuid\":\"{:x}\"}}\n", n * 2_654_435_761).into_bytes()).collect()
}

#[tokio::test]
async fn a_transcript_comes_back_to_the_byte_with_its_side_files() {
    let mut bench = Bench::new();
    assert_eq!(bench.restore(bench.there.path()).await, Materialised::Missing);
    assert_eq!((bench.save().await, bench.manifest.files.len()), (0, 0));
    let (main, agent) = (bench.main(), format!("{}/subagents/agent-1.jsonl", bench.id));
    bench.write(&main, &lines(20_000));
    bench.write(&agent, b"side\n");
    bench.write("other.jsonl", b"not ours\n");
    bench.save().await;
    assert_eq!(bench.manifest.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), [main.as_str(), &agent]);
    assert!(bench.manifest.files[0].parts > 2);
    let parts = bench.shelf.len();
    assert_eq!(bench.restore(bench.there.path()).await, Materialised::Restored { parts });
    assert_eq!((bench.there(&main), bench.there(&agent)), (lines(20_000), b"side\n".to_vec()));
    assert_eq!(std::fs::read_dir(bench.there.path()).expect("there").count(), 2);
    assert_eq!(bench.restore(bench.there.path()).await, Materialised::Kept);
}

#[tokio::test]
async fn a_grown_transcript_adds_its_tail_only() {
    let mut bench = Bench::new();
    let main = bench.main();
    bench.write(&main, &lines(30_000));
    let first = bench.save().await;
    assert_eq!(bench.save().await, 0);
    bench.write(&main, &lines(30_010));
    assert_eq!(bench.save().await, 1);
    let file = &bench.manifest.files[0];
    assert_eq!((bench.manifest.rewrite, file.rewrite, file.parts), (0, 0, i32::try_from(first).expect("small") + 1));
    assert_eq!(file.sha256, sha256(&lines(30_010)));
    bench.restore(bench.there.path()).await;
    assert_eq!(bench.there(&main), lines(30_010));
}

#[tokio::test]
async fn a_transcript_that_did_not_just_grow_is_stored_anew() {
    let mut bench = Bench::new();
    let (main, side) = (bench.main(), format!("{}/tool-results/a.txt", bench.id));
    bench.write(&main, &lines(100));
    bench.write(&side, b"same");
    bench.save().await;
    for (rewrite, content) in [(1, lines(50)), (2, b"other\n".to_vec()), (3, Vec::new())] {
        bench.write(&main, &content);
        bench.save().await;
        assert_eq!(bench.manifest.files.iter().map(|file| file.rewrite).collect::<Vec<_>>(), [rewrite, 0]);
        assert_eq!(bench.manifest.rewrite, rewrite);
        bench.there = tempfile::tempdir().expect("a directory");
        bench.restore(bench.there.path()).await;
        assert_eq!((bench.there(&main), bench.there(&side)), (content, b"same".to_vec()));
    }
    std::fs::remove_file(bench.here.path().join(&side)).expect("removed");
    bench.save().await;
    assert_eq!(bench.manifest.files.len(), 1);
}

#[tokio::test]
async fn the_newer_local_transcript_is_kept_and_any_other_replaced() {
    let mut bench = Bench::new();
    let main = bench.main();
    bench.write(&main, &lines(100));
    bench.save().await;
    let custody = lines(100);
    let longer = [custody.clone(), b"the tail that a crash left unsaved\n".to_vec()].concat();
    bench.write(&main, &longer);
    assert_eq!(bench.restore(bench.here.path()).await, Materialised::Kept);
    assert_eq!(std::fs::read(bench.here.path().join(&main)).expect("there"), longer);
    for other in [lines(99), b"garbage".to_vec(), Vec::new(), [b"x".to_vec(), custody.clone()].concat()] {
        bench.write(&main, &other);
        assert_eq!(bench.restore(bench.here.path()).await, Materialised::Restored { parts: 1 });
        assert_eq!(std::fs::read(bench.here.path().join(&main)).expect("there"), custody);
    }
}

#[tokio::test]
async fn a_damaged_custody_never_becomes_a_transcript() {
    let mut bench = Bench::new();
    let main = bench.main();
    bench.write(&main, &lines(20_000));
    bench.save().await;
    bench.shelf.each(|part| {
        if part.part == 1 {
            part.body_zstd = zstd::bulk::compress(b"something else", 3).expect("compressed")
        }
    });
    assert_eq!(bench.restore(bench.there.path()).await, Materialised::Missing);
    assert_eq!(std::fs::read_dir(bench.there.path()).expect("there").count(), 0);
    // What is here is better than nothing, though it is not what custody knows.
    bench.write(&main, b"local\n");
    assert_eq!(bench.restore(bench.here.path()).await, Materialised::Kept);
    assert_eq!(std::fs::read(bench.here.path().join(&main)).expect("there"), b"local\n");
}

#[tokio::test]
async fn a_manifest_leads_nowhere_else() {
    let mut bench = Bench::new();
    let main = bench.main();
    bench.write(&main, b"a\n");
    bench.save().await;
    let file = bench.manifest.files[0].clone();
    let outside = format!("{}/../../outside.jsonl", bench.id);
    for path in ["/tmp/outside.jsonl", "../outside.jsonl", outside.as_str(), "unrelated.jsonl"] {
        bench.manifest.files = vec![CustodyFile { path: path.to_owned(), ..file.clone() }];
        bench.shelf.put(TranscriptPart { path: path.to_owned(), ..bench.shelf.get(&file, 0).expect("kept") }).expect("kept");
        assert_eq!(bench.restore(bench.there.path()).await, Materialised::Missing, "{path}");
        assert_eq!(std::fs::read_dir(bench.there.path()).expect("there").count(), 0);
    }
}

#[tokio::test]
async fn a_label_is_found_across_the_border_of_two_reads() {
    let bench = Bench::new();
    let label = "[reprise run_x]";
    assert!(!holds(bench.here.path(), bench.id, label).await);
    for before in [0, PART_BYTES - 3, PART_BYTES, 3 * PART_BYTES - 15] {
        bench.write(&bench.main(), &[vec![b'['; before], label.as_bytes().to_vec()].concat());
        assert!(holds(bench.here.path(), bench.id, label).await, "{before}");
        assert!(!holds(bench.here.path(), bench.id, "[reprise run_y]").await);
    }
}

#[tokio::test]
async fn what_is_set_aside_is_out_of_the_way_and_not_lost() {
    let bench = Bench::new();
    let main = bench.main();
    set_aside(bench.here.path(), bench.id).await.expect("nothing to do");
    for content in [b"one".as_slice(), b"two"] {
        bench.write(&main, content);
        bench.write(&format!("{}/subagents/a.jsonl", bench.id), content);
        set_aside(bench.here.path(), bench.id).await.expect("moved");
        assert!(!bench.here.path().join(&main).exists() && !bench.here.path().join(bench.id.to_string()).exists());
        assert_eq!(std::fs::read(bench.here.path().join(format!("{main}.aside"))).expect("there"), content);
    }
}
