"""A process says that it lives, what its last step took, and what it fails on, for as long as it fails on it."""

import os
from datetime import datetime

import pytest
from django.test import override_settings

from intermediary.config.operations.heartbeat import Reporter, WorkerReporter, resident_bytes
from intermediary.config.operations.rows import ProcessReport
from intermediary.errors import Refusal
from settlement import loops
from tests.conftest import RoleSwitch, TestDatabase

MIB = 1 << 20


def since(name: str) -> datetime | None:
    return ProcessReport.objects.get(name=name).problem_since


@pytest.mark.django_db
def test_a_report_names_the_process_its_memory_and_its_last_step() -> None:
    Reporter("watcher")(0.25)
    said = ProcessReport.objects.get(name="watcher")
    assert (said.pid, said.steps, said.step_seconds, said.problem) == (os.getpid(), 1, 0.25, "")
    assert 10 * MIB < said.rss_bytes <= said.peak_rss_bytes + MIB
    assert abs(said.rss_bytes - resident_bytes()) < 50 * MIB


@pytest.mark.django_db
def test_reports_are_seconds_apart_unless_something_begins_or_ceases_to_fail() -> None:
    report = Reporter("watcher")
    for seconds in (1.0, 2.0, 3.0):
        report(seconds)
    assert ProcessReport.objects.get(name="watcher").step_seconds == 1.0
    report(4.0, Refusal("finality_broken", "The chain dropped final block 7."))
    said = ProcessReport.objects.get(name="watcher")
    assert (said.steps, said.step_seconds, said.problem) == (4, 4.0, "finality_broken")
    report(5.0)
    assert (ProcessReport.objects.get(name="watcher").problem, since("watcher")) == ("", None)


@pytest.mark.django_db
def test_what_a_process_fails_on_is_known_since_it_first_did_however_often_it_was_started_again() -> None:
    Reporter("watcher")(1.0, Refusal("finality_broken", "The chain dropped final block 7."))
    first = since("watcher")
    Reporter("watcher")(1.0, ValueError("another reason"))
    again = ProcessReport.objects.get(name="watcher")
    assert first is not None
    assert (again.problem, again.said, again.problem_since) == ("ValueError", "another reason", first)


@pytest.mark.django_db
def test_a_loop_tells_of_each_step_and_of_the_error_that_ends_it() -> None:
    told: list[tuple[bool, str]] = []
    steps = iter([None, Refusal("chain_unreachable", "silent"), Refusal("finality_broken", "gone")])

    def step() -> None:
        failure = next(steps)
        if failure is not None:
            raise failure

    with pytest.raises(Refusal, match="gone"):
        loops.run(step, listen=False, poll_seconds=0, told=lambda took, error: told.append((took >= 0, str(error))))
    assert [ok for ok, _ in told] == [True, True, True]
    assert [said for _, said in told] == ["None", "chain_unreachable: silent", "finality_broken: gone"]


@pytest.mark.django_db
def test_workers_report_under_their_own_name_whichever_child_did_the_task() -> None:
    reporter = WorkerReporter()
    reporter.begins()
    reporter.ended("worker-risk@here")
    reporter.ended("worker-settlement@here")
    assert set(ProcessReport.objects.values_list("name", flat=True)) == {"worker-risk", "worker-settlement"}


def test_each_process_reports_under_its_own_login(committing_db: TestDatabase, as_role: RoleSwitch) -> None:
    for role in ("poster", "approver", "worker"):
        with as_role(role), override_settings(DATABASE_ROLE=role):
            Reporter(role)(0.1)
            Reporter(role)(0.1, ValueError("it fails"))
    assert ProcessReport.objects.filter(problem="ValueError").count() == 3


def test_a_report_that_cannot_be_written_ends_no_process(
    committing_db: TestDatabase, as_role: RoleSwitch, caplog: pytest.LogCaptureFixture
) -> None:
    with as_role("web"):  # a login without rights of its own
        Reporter("watcher")(0.1)
    assert "could not say that it lives" in caplog.text
    assert not ProcessReport.objects.exists()
