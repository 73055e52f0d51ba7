import { Page, type PageProps } from "../app/page.tsx";
import { Id } from "../components/text.tsx";

export default function DeliveryPage({ params }: PageProps) {
  return (
    <Page title={<Id id={params["delivery"] ?? ""} />} trail={[{ href: "/deliveries", label: "Deliveries" }]} tab="Delivery">
      <div class="head">
        <h1>Delivery</h1>
      </div>
    </Page>
  );
}
