//! The queue over a real database: SQLite always, PostgreSQL too when `REPRISE_TEST_DATABASE_URL` is set.

mod bed;
mod claiming;
mod intake;
mod interleavings;
mod lifecycle;
mod plans;
mod upkeep;
mod workers;

/// One behaviour, tested on every database there is.
macro_rules! on_every_database {
    ($($(#[$meta:meta])* async fn $name:ident($bed:ident: Bed) $body:block)+) => {
        $(
            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                for $bed in $crate::queue::tests::bed::Bed::all().await {
                    let checked = $bed.clone();
                    $body
                    checked.healthy().await;
                }
            }
        )+
    };
}

use on_every_database;
