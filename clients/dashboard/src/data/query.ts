import { RepriseError } from "@reprise/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { epoch } from "./connection.ts";
import { visible } from "./visible.ts";

/** What was read, and how the reading stands. `data` stays while it is read again. */
export interface Query<T> {
  data: T | undefined;
  error: RepriseError | undefined;
  loading: boolean;
  reload: () => void;
  /** Puts an answer in place of what was read, for example after a change. */
  put: (data: T) => void;
}

/**
 * Reads when the component is shown, when a value of `deps` changes, and when the server is back after an outage; with
 * `everyMs` also again and again while the tab can be seen.
 */
export function useQuery<T>(deps: readonly unknown[], load: (signal: AbortSignal) => Promise<T>, everyMs?: number): Query<T> {
  const [state, setState] = useState<{ data?: T; error?: RepriseError; loading: boolean; key: string }>({ loading: true, key: "" });
  const [round, setRound] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  const key = JSON.stringify(deps);
  const seen = visible.value;
  const era = epoch.value;
  useEffect(() => {
    if (!seen) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const once = () => {
      setState((was) => (was.key === key ? { ...was, loading: true } : { loading: true, key }));
      latest.current(stop.signal).then(
        (data) => {
          if (stop.signal.aborted) return;
          setState({ data, loading: false, key });
          if (everyMs) timer = setTimeout(once, everyMs);
        },
        (thrown: unknown) => {
          if (stop.signal.aborted) return;
          setState((was) => ({ ...was, error: RepriseError.from(thrown), loading: false, key }));
          if (everyMs) timer = setTimeout(once, everyMs);
        },
      );
    };
    once();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, round, seen, era, everyMs]);
  const fresh = state.key === key;
  return {
    data: fresh ? state.data : undefined,
    error: fresh ? state.error : undefined,
    loading: !fresh || state.loading,
    reload: () => setRound((was) => was + 1),
    put: (data) => setState({ data, loading: false, key }),
  };
}

/** A list read page by page. */
export interface Pages<T> {
  items: readonly T[];
  error: RepriseError | undefined;
  loading: boolean;
  /** Whether there is more; `more` reads it. */
  hasMore: boolean;
  more: () => void;
  reload: () => void;
}

/** Reads the first page when a value of `deps` changes, and further ones when asked. */
export function usePages<T>(
  deps: readonly unknown[],
  load: (pageToken: string, signal: AbortSignal) => Promise<{ items: readonly T[]; next: string }>,
): Pages<T> {
  const first = useQuery(deps, (signal) => load("", signal));
  const [rest, setRest] = useState<{ of: unknown; items: readonly T[]; next: string; loading: boolean; error?: RepriseError }>();
  const own = rest && rest.of === first.data ? rest : undefined;
  const next = own ? own.next : (first.data?.next ?? "");
  return {
    items: own ? [...(first.data?.items ?? []), ...own.items] : (first.data?.items ?? []),
    error: own?.error ?? first.error,
    loading: first.loading || own?.loading === true,
    hasMore: next !== "",
    reload: first.reload,
    more: () => {
      const of = first.data;
      if (!of || next === "" || own?.loading) return;
      const before = own?.items ?? [];
      setRest({ of, items: before, next, loading: true });
      load(next, new AbortController().signal).then(
        (page) => setRest((was) => (was?.of === of ? { of, items: [...before, ...page.items], next: page.next, loading: false } : was)),
        (thrown: unknown) =>
          setRest((was) => (was?.of === of ? { of, items: before, next, loading: false, error: RepriseError.from(thrown) } : was)),
      );
    },
  };
}

/** A call that a button makes: whether it is under way, and how it failed. */
export function useAction<A extends unknown[], T>(
  call: (...args: A) => Promise<T>,
): { run: (...args: A) => Promise<T | undefined>; busy: boolean; error: RepriseError | undefined; clear: () => void } {
  const [state, setState] = useState<{ busy: boolean; error?: RepriseError }>({ busy: false });
  const run = async (...args: A): Promise<T | undefined> => {
    setState({ busy: true });
    try {
      const answer = await call(...args);
      setState({ busy: false });
      return answer;
    } catch (thrown) {
      setState({ busy: false, error: RepriseError.from(thrown) });
      return undefined;
    }
  };
  return { run, busy: state.busy, error: state.error, clear: () => setState({ busy: false }) };
}
