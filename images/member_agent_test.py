"""Tests of the member's agent: python3 images/member_agent_test.py (images_test.go runs it)."""

import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("member_agent", str(pathlib.Path(__file__).parent / "postgres" / "member-agent"))
agent = importlib.util.module_from_spec(importlib.util.spec_from_loader("member_agent", loader))
loader.exec_module(agent)


def eventually(is_so):
    deadline = time.monotonic() + 30
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


class ProbeOfLife(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # the thread goes on to write
        self.addCleanup(folder.cleanup)
        agent.PROBE_FILE = os.path.join(folder.name, "probe")
        agent.PROBE_SECONDS, agent.STUCK_SECONDS = 0.01, 0.2

    def test_a_volume_that_lives(self):
        volume = agent.Volume()
        self.assertTrue(eventually(lambda: os.path.exists(agent.PROBE_FILE) and os.path.getsize(agent.PROBE_FILE) > 0))
        self.assertIsNone(volume.stuck_since())

    def test_a_write_that_does_not_come_back(self):
        os.mkfifo(agent.PROBE_FILE)  # to open it for writing waits for a reader, as a frozen file system does for its thaw
        volume = agent.Volume()
        self.assertTrue(eventually(volume.stuck_since))
        self.assertRegex(volume.stuck_since(), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        agent.STUCK_SECONDS = 60
        self.assertIsNone(volume.stuck_since())
        agent.STUCK_SECONDS = 0.2
        reader = os.open(agent.PROBE_FILE, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assertTrue(eventually(lambda: volume.stuck_since() is None))

    def test_an_error_is_an_answer(self):
        agent.PROBE_FILE = "/proc/nothing/probe"
        volume = agent.Volume()
        time.sleep(0.5)
        self.assertIsNone(volume.stuck_since())


if __name__ == "__main__":
    unittest.main()
