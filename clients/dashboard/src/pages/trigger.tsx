import { Page, type PageProps } from "../app/page.tsx";
import { Id } from "../components/text.tsx";

export default function TriggerPage({ params }: PageProps) {
  return (
    <Page title={<Id id={params["trigger"] ?? ""} />} trail={[{ href: "/triggers", label: "Triggers" }]} tab="Trigger">
      <div class="head">
        <h1>Trigger</h1>
      </div>
    </Page>
  );
}
