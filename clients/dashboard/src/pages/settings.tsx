import { Page } from "../app/page.tsx";

export default function SettingsPage() {
  return (
    <Page title="Settings">
      <div class="head">
        <h1>Settings</h1>
      </div>
    </Page>
  );
}
