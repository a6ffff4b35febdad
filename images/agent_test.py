"""Tests of the backup agent's decisions: python3 images/agent_test.py (images_test.go runs it)."""

import datetime
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import threading
import types
import unittest

sys.dont_write_bytecode = True
if importlib.util.find_spec("psycopg2") is None:  # the decisions need no database
    sys.modules["psycopg2"] = types.SimpleNamespace(Error=Exception)
loader = importlib.machinery.SourceFileLoader("agent", str(pathlib.Path(__file__).parent / "postgres" / "backup-agent"))
agent = importlib.util.module_from_spec(importlib.util.spec_from_loader("agent", loader))
loader.exec_module(agent)


def when(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=agent.UTC).timestamp()


class Schedules(unittest.TestCase):
    def test_before(self):
        now = when("2026-11-28 07:30")  # a Saturday
        for schedule, wanted in {
            "0 2 * * 0": "2026-11-22T02:00:00Z",
            "0 2 * * 1-6": "2026-11-28T02:00:00Z",
            "*/5 * * * *": "2026-11-28T07:30:00Z",
            "31 7 * * *": "2026-11-27T07:31:00Z",
            "0 0 29 2 *": "2024-02-29T00:00:00Z",
            "0 1 13 * 5": "2026-11-27T01:00:00Z",  # both days are restricted: either will do
            "0 1 */2 * 0": "2026-11-15T01:00:00Z",  # a step is no restriction, as in cron
            "15,45 6-7 * * 7": "2026-11-22T07:45:00Z",
        }.items():
            self.assertEqual(agent.iso(agent.Schedule(schedule).before(now)), wanted, schedule)

    def test_invalid(self):
        for schedule in ("0 2 * *", "60 2 * * *", "0 2 * * 8", "0 5-3 * * *", "*-3 0 * * *", "0 */0 * * *", "@daily x x x x"):
            with self.assertRaises(ValueError, msg=schedule):
                agent.Schedule(schedule)

    def test_due(self):
        full, differential = agent.Schedule("0 2 * * 0"), agent.Schedule("0 2 * * 1-6")
        now = when("2026-11-28 07:30")
        for backups, wanted in (
            ([], "full"),  # the first one does not wait for its time
            ([("full", when("2026-11-22 02:00")), ("diff", when("2026-11-28 02:00"))], None),
            ([("full", when("2026-11-22 02:00")), ("diff", when("2026-11-27 02:00"))], "diff"),
            ([("full", when("2026-11-28 03:00"))], None),
            ([("full", when("2026-11-15 02:00")), ("diff", when("2026-11-28 02:00"))], "full"),  # one was missed
        ):
            self.assertEqual(agent.due(full, differential, backups, now), wanted, backups)


class Repositories(unittest.TestCase):
    def test_mismatch(self):
        stanza = {"db": [{"id": 1, "system-id": 7713176550328897562}, {"id": 2, "system-id": 7713178532562563098}]}
        self.assertEqual(agent.mismatch(stanza, "7713178532562563098"), "")
        self.assertEqual(agent.mismatch({}, 1), "")  # it was just made
        self.assertIn("of another database", agent.mismatch(stanza, 7713176550328897562))


class Words(unittest.TestCase):
    def test_errors(self):
        refused = """2026-11-28 07:55:26.824 P00  ERROR: [039]: HTTP request failed with 403 (Forbidden):
                                    *** Path/Query ***:
                                    HEAD /backups/prod/shop/archive/shop-db/archive.info
                                    *** Response Content ***:
                                    <Error><Code>SignatureDoesNotMatch</Code><Message>Check your key.</Message><RequestId>XDZN</RequestId></Error>
2026-11-28 07:55:26.825 P00   INFO: stanza-create command end: aborted with exception [039]
"""
        self.assertEqual(agent.error_of(refused), "[039]: HTTP request failed with 403 (Forbidden): SignatureDoesNotMatch: Check your key.")
        self.assertEqual(agent.error_of("P00  ERROR: [068]: one\n  two\nP00   INFO: end"), "[068]: one two")
        again = "[HostConnectError] unable to connect to 's3:443': [111] Connection refused\n[HostConnectError] on 10 retries from 103-15001ms: x"
        self.assertEqual(agent.plain(again), "[HostConnectError] unable to connect to 's3:443': [111] Connection refused")
        self.assertEqual(agent.error_of(""), "pgbackrest ended without a word")

    def test_reasons(self):
        for message, wanted in {
            "[039]: HTTP request failed with 403 (Forbidden): SignatureDoesNotMatch: x": "CredentialsRefused",
            "[039]: HTTP request failed with 404 (Not Found): NoSuchBucket: x": "RepositoryUnavailable",
            "[CryptoError] unable to verify certificate presented by 's3:443'": "RepositoryUnavailable",
            "[049]: unable to connect to 's3.example:443'": "RepositoryUnavailable",
            "[027]: unable to write '/var/lib/x': [28] No space left on device": "RepositoryFull",
            "[028]: backup and archive info files exist but do not match the database": "RepositoryMismatch",
            "[056]: something else": "BackupFailed",
        }.items():
            self.assertEqual(agent.reason_of(message, "BackupFailed"), wanted, message)


class Watching(unittest.TestCase):
    """A record that was not changed for long: the API server cannot begin a watch with its version."""

    def test_begins_where_the_list_was_made(self):
        asked = []

        class Record(agent.Record):
            def __init__(self):
                self.name, self.changed, self.data, self.report, self.annotation = "shop-db-backup", threading.Event(), None, {}, "a"

            def call(self, path, body=None, timeout=30):
                asked.append(path)
                if "watch" not in path:
                    return io.BytesIO(json.dumps({"metadata": {"resourceVersion": "900"}, "items": [
                        {"metadata": {"resourceVersion": "7"}, "data": {"request": "r"}}]}).encode())
                return io.BytesIO(b'{"type": "ERROR", "object": {"code": 410}}\n')

        def sleep(seconds):
            asked.append(f"sleep {seconds}")
            raise StopIteration

        record, before = Record(), agent.time
        agent.time = types.SimpleNamespace(sleep=sleep)
        try:
            self.assertRaises(StopIteration, record.watch)
        finally:
            agent.time = before
        only = "?fieldSelector=metadata.name%3Dshop-db-backup"
        self.assertEqual(asked, [only, only + "&watch=1&timeoutSeconds=290&resourceVersion=900", f"sleep {agent.WATCH_SECONDS}"])
        self.assertEqual(record.data, {"request": "r"})


class Archive(unittest.TestCase):
    def test_covered(self):
        archived = agent.Archived()
        self.assertEqual(archived.until(""), 0)
        archived.look(100, "000000010000000000000005", "10:10:")
        archived.look(110, "000000010000000000000005", "11:11:")
        archived.look(120, "000000010000000000000006", "12:12:")
        self.assertEqual(archived.until("000000010000000000000004"), 0)
        self.assertEqual(archived.until("000000010000000000000005"), 110)
        archived.look(130, "000000010000000000000006", "12:12:")
        self.assertEqual(archived.until("000000020000000000000006"), 130)
        # Idle from here: the segment is not archived, but nothing is in it.
        archived.look(140, "000000020000000000000007", "12:12:")
        self.assertEqual(archived.until("000000020000000000000006"), 140)
        # A transaction that began before and ended since is in it.
        archived.look(150, "000000020000000000000007", "12:13:12")
        archived.look(160, "000000020000000000000007", "13:13:")
        self.assertEqual(archived.until("000000020000000000000006"), 140)
        self.assertEqual(archived.until("000000020000000000000007"), 160)

    def test_another_life(self):
        # A restored database goes on in a later timeline, and its numbers are lower than those of the kept repository.
        archived = agent.Archived()
        archived.look(100, "000000020000000000000003", "10:10:")
        self.assertEqual(archived.until("000000010000000000000009"), 0)
        self.assertEqual(archived.until("000000020000000000000003"), 100)


class Life(unittest.TestCase):
    """The agent's rounds beside a primary and a repository that are only described."""

    START = int(when("2026-11-28 07:30"))

    def setUp(self):
        self.now = self.START
        self.begun, self.backups, self.segments, self.archived = [], [], [], ""
        self.primary = {"mode": "on", "failed_wal": None, "failed_at": 0.0, "identity": 7, "snapshot": "1:1:"}
        kept = {name: getattr(agent, name) for name in ("time", "pgbackrest", "archiver", "Run", "ALIVE", "Record")}
        self.addCleanup(lambda: [setattr(agent, name, value) for name, value in kept.items()])
        agent.time = types.SimpleNamespace(time=lambda: self.now, monotonic=lambda: self.now, sleep=None)
        agent.pgbackrest, agent.archiver = self.pgbackrest, self.look
        test = self

        class Run:
            def __init__(self, kind, request):
                self.kind, self.request, self.start = kind, request, test.now
                self.process = types.SimpleNamespace(returncode=0)
                test.begun.append(kind)

            def ended(self):
                if test.now < self.start + 20:
                    return False
                test.backups.append({"label": str(self.start), "type": self.kind, "timestamp": {"start": self.start, "stop": test.now}, "error": False,
                                     "info": {"size": 1}})
                return True

        class Record:
            def __init__(self, changed):
                self.data, self.report = {"fullSchedule": "0 2 * * 0", "differentialSchedule": "0 2 * * 1-6"}, {}

            def write(self, report):
                self.report = json.loads(json.dumps(report))

        agent.Run, agent.Record = Run, Record
        self.agent = agent.Agent()
        self.report_before = {}

    def pgbackrest(self, *arguments):
        if self.away:
            return 49, "", "ERROR: [049]: unable to connect"
        if arguments[-1] == "info":
            part = {"id": "17-1", "min": min(self.segments), "max": max(self.segments)} if self.segments else {"id": "17-1", "min": None, "max": None}
            return 0, json.dumps([{"status": {"code": 0}, "db": [{"id": 1, "system-id": 7}], "archive": [part], "backup": self.backups}]), ""
        path = arguments[-1].split("/")
        self.assertEqual((arguments[0], path[:3]), ("repo-ls", ["archive", agent.STANZA, "17-1"]))
        if len(path) == 3:
            return 0, "\n".join(sorted({segment[:16] for segment in self.segments}) + ["00000002.history"]), ""
        return 0, "\n".join(f"{segment}-{'a' * 40}.zst" for segment in self.segments if segment.startswith(path[3])), ""

    away = False

    def look(self):
        return {**self.primary, "asked": self.now, "wal": self.archived, "at": self.archived_at, "current": self.current}

    def archive(self, first, last, dropped=(), timeline=1):
        """Archives segments, as PostgreSQL believes, and all but the dropped ones as is true."""
        names = [f"{timeline:08X}{at >> 8:08X}{at & 255:08X}" for at in range(first, last + 2)]
        self.segments += [name for at, name in zip(range(first, last + 1), names) if at not in dropped]
        self.archived, self.archived_at, self.current = names[-2], self.now, names[-1]
        self.primary["snapshot"] = f"{last}:{last}:"

    def rounds(self, seconds=60):
        for _ in range(seconds // 10):
            self.now += 10
            self.agent.round()
        return self.agent.record.report

    def settled(self):
        self.archive(1, 2)
        self.rounds(120)
        self.archive(3, 4)
        report = self.rounds(120)
        self.assertEqual(self.begun, ["full"])
        self.assertNotIn("gap", report)
        self.assertNotIn("reason", report)
        return report

    def gap_is_seen(self, before, began):
        """A gap is told, archivedTime does not lead across it, and after another backup all is well, from there on."""
        report = self.rounds(10)
        self.assertEqual(report.get("reason"), "ArchiveGap", report)
        self.assertEqual(self.begun, began)
        self.assertLessEqual(report["archivedTime"], before["archivedTime"])
        report = self.rounds(120)
        self.assertNotIn("reason", report)
        self.assertEqual(self.begun, began)
        self.assertEqual(report["restorableFrom"], report["lastBackupTime"])
        self.assertGreater(report["restorableFrom"], before["lastBackupTime"])
        return report

    def test_no_gap(self):
        self.settled()
        self.archive(5, 700)  # over several folders
        self.rounds()
        self.archive(701, 702)
        self.archive(702, 705, timeline=2)  # a failover
        report = self.rounds(120)
        self.assertNotIn("gap", report)
        self.assertEqual(self.begun, ["full"])

    def test_two_gaps(self):
        before = self.settled()
        self.archive(5, 9, dropped=range(5, 10))
        self.rounds(30)
        report = self.gap_is_seen(before, ["full", "diff"])
        self.archive(10, 12)
        before = self.rounds(600)
        self.archive(13, 15, dropped=range(13, 16))
        self.rounds(30)
        self.gap_is_seen(before, ["full", "diff", "diff"])

    def test_the_store_was_away(self):
        before = self.settled()
        self.away = True
        self.assertEqual(self.rounds()["reason"], "RepositoryUnavailable")
        self.archive(5, 40, dropped=range(5, 30))
        self.rounds()
        self.away = False
        self.archive(41, 42)
        self.gap_is_seen(before, ["full", "diff"])

    def test_a_gap_during_the_backup_after_a_gap(self):
        before = self.settled()
        self.archive(5, 9, dropped=[6])
        self.rounds(10)
        self.assertEqual(self.begun, ["full", "diff"])
        self.archive(10, 12, dropped=[11])
        self.rounds(30)
        self.assertEqual(self.begun, ["full", "diff", "diff"])
        self.assertNotIn("reason", self.rounds())

    def test_a_new_agent(self):
        before = self.settled()
        self.archive(5, 9)
        record = self.agent.record
        self.agent = agent.Agent()
        self.agent.record = record
        self.assertNotIn("gap", self.rounds())

    def test_a_report_of_an_earlier_agent(self):
        before = self.settled()
        self.agent.record.report.pop("newest")
        self.archive(5, 9)
        self.assertNotIn("gap", self.rounds())

    def test_a_repository_taken_up_again(self):
        before = self.settled()
        self.agent = agent.Agent()  # with a record that is new
        self.archived, self.archived_at, self.primary["mode"] = "", 0.0, "off"
        self.assertEqual(self.rounds()["reason"], "ArchiveOff")
        self.primary["mode"] = "on"
        self.archive(3, 3, timeline=2)
        self.gap_is_seen(before, ["full", "diff"])


if __name__ == "__main__":
    unittest.main()
