import { Page, type PageProps } from "../app/page.tsx";
import { Id } from "../components/text.tsx";

export default function SessionPage({ params }: PageProps) {
  return (
    <Page title={<Id id={params["session"] ?? ""} />} trail={[{ href: "/sessions", label: "Sessions" }]} tab="Session">
      <div class="head">
        <h1>Session</h1>
      </div>
    </Page>
  );
}
