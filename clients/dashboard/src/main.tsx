import { render } from "preact";
import { Frame } from "./app/frame.tsx";
import { startKeys } from "./app/keys.ts";
import { startRouter } from "./app/router.ts";
import { SignIn } from "./app/sign_in.tsx";
import { startTheme } from "./app/theme.ts";
import { reprise } from "./data/api.ts";
import { setProbe } from "./data/connection.ts";
import { phase, startSession } from "./data/session.ts";
import { startVisible } from "./data/visible.ts";
import "./style/index.css";

function App() {
  document.getElementById("app")?.classList.toggle("alone", phase.value !== "signed-in");
  if (phase.value === "starting") return null;
  return phase.value === "signed-in" ? <Frame /> : <SignIn />;
}

const calls = {
  whoAmI: () => reprise.access.whoAmI({}),
  redeem: async (code: string) => (await reprise.access.redeemSignInCode({ code })).apiKey,
};

startTheme();
startVisible();
startRouter();
startKeys();
setProbe(calls.whoAmI);
void startSession(calls);

const root = document.getElementById("app");
if (root) render(<App />, root);
