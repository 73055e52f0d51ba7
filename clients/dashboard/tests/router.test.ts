import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { addGuard, match, navigate, path, place, query, queryAll, setQuery, startRouter, withQuery } from "../src/app/router.ts";

beforeAll(() => startRouter());
beforeEach(() => navigate("/", { replace: true }));
afterEach(() => document.body.replaceChildren());

const routes = [
  ["/", "now"],
  ["/runs", "runs"],
  ["/runs/:run", "run"],
] as const;

test("the first pattern that fits is taken, with its parameters decoded", () => {
  expect(match(routes, "/")?.value).toBe("now");
  expect(match(routes, "/runs/")?.value).toBe("runs");
  expect(match(routes, "/runs/a%2Fb")).toEqual({ value: "run", params: { run: "a/b" } });
  expect(match(routes, "/runs/%zz")?.params["run"]).toBe("%zz");
  expect(match(routes, "/nothing")).toBeUndefined();
});

test("filters live in the address, and leave it when they are empty", async () => {
  await navigate("/runs?state=failed&state=running#s3");
  expect(queryAll("state")).toEqual(["failed", "running"]);
  setQuery({ state: ["queued"], trigger: "reviews" });
  expect(location.search).toBe("?state=queued&trigger=reviews");
  expect(place.value.hash).toBe("#s3");
  expect(withQuery({ state: undefined })).toBe("/runs?trigger=reviews");
  setQuery({ state: undefined, trigger: "" });
  expect([location.search, query("state")]).toEqual(["", ""]);
});

test("a click on a plain link stays in the page; one with a modifier is the browser's", () => {
  const link = document.createElement("a");
  link.href = "/runs";
  link.textContent = "Runs";
  document.body.append(link);
  const plain = new MouseEvent("click", { bubbles: true, cancelable: true });
  link.dispatchEvent(plain);
  expect([plain.defaultPrevented, path.value]).toEqual([true, "/runs"]);
  const modified = new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey: true });
  link.dispatchEvent(modified);
  expect(modified.defaultPrevented).toBe(false);
});

test("a guard keeps the reader on the page until it agrees; filters of the page do not ask", async () => {
  let asked = 0;
  let agree = false;
  const remove = addGuard(async () => {
    asked += 1;
    return agree;
  });
  await navigate("/?tab=2");
  expect([path.value, asked]).toEqual(["/", 0]);
  await navigate("/runs");
  expect([path.value, asked]).toEqual(["/", 1]);
  agree = true;
  await navigate("/runs");
  expect([path.value, asked]).toEqual(["/runs", 2]);
  remove();
});
