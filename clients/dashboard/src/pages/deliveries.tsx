import { Page } from "../app/page.tsx";

export default function DeliveriesPage() {
  return (
    <Page title="Deliveries">
      <div class="head">
        <h1>Deliveries</h1>
      </div>
    </Page>
  );
}
