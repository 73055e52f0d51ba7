import { Code, type Interceptor } from "@connectrpc/connect";
import { connect, RepriseError } from "@reprise/client";
import { noteDown, noteUp } from "./connection.ts";
import { currentKey, noteRefused } from "./session.ts";

/** Looks at every call: what it says about the connection and about the key. */
const observe: Interceptor = (next) => async (request) => {
  const used = currentKey();
  const failed = (thrown: unknown): never => {
    if (!request.signal.aborted) judge(RepriseError.from(thrown), used);
    throw thrown;
  };
  try {
    const response = await next(request);
    noteUp();
    if (!response.stream) return response;
    return { ...response, message: observed(response.message, failed) };
  } catch (thrown) {
    return failed(thrown);
  }
};

async function* observed<T>(messages: AsyncIterable<T>, failed: (thrown: unknown) => never): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (thrown) {
    failed(thrown);
  }
}

function judge(error: RepriseError, usedKey: string | undefined): void {
  if (error.code === Code.Unauthenticated) noteRefused(usedKey);
  // An answer with a reason came from the server, which is therefore there; unless it says that it is going.
  if (error.reason && error.reason !== "DRAINING") noteUp();
  else if (error.transient && error.code !== Code.Canceled) noteDown(error);
}

/** The server that this page came from. */
export const reprise = connect(location.origin, currentKey, { interceptors: [observe] });
