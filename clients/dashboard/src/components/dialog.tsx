import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "./basics.tsx";

interface DialogProps {
  title: string;
  children: ComponentChildren;
  /** Buttons; the last one is what Enter means. */
  end?: ComponentChildren;
  onClose: () => void;
  wide?: boolean;
}

/** A dialog over the page. Escape and a click beside it close it; the focus goes back to where it was. */
export function Dialog({ title, children, end, onClose, wide = false }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const back = document.activeElement;
    element.current?.showModal();
    return () => {
      if (back instanceof HTMLElement) back.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? "wide-dialog" : ""}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === element.current && onClose()}
      onKeyDown={(event) => event.key === "Escape" && event.stopPropagation()}
    >
      <div class="body">
        <h2>{title}</h2>
        {children}
      </div>
      {end && <div class="end">{end}</div>}
    </dialog>
  );
}

/** A question before something is done. */
export interface Question {
  title: string;
  /** What happens, and for a destructive act what is lost, by name and number. */
  body: ComponentChildren;
  /** Name of the act, as on its button. */
  confirm: string;
  danger?: boolean;
}

const asked = signal<(Question & { answer: (yes: boolean) => void }) | undefined>(undefined);

/** Asks; true when the person confirms. */
export function ask(question: Question): Promise<boolean> {
  asked.peek()?.answer(false);
  return new Promise((resolve) => {
    asked.value = {
      ...question,
      answer: (yes) => {
        asked.value = undefined;
        resolve(yes);
      },
    };
  });
}

/** Where questions appear; stands once in the frame. */
export function QuestionHost() {
  const question = asked.value;
  if (!question) return null;
  const { title, body, confirm, danger, answer } = question;
  return (
    <Dialog
      title={title}
      onClose={() => answer(false)}
      end={
        <>
          <Button onClick={() => answer(false)}>Cancel</Button>
          <Button primary={!danger} danger={danger ?? false} onClick={() => answer(true)}>
            {confirm}
          </Button>
        </>
      }
    >
      {typeof body === "string" ? <p>{body}</p> : body}
    </Dialog>
  );
}
