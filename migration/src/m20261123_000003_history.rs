//! What happened: deliveries, journals, conversations and their transcripts.

use sea_orm_migration::prelude::*;

use crate::columns::{
    big, bytes, bytes_or_none, drop_all, id, id_or_none, index, int, key, one_of, primary, table, text, text_or_empty, text_or_none, time,
};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

const OUTCOME: [&str; 8] = ["queued", "coalesced", "duplicate", "filtered", "self_authored", "dropped", "rejected", "handshake"];

fn deliveries() -> TableCreateStatement {
    table(
        "deliveries",
        [
            key("id"),
            id_or_none("trigger_id"),
            text("trigger_slug"),
            text("source"),
            text("origin"),
            text_or_empty("provider_delivery_id"),
            // Held by the delivery that was accepted; a duplicate has none.
            bytes_or_none("dedupe_key"),
            text_or_empty("event_kind"),
            text_or_empty("action"),
            text_or_empty("actor_id"),
            text_or_empty("actor_login"),
            text_or_empty("actor_kind"),
            text_or_none("thread_key"),
            text_or_empty("title"),
            text_or_empty("url"),
            text_or_empty("event_text"),
            one_of("outcome", &OUTCOME),
            text_or_none("reason"),
            text_or_empty("message"),
            id_or_none("session_id"),
            id_or_none("run_id"),
            id_or_none("duplicate_of"),
            id_or_none("redelivery_of"),
            int("duplicate_count"),
            time("receive_time"),
            big("ack_micros"),
            big("body_bytes"),
        ],
    )
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(deliveries()).await?;
        manager
            .create_index(
                index("deliveries_dedupe", "deliveries", &["trigger_id", "dedupe_key"])
                    .unique()
                    .and_where(Expr::col(Alias::new("dedupe_key")).is_not_null())
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("deliveries_trigger", "deliveries", &["trigger_id", "id"])).await?;
        manager
            .create_index(
                index("deliveries_session", "deliveries", &["session_id", "id"])
                    .and_where(Expr::col(Alias::new("session_id")).is_not_null())
                    .to_owned(),
            )
            .await?;
        // Bulky columns live apart, so that lists never page over them.
        manager.create_table(table("delivery_payloads", [key("delivery_id"), bytes("headers"), bytes_or_none("body")])).await?;

        let mut links = table("run_deliveries", [id("run_id"), int("ordinal"), id("delivery_id")]);
        manager.create_table(links.primary_key(&mut primary(&["run_id", "ordinal"])).to_owned()).await?;
        manager.create_index(index("run_deliveries_delivery", "run_deliveries", &["delivery_id"])).await?;

        let mut chunks = table(
            "journal_chunks",
            [id("run_id"), int("first_sequence"), int("entry_count"), int("attempt"), big("raw_bytes"), time("create_time"), bytes("body")],
        );
        manager.create_table(chunks.primary_key(&mut primary(&["run_id", "first_sequence"])).to_owned()).await?;

        let mut conversations = table(
            "conversations",
            [
                id("session_id"),
                int("generation"),
                id("agent_session_id"),
                text("origin"),
                id_or_none("cause_run_id"),
                time("start_time"),
                int("turn_count"),
            ],
        );
        manager.create_table(conversations.primary_key(&mut primary(&["session_id", "generation"])).to_owned()).await?;

        let mut parts = table(
            "transcript_parts",
            [
                id("session_id"),
                int("generation"),
                // Counts whole-file rewrites; parts of a rewrite only ever append.
                int("rewrite"),
                text("path"),
                int("part"),
                big("byte_from"),
                big("byte_to"),
                text("sha256"),
                bytes("body"),
            ],
        );
        manager.create_table(parts.primary_key(&mut primary(&["session_id", "generation", "rewrite", "path", "part"])).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["deliveries", "delivery_payloads", "run_deliveries", "journal_chunks", "conversations", "transcript_parts"])
            .await
    }
}
