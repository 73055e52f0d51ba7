//! The memory of triggers.

use std::time::Duration;

use super::super::tests::{NOW, trigger};
use super::*;
use crate::domain::Source;
use crate::store::scratch;
use crate::store::triggers::NewSecret;

async fn world() -> (Hooks, Arc<Store>, Cipher, tempfile::TempDir) {
    let (store, dir) = scratch().await;
    let cipher = Cipher::load(&dir.path().join("master.key")).expect("a key");
    (Hooks::new(Arc::clone(&store), cipher.clone()), store, cipher, dir)
}

fn secret(cipher: &Cipher, text: &[u8]) -> NewSecret {
    let id = SecretId::new();
    NewSecret { id, sealed: cipher.seal(id, text).expect("sealed"), hint: "text".into(), create_time: NOW }
}

async fn get(hooks: &Hooks) -> Option<Arc<Hook>> {
    hooks.get("reviews").await.expect("answers")
}

#[tokio::test]
async fn a_written_trigger_counts_at_once_and_another_process_soon() {
    let (hooks, store, cipher, _dir) = world().await;
    assert!(get(&hooks).await.is_none());
    let trigger = trigger(Source::Github, |_| {});
    store.create_trigger(&trigger, &[secret(&cipher, b"first")]).await.expect("stored");
    assert!(get(&hooks).await.is_none(), "known to be nothing");
    hooks.forget(|slug, _| slug == "reviews");
    let hook = get(&hooks).await.expect("found");
    assert!(hook.has_token(&trigger.hook_token) && !hook.has_token("") && !hook.has_token("0123456789abcdef0123456789abcdeX"));
    assert_eq!(hook.secrets(NOW).iter().map(|(_, text)| *text).collect::<Vec<_>>(), [b"first"]);

    let mut spec = trigger.spec.clone();
    spec.filter_expression = "false".into();
    store.update_trigger(trigger.id, trigger.version, &spec).await.expect("updated");
    let known = get(&hooks).await.expect("found");
    assert!(Arc::ptr_eq(&known, &hook), "no query a webhook");
    hooks.forget(|_, id| id == Some(trigger.id));
    let fresh = get(&hooks).await.expect("found");
    assert_eq!(fresh.trigger.spec.filter_expression, "false");
    assert!(!Arc::ptr_eq(&fresh.rules, &hook.rules));

    spec.filter_expression = "true".into();
    store.update_trigger(trigger.id, fresh.trigger.version, &spec).await.expect("updated");
    tokio::time::sleep(FRESH + Duration::from_millis(50)).await;
    assert_eq!(get(&hooks).await.expect("found").trigger.spec.filter_expression, "true", "a second later it counts anyway");
}

#[tokio::test]
async fn an_unchanged_trigger_keeps_its_compiled_rules_and_when_its_secrets_were_used() {
    let (hooks, store, cipher, _dir) = world().await;
    let trigger = trigger(Source::Github, |spec| spec.filter_expression = "event.kind == 'push'".into());
    store.create_trigger(&trigger, &[secret(&cipher, b"first")]).await.expect("stored");
    let hook = get(&hooks).await.expect("found");
    let id = hook.secrets(NOW)[0].0;
    assert!(hook.is_due(id, NOW) && !hook.is_due(id, NOW), "once a minute");
    tokio::time::sleep(FRESH + Duration::from_millis(50)).await;
    let again = get(&hooks).await.expect("found");
    assert!(!Arc::ptr_eq(&again, &hook) && Arc::ptr_eq(&again.rules, &hook.rules));
    assert!(!again.is_due(id, NOW.plus(Duration::from_secs(59))) && again.is_due(id, NOW.plus(Duration::from_secs(61))));
    assert!(!again.is_due(SecretId::new(), NOW.plus(Duration::from_secs(999))));
}

#[tokio::test]
async fn of_those_who_come_first_together_one_notes_the_use() {
    let (hooks, store, cipher, _dir) = world().await;
    store.create_trigger(&trigger(Source::Github, |_| {}), &[secret(&cipher, b"first")]).await.expect("stored");
    let together = futures::future::join_all((0..8).map(|_| get(&hooks))).await;
    let due = together.into_iter().flatten().filter(|hook| hook.is_due(hook.secrets(NOW)[0].0, NOW)).count();
    assert_eq!(due, 1);
}

#[tokio::test]
async fn guessed_slugs_do_not_fill_the_memory() {
    let (hooks, store, cipher, _dir) = world().await;
    store.create_trigger(&trigger(Source::Github, |_| {}), &[secret(&cipher, b"first")]).await.expect("stored");
    assert!(get(&hooks).await.is_some());
    for n in 0..MAX_UNKNOWN + 10 {
        assert!(hooks.get(&format!("guess-{n}")).await.expect("answers").is_none());
    }
    let known = hooks.known.read().expect("unlocked");
    assert!(known.len() <= MAX_UNKNOWN + 1 && known.contains_key("reviews"), "{}", known.len());
}
