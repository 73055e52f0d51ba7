import { DatabaseKind, SandboxLevel } from "@reprise/client";
import { Loading, Notice } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { Age } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useQuery } from "../../data/query.ts";
import { toMs } from "../../lib/format.ts";

/** What the server is, which agents it found, and what is wrong with its configuration. Nothing here can be changed. */
export function Server() {
  const { data, error, reload } = useQuery(["server"], (signal) => reprise.settings.getServerInfo({}, { signal }));
  if (!data) return <div class="sec">{error ? <ErrorNotice error={error} onRetry={reload} /> : <Loading />}</div>;
  return (
    <div class="sec server">
      <p class="help">Read from the configuration at the start; to change it, change the configuration and start the server again.</p>
      <dl class="kv">
        <dt>Version</dt>
        <dd>{data.version}</dd>
        <dt>Address</dt>
        <dd>
          <code>{data.publicUrl}</code>
        </dd>
        <dt>Database</dt>
        <dd>{data.database === DatabaseKind.POSTGRES ? "PostgreSQL" : "SQLite"}</dd>
        <dt>Runs for</dt>
        <dd>
          <Age ms={toMs(data.startTime)} />
        </dd>
        <dt>Sandbox</dt>
        <dd>
          {data.sandbox === SandboxLevel.OFF
            ? "off: runs have the rights of the server's user, within what their profile allows"
            : "unknown"}
        </dd>
        {data.agents.map((agent) => (
          <Agent key={agent.kind} agent={agent} />
        ))}
      </dl>
      {data.warnings.map((warning) => (
        <Notice key={warning} mark="waiting" title="Warning">
          {warning}
        </Notice>
      ))}
    </div>
  );
}

function Agent({ agent }: { agent: { path: string; version: string; usable: boolean; problem: string; remedy: string } }) {
  return (
    <>
      <dt>Claude Code</dt>
      <dd>
        {agent.version || "not found"} {agent.path && <code class="f2">{agent.path}</code>}
        {!agent.usable && (
          <p class="c-red">
            {agent.problem} {agent.remedy}
          </p>
        )}
      </dd>
    </>
  );
}
