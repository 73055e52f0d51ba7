import { Page, type PageProps } from "../app/page.tsx";
import { Id } from "../components/text.tsx";

export default function RunPage({ params }: PageProps) {
  return (
    <Page title={<Id id={params["run"] ?? ""} />} trail={[{ href: "/runs", label: "Runs" }]} tab="Run">
      <div class="head">
        <h1>Run</h1>
      </div>
    </Page>
  );
}
