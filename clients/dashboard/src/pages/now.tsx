import { Page } from "../app/page.tsx";

export default function NowPage() {
  return (
    <Page title="Now">
      <div class="head">
        <h1>Now</h1>
      </div>
    </Page>
  );
}
