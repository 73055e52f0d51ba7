import { Page } from "../app/page.tsx";

export default function TriggersPage() {
  return (
    <Page title="Triggers">
      <div class="head">
        <h1>Triggers</h1>
      </div>
    </Page>
  );
}
