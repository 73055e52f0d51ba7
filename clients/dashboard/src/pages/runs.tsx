import { Page } from "../app/page.tsx";

export default function RunsPage() {
  return (
    <Page title="Runs">
      <div class="head">
        <h1>Runs</h1>
      </div>
    </Page>
  );
}
