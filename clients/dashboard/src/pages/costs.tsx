import { Page } from "../app/page.tsx";

export default function CostsPage() {
  return (
    <Page title="Costs">
      <div class="head">
        <h1>Costs</h1>
      </div>
    </Page>
  );
}
