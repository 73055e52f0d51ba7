import { expect, test } from "vitest";
import { signWebhook } from "../src/sign.js";

test("a GitHub webhook is signed as GitHub's documentation signs its example", async () => {
  const signed = await signWebhook("It's a Secret to Everybody", {
    source: "github",
    body: "Hello, World!",
    event: "push",
    deliveryId: "1",
  });
  expect(signed.headers["x-hub-signature-256"]).toBe("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
  expect(signed.headers["x-github-event"]).toBe("push");
});

test("a Standard Webhook is signed as the specification's example", async () => {
  const signed = await signWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", {
    source: "standard_webhooks",
    body: '{"test": 2432232314}',
    deliveryId: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    time: new Date(1614265330 * 1000),
  });
  expect(signed.headers["webhook-signature"]).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});
