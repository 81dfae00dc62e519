"""Time limits: what takes too long is stopped where it runs, and told."""

import time

import pytest
from django.db import connection, transaction

from api.deadlines import Deadline
from api.errors import TimeExceeded

# Counts to a number that takes minutes.
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "SELECT count(*) FROM n"
)


def run(sql, deadline):
    # PostgreSQL aborts the transaction that a test runs in, unless there is one within it.
    with (
        transaction.atomic(),
        connection.cursor() as cursor,
        deadline.over_statement(connection),
    ):
        cursor.execute(sql)
        return cursor.fetchall()


def test_a_statement_is_stopped(db):
    deadline = Deadline(0.2)

    with pytest.raises(TimeExceeded, match=r"longer than 0.2 seconds"):
        run(ENDLESS, deadline)

    assert deadline.has_passed


def test_the_connection_is_good_afterwards(db):
    test_a_statement_is_stopped(db)

    assert run("SELECT 1", Deadline(60)) == [(1,)]


def test_nothing_begins_after_the_end(db):
    deadline = Deadline(0)

    with pytest.raises(TimeExceeded), deadline.over_statement(connection):
        raise AssertionError


def test_what_fails_in_time_fails_as_it_would():
    with pytest.raises(ZeroDivisionError), Deadline(60).over(lambda: None):
        1 / 0  # noqa: B018


def test_what_nobody_waits_for_is_stopped(db):
    deadline = Deadline(60)

    def leave():
        with deadline.over(lambda: None):
            deadline.abandon()
            raise RuntimeError

    with pytest.raises(TimeExceeded):
        leave()


def test_an_interrupt_is_repeated_until_it_is_heard():
    heard = []

    def work():
        with Deadline(0.05).over(lambda: heard.append(1)):
            while len(heard) < 3:
                time.sleep(0.01)
            raise RuntimeError

    with pytest.raises(TimeExceeded):
        work()
