import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { RepriseError, WhoAmIResponseSchema } from "@reprise/client";
import { beforeEach, expect, test } from "vitest";
import {
  currentKey,
  keepKey,
  noteRefused,
  phase,
  remembered,
  signIn,
  signInReason,
  signOut,
  startSession,
  takeCode,
  who,
} from "../src/data/session.ts";

const me = create(WhoAmIResponseSchema, { apiKeyId: "key_1", displayName: "first" });
const failure = (code: Code, reason: string) =>
  new RepriseError("refused", code, { reason, metadata: {}, fields: [], retryAfterMs: undefined }, undefined);

let whoAmI = async () => me;
let redeem = async (code: string) => `rk_${code}`;
const start = () => startSession({ whoAmI: () => whoAmI(), redeem: (code) => redeem(code) });

beforeEach(() => {
  signOut();
  sessionStorage.clear();
  history.replaceState(null, "", "/");
  whoAmI = async () => me;
  redeem = async (code) => `rk_${code}`;
});

test("a first visit without a code asks for a key", async () => {
  await start();
  expect([phase.value, currentKey(), signInReason.value]).toEqual(["signed-out", undefined, ""]);
});

test("a code in the fragment signs in, and has left the address before it is redeemed", async () => {
  history.replaceState(null, "", "/runs?state=failed#code=abc");
  let seen = "";
  redeem = async (code) => {
    seen = location.href;
    return `rk_${code}`;
  };
  await start();
  expect([phase.value, currentKey(), who.value?.apiKeyId]).toEqual(["signed-in", "rk_abc", "key_1"]);
  expect(seen).not.toContain("abc");
  expect(location.pathname + location.search + location.hash).toBe("/runs?state=failed");
  expect(sessionStorage.length).toBe(0);
});

test("a code that was used already leads to the sign-in, with its reason", async () => {
  history.replaceState(null, "", "/#code=abc");
  redeem = async () => {
    throw failure(Code.Unauthenticated, "CODE_INVALID");
  };
  await start();
  expect(phase.value).toBe("signed-out");
  expect(signInReason.value).toContain("used already");
});

test("another fragment is no code and stays", () => {
  history.replaceState(null, "", "/runs/run_1#s12");
  expect(takeCode()).toBeUndefined();
  expect(location.hash).toBe("#s12");
});

test("the key is in the tab's storage only if the person asks", async () => {
  await start();
  await signIn(" rk_a ", false);
  expect([currentKey(), sessionStorage.length, localStorage.getItem("reprise.key")]).toEqual(["rk_a", 0, null]);
  keepKey(true);
  expect([sessionStorage.getItem("reprise.key"), remembered.value]).toEqual(["rk_a", true]);
  signOut();
  expect([sessionStorage.length, currentKey()]).toEqual([0, undefined]);
});

test("a kept key signs in again after a reload", async () => {
  sessionStorage.setItem("reprise.key", "rk_kept");
  await start();
  expect([phase.value, currentKey(), remembered.value]).toEqual(["signed-in", "rk_kept", true]);
});

test("a refused key is forgotten; one that could not be asked about is not", async () => {
  await start();
  whoAmI = async () => {
    throw failure(Code.Unauthenticated, "KEY_INVALID");
  };
  await expect(signIn("rk_bad", true)).rejects.toMatchObject({ reason: "KEY_INVALID" });
  expect([phase.value, currentKey(), sessionStorage.length]).toEqual(["signed-out", undefined, 0]);
  sessionStorage.setItem("reprise.key", "rk_kept");
  whoAmI = async () => {
    throw failure(Code.Unavailable, "");
  };
  await start();
  expect([phase.value, currentKey(), sessionStorage.getItem("reprise.key")]).toEqual(["signed-in", "rk_kept", "rk_kept"]);
});

test("a refusal in the middle of work leads to the sign-in and leaves the address; an old call's does not count", async () => {
  await start();
  await signIn("rk_now", false);
  history.replaceState(null, "", "/runs/run_1");
  noteRefused("rk_before");
  expect(phase.value).toBe("signed-in");
  noteRefused("rk_now");
  expect([phase.value, currentKey(), location.pathname]).toEqual(["signed-out", undefined, "/runs/run_1"]);
  expect(signInReason.value).not.toBe("");
});
