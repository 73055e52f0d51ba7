import { otherFields } from "../../components/form.tsx";
import type { About } from "../trigger.tsx";
import { ActionFields, AgentFields, LimitFields } from "./action.tsx";
import { HmacFields, IdentityFields } from "./identity.tsx";
import { AuthorFields, ConversationFields, RuleFields } from "./rules.tsx";
import type { DraftState } from "./use_draft.ts";

/** Paths that some field of the form shows. */
const SHOWN = [
  "secret",
  "trigger.slug",
  "trigger.source",
  "trigger.display_name",
  "trigger.filter_expression",
  "trigger.start_expression",
  "trigger.thread_key_expression",
  "trigger.prompt",
  "trigger.skill",
  "trigger.workspace",
  "trigger.agent",
  "trigger.run_limits",
  "trigger.caps",
  "trigger.busy",
  "trigger.retry",
  "trigger.author_rule.allow",
  "trigger.author_rule.deny",
  "trigger.author_rule.allowed_bots",
  "trigger.author_rule.own_identities",
  "trigger.hmac",
];

/** The whole form of a trigger. */
export function FormSections({
  form,
  about,
  triggerId,
  isNew,
  secret,
  onSecret,
}: {
  form: DraftState;
  about: About;
  triggerId: string | undefined;
  isNew: boolean;
  secret: string;
  onSecret: (secret: string) => void;
}) {
  const info = about.sources.find((one) => one.source === form.draft.source);
  const props = { form, info, defaults: about.defaults };
  const others = otherFields(form.problem, SHOWN);
  return (
    <>
      {others.length > 0 && (
        <div class="form-section">
          {others.map((one) => (
            <p key={one} class="c-red">
              {one}
            </p>
          ))}
        </div>
      )}
      <IdentityFields {...props} sources={about.sources} isNew={isNew} secret={secret} onSecret={onSecret} />
      <ActionFields {...props} />
      <RuleFields {...props} triggerId={triggerId} />
      <ConversationFields {...props} />
      <AuthorFields {...props} />
      <HmacFields {...props} />
      <AgentFields {...props} />
      <LimitFields {...props} />
    </>
  );
}
