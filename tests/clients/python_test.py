"""The Python client against the real server; run by tests/clients/run.sh."""

import os
import re
import socket
import subprocess
import sys
import time
import unittest
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reprise import RepriseError, connect, errors, v1

ROOT = Path(__file__).resolve().parents[2]
TOOL = "[[toolcall]] [[sleep: 2]] [[lines: 5]] [[say: done]]"


def control(word: str) -> str:
    host, port = os.environ["TEST_CONTROL"].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{word}\n".encode())
        return connection.makefile().readline().strip()


class Base(unittest.TestCase):
    def setUp(self) -> None:
        self.api = connect()
        self.addCleanup(self.api.close)
        self.far = connect(os.environ["TEST_PROXY_ADDR"])
        self.addCleanup(self.far.close)

    def trigger(self, source: str = "manual", **fields: Any) -> tuple[str, str]:
        """A new trigger, and its secret."""
        slug = f"python-{uuid.uuid4().hex[:8]}"
        made = self.api.create_trigger(slug, source, "Do {{ event.text }}", **fields)
        return slug, made.secret

    def fired(self, prompt: str, **more: Any) -> str:
        slug, _ = self.trigger()
        return self.api.fire(slug, {"text": "hello"}, prompt=prompt, **more).run.id

    def same_as_direct(self, entries: list[v1.JournalEntry], run_id: str) -> None:
        """What came over lost connections is the whole journal, each entry once, in order."""
        self.assertEqual([entry.sequence for entry in entries], list(range(1, len(entries) + 1)))
        self.assertEqual(entries, list(self.api.watch(run_id)))
        self.assertEqual(entries[-1].WhichOneof("kind"), "outcome")


class Unary(Base):
    def test_a_trigger_is_made_read_and_listed(self) -> None:
        slug, secret = self.trigger("github", resume_sessions=True, run_limits={"max_cost_usd": 1.5})
        read = self.api.get_trigger(slug)
        self.assertEqual((read.source, read.resume_sessions, read.run_limits.max_cost_usd), (v1.SOURCE_GITHUB, True, 1.5))
        self.assertTrue(secret.endswith(read.secrets[0].hint) and len(secret) >= 32, "a secret was made and shown once")
        self.assertIn(slug, read.webhook_url)
        self.assertEqual(self.api.access.WhoAmI(v1.WhoAmIRequest()).role, v1.ROLE_ADMIN)

    def test_lists_are_read_page_by_page(self) -> None:
        slug, _ = self.trigger()
        made = [self.api.fire(slug, {"n": n}, prompt="[[say: x]]").run.id for n in range(5)]
        listed = [run.id for run in self.api.list_runs(trigger_id=slug, page_size=2)]
        self.assertEqual(listed, made[::-1])
        self.assertEqual(len(list(self.api.list_deliveries(trigger_id=slug, page_size=2))), 5)

    def test_everything_can_be_tried_first(self) -> None:
        slug, _ = self.trigger()
        tried = self.api.fire(slug, {"text": "hello"}, thread_key="t", validate_only=True)
        self.assertEqual((tried.HasField("run"), tried.explanation.thread_key), (False, "t"))
        self.assertIn("Do ", tried.explanation.prompt)
        self.assertEqual(list(self.api.list_runs(trigger_id=slug)), [])
        draft = self.api.create_trigger(f"{slug}-draft", "manual", "x", validate_only=True)
        self.assertEqual(draft.trigger.slug, f"{slug}-draft")
        self.assertRaises(errors.NotFound, self.api.get_trigger, f"{slug}-draft")

    def test_numbers_of_a_payload_keep_their_digits(self) -> None:
        slug, _ = self.trigger()
        fired = self.api.fire(slug, {"z": 9007199254740993, "a": "ü"}, prompt="[[say: x]]")
        full = self.api.triggers.GetDelivery(v1.GetDeliveryRequest(delivery_id=fired.delivery.id, view=v1.DELIVERY_VIEW_FULL))
        self.assertEqual(full.delivery.body, '{"z":9007199254740993,"a":"ü"}'.encode())

    def test_the_other_names_of_the_environment_count_too(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in ("REPRISE_ADDR", "REPRISE_KEY")}
        environment |= {"REPRISE_URL": f"http://{os.environ['REPRISE_ADDR']}/", "REPRISE_API_KEY": os.environ["REPRISE_KEY"]}
        script = "from reprise import connect, v1; print(connect().access.WhoAmI(v1.WhoAmIRequest()).role)"
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.stdout.strip(), str(v1.ROLE_ADMIN), run.stderr)

    def test_a_bad_address_is_said_before_a_call(self) -> None:
        for address in ("ftp://host", "host name:1", "http://host/path", "http://"):
            self.assertRaisesRegex(ValueError, "no address", connect, address)
        with self.assertRaisesRegex(ValueError, "the API key has characters that no key has"):
            connect(key="secret\nkey")


class Streaming(Base):
    def test_a_run_is_followed_to_its_outcome(self) -> None:
        run_id = self.fired("[[toolcall]] [[say: All is well.]]")
        watch = self.api.watch(run_id)
        entries = list(watch)
        self.same_as_direct(entries, run_id)
        self.assertEqual(entries[-1].outcome.result_text, "All is well.")
        assert watch.run is not None
        self.assertEqual((watch.run.state, watch.sequence), (v1.RUN_STATE_SUCCEEDED, len(entries)))
        run = self.api.wait(run_id)
        self.assertEqual((run.id, run.state, run.result_text), (run_id, v1.RUN_STATE_SUCCEEDED, "All is well."))
        self.assertGreater(run.usage.cost_usd, 0)
        self.assertEqual(len(run.attempts), 1)

    def test_it_begins_where_it_is_told_to(self) -> None:
        run_id = self.fired("[[lines: 10]]")
        last = self.api.wait(run_id).last_sequence
        self.assertEqual([entry.sequence for entry in self.api.watch(run_id, tail=2)], [last - 1, last])
        self.assertEqual([entry.sequence for entry in self.api.watch(run_id, after_sequence=last - 3)], [last - 2, last - 1, last])
        raw = [entry.raw for entry in self.api.watch(run_id, include_raw=True)]
        self.assertTrue(any('"type"' in line for line in raw))

    def test_a_run_is_cancelled_while_it_is_watched(self) -> None:
        run_id = self.fired("[[toolcall]] [[sleep: 60]]")
        begun = time.monotonic()
        for entry in self.api.watch(run_id):
            if entry.HasField("tool_call"):
                self.assertIn(self.api.cancel_run(run_id, "no longer wanted").state, (v1.RUN_STATE_CANCELLING, v1.RUN_STATE_CANCELLED))
        self.assertEqual(entry.outcome.state, v1.RUN_STATE_CANCELLED)
        self.assertLess(time.monotonic() - begun, 30)

    def test_waiting_and_watching_can_be_left(self) -> None:
        run_id = self.fired("[[toolcall]] [[sleep: 60]]")
        self.assertRaises(TimeoutError, self.api.wait, run_id, timeout=0.5)
        with self.api.watch(run_id) as watch:
            next(watch)
        self.assertEqual(list(watch), [])
        self.api.cancel_run(run_id)


class LostConnections(Base):
    def followed(self, run_id: str, at: Callable[[v1.JournalEntry], bool], do: Callable[[], None], **options: Any) -> list[v1.JournalEntry]:
        """Everything that a watch through the proxy gives, with `do` done in the middle of it."""
        entries, done = [], False
        watch = self.far.watch(run_id, timeout=90, **options)
        for entry in watch:
            entries.append(entry)
            if not done and at(entry):
                done = True
                do()
        self.assertTrue(done, "the run ended before the connection was cut")
        self.same_as_direct(entries, run_id)
        return entries

    def broken(self, word: str = "cut") -> None:
        self.assertGreaterEqual(int(control(word)), 1, "no connection was open")

    def test_a_connection_that_is_cut_while_the_run_is_live(self) -> None:
        run_id = self.fired(TOOL)
        self.followed(run_id, lambda entry: entry.HasField("tool_call"), self.broken)

    def test_a_connection_that_is_cut_again_and_again_in_the_past(self) -> None:
        run_id = self.fired("[[lines: 4000]]")
        self.api.wait(run_id)
        entries, cuts = [], 0
        for entry in self.far.watch(run_id, timeout=60):
            entries.append(entry)
            if entry.sequence % 400 == 0:
                # What has arrived already is still read, so the next cut may find nothing open yet.
                cuts += int(control("cut"))
        self.assertGreaterEqual(cuts, 3)
        self.assertGreater(len(entries), 4000)
        self.same_as_direct(entries, run_id)

    def test_a_connection_that_falls_silent(self) -> None:
        run_id = self.fired(TOOL)
        begun = time.monotonic()
        self.followed(run_id, lambda entry: entry.HasField("tool_call"), lambda: self.broken("stall"), silence=2)
        self.assertLess(time.monotonic() - begun, 45)

    def test_a_slow_reader_is_not_silence(self) -> None:
        run_id = self.fired("[[lines: 3]]")
        self.far.wait(run_id)
        before, entries = control("count"), []
        for entry in self.far.watch(run_id, silence=2, timeout=60):
            entries.append(entry)
            if len(entries) == 2:
                time.sleep(4)
        self.same_as_direct(entries, run_id)
        self.assertEqual(control("count"), before, "it connected again")

    def test_a_server_that_restarts_under_the_run(self) -> None:
        run_id = self.fired("[[toolcall]] [[sleep: 30]] [[say: done]]")

        def restart() -> None:
            self.assertEqual(control("restart"), "ok")

        entries = self.followed(run_id, lambda entry: entry.HasField("tool_call"), restart)
        self.assertEqual((entries[-1].outcome.state, entries[-1].attempt), (v1.RUN_STATE_SUCCEEDED, 2))

    def test_a_server_that_was_never_there_is_said_at_once(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        begun = time.monotonic()
        with self.assertRaises(errors.Unavailable) as caught:
            list(connect(f"127.0.0.1:{port}", "rk_any").watch("run_00000000000000000000000000"))
        self.assertIn(str(port), str(caught.exception))
        self.assertLess(time.monotonic() - begun, 5)


class Errors(Base):
    def refused(self, kind: type[RepriseError], reason: str, call: Callable[[], object]) -> RepriseError:
        with self.assertRaises(kind) as caught:
            call()
        self.assertEqual(caught.exception.reason, reason)
        self.assertTrue(caught.exception.trace_id)
        self.assertIn(reason, str(caught.exception))
        return caught.exception

    def test_a_missing_run_is_named(self) -> None:
        missing = "run_00000000000000000000000000"
        for call in (lambda: self.api.get_run(missing), lambda: next(self.api.watch(missing)), lambda: self.api.wait(missing)):
            error = self.refused(errors.NotFound, "RESOURCE_NOT_FOUND", call)
            self.assertEqual((error.metadata["kind"], error.metadata["id"]), ("run", missing))

    def test_a_wrong_field_is_named_with_what_is_allowed(self) -> None:
        settings = v1.Settings(sessions=v1.SessionSettings(cleanup_hour_local=24))
        update = v1.UpdateSettingsRequest(settings=settings)
        error = self.refused(errors.InvalidArgument, "FIELD_INVALID", lambda: self.api.settings.UpdateSettings(update))
        self.assertEqual(list(error.fields), ["settings.sessions.cleanup_hour_local"])
        self.assertIn("0 to 23", error.fields["settings.sessions.cleanup_hour_local"])

    def test_what_is_taken_is_named(self) -> None:
        slug, _ = self.trigger()
        taken = self.refused(errors.AlreadyExists, "SLUG_TAKEN", lambda: self.api.create_trigger(slug, "manual", "x"))
        self.assertEqual(taken.metadata["trigger_id"], self.api.get_trigger(slug).id)

    def test_keys(self) -> None:
        for key, reason in (("rk_wrong", "KEY_INVALID"), (" ", "KEY_MISSING")):
            with connect(key=key) as stranger:
                self.refused(errors.Unauthenticated, reason, lambda: stranger.get_trigger("x"))
                self.refused(errors.Unauthenticated, reason, lambda: list(stranger.watch("run_00000000000000000000000000")))

    def test_futures_have_the_same_errors(self) -> None:
        future = self.api.runs.GetRun.future(v1.GetRunRequest(run_id="run_00000000000000000000000000"))
        self.assertIsInstance(future.exception(), errors.NotFound)
        self.assertRaises(errors.NotFound, future.result)

    def test_a_deadline_that_passes_is_no_other_error(self) -> None:
        with self.assertRaises(errors.DeadlineExceeded):
            self.api.runs.GetRun(v1.GetRunRequest(run_id="run_00000000000000000000000000"), timeout=0.000001)


class Webhooks(Base):
    PAYLOAD = {"action": "created", "issue": {"number": 412}, "comment": {"body": "Why?", "id": 1}, "repository": {"id": 1, "full_name": "a/b"}}

    def test_a_webhook_signed_like_githubs_runs_once(self) -> None:
        slug, secret = self.trigger("github", resume_sessions=True)
        first = self.api.deliver(slug, secret, self.PAYLOAD, event="issue_comment", delivery_id="one")
        self.assertEqual((first.outcome, first.reply.status), (v1.DELIVERY_OUTCOME_QUEUED, 200), first.message)
        again = self.api.deliver(slug, secret, self.PAYLOAD, event="issue_comment", delivery_id="one")
        self.assertEqual((again.outcome, again.run_id), (v1.DELIVERY_OUTCOME_DUPLICATE, first.run_id))
        forged = self.api.deliver(slug, "not the secret", self.PAYLOAD, event="issue_comment")
        self.assertEqual((forged.outcome, forged.reason), (v1.DELIVERY_OUTCOME_REJECTED, v1.DELIVERY_REASON_SIGNATURE_MISMATCH))
        self.assertEqual((forged.reply.status, forged.run_id), (401, ""))

    def test_every_sender_is_signed_for(self) -> None:
        profile: dict[str, Any] = {"header": "X-Acme", "prefix": "v0=", "encoding": v1.HMAC_ENCODING_BASE64, "algorithm": v1.HMAC_ALGORITHM_SHA512}
        profile |= {"signed_template": "{id}.{timestamp}.{body}", "timestamp_header": "X-Time", "id_header": "X-Id"}
        senders: list[tuple[str, dict[str, Any], str | None]] = [
            ("linear", {}, "lin_wh_secret_of_nobody"),
            ("clickup", {}, "CLICKUPSECRETOFNOBODY"),
            ("standard_webhooks", {}, None),
            ("generic_hmac", {}, None),
            ("generic_hmac", {"hmac": profile}, None),
        ]
        for source, fields, given in senders:
            with self.subTest(source):
                slug, made = self.trigger(source, secret=given, **fields)
                taken = self.api.deliver(slug, given or made, {"type": "Issue", "action": "create", "event": "taskCreated", "data": {"id": "1"}}, event="Issue")
                self.assertEqual(taken.reply.status, 200, taken.message)
                self.assertNotEqual(taken.outcome, v1.DELIVERY_OUTCOME_REJECTED, taken.message)
                forged = self.api.deliver(slug, (given or made)[::-1], {"data": {"id": "2"}}, source=source, hmac=v1.HmacProfile(**fields.get("hmac", {})))
                self.assertEqual(forged.reason, v1.DELIVERY_REASON_SIGNATURE_MISMATCH)


class Tls(Base):
    def test_everything_works_over_tls(self) -> None:
        with connect(os.environ["TEST_TLS_ADDR"], ca_file=os.environ["TEST_CA_FILE"]) as api:
            slug = f"python-tls-{uuid.uuid4().hex[:8]}"
            api.create_trigger(slug, "manual", "Do it")
            run_id = api.fire(slug, prompt="[[toolcall]] [[say: sealed]]").run.id
            entries = list(api.watch(run_id))
            self.assertEqual([entry.sequence for entry in entries], list(range(1, len(entries) + 1)))
            self.assertEqual(entries[-1].outcome.result_text, "sealed")
            self.assertRaises(errors.NotFound, api.get_run, "run_00000000000000000000000000")

    def test_a_stranger_is_not_trusted(self) -> None:
        with connect(os.environ["TEST_TLS_ADDR"]) as api, self.assertRaises(errors.Unavailable) as caught:
            api.get_run("run_00000000000000000000000000")
        self.assertRegex(str(caught.exception), "(?i)certificate|ssl")


def examples(name: str) -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.S)


class Readme(Base):
    def test_the_examples_run_as_they_stand(self) -> None:
        if "github-demo" not in [trigger.slug for trigger in self.api.list_triggers()]:
            self.api.create_trigger("github-demo", "github", "{{ event.text }} [[say: HERON.]]", resume_sessions=True)
        blocks = [*examples("clients/python/README.md"), *examples("README.md")]
        self.assertGreaterEqual(len(blocks), 2, "the README has lost its examples")
        for block in blocks:
            with self.subTest(block.strip().splitlines()[0]):
                run = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=120)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertIn("HERON", run.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
