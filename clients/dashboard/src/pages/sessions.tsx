import { Page } from "../app/page.tsx";

export default function SessionsPage() {
  return (
    <Page title="Sessions">
      <div class="head">
        <h1>Sessions</h1>
      </div>
    </Page>
  );
}
