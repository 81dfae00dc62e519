"""The reader's walls: hostile SQL, limits of time and rows, and what reading gives."""

import threading
import time

import duckdb
import pyarrow as pa
import pytest

from warehouse.build import make_build
from warehouse.errors import QueryFailed, QueryTimeout, StatementRefused, WarehouseError
from warehouse.publish import publish
from warehouse.reader import connect, reading
from warehouse.walls import readable

from .conftest import Rollups


@pytest.fixture
def published(home):
    """A published build under the settings' home, with one row of quakes, and a secret beside."""
    rollups = Rollups(home)
    rollups.write("quakes", "SELECT code, occurred_at FROM quakes_quake")
    copy = rollups.copy_quakes(("a", "2024-05-01 10:00Z", 4.5))
    inside = home / "warehouse" / "models" / "quakes.parquet"
    inside.parent.mkdir(parents=True)
    copy.rename(inside)
    publish(make_build(rollups.plan(), {"quakes_quake": inside}))
    (home / "secret_key").write_text("s3cret")
    return home


@pytest.fixture
def connection(published):
    with connect() as connection:
        yield connection


def ask(connection, sql, **limits):
    with reading(connection, sql, **limits) as answer:
        return list(answer.rows)


WRITES = """
COPY quakes TO '{home}/out.csv'
COPY quakes TO '{home}/warehouse/out.csv'
COPY (SELECT 1) TO '{home}/warehouse/out.parquet'
COPY (PIVOT quakes ON code USING count(*)) TO '{home}/warehouse/out.csv'
EXPLAIN ANALYZE COPY quakes TO '{home}/warehouse/out.csv'
EXPLAIN (ANALYZE) COPY quakes TO '{home}/warehouse/out.csv'
EXPLAIN /* */ ANALYZE COPY quakes TO '{home}/warehouse/out.csv'
EXPLAIN/**/ANALYZE COPY quakes TO '{home}/warehouse/out.csv'
explain analyze insert into quakes values ('x', 'y', now())
/* SELECT */ COPY quakes TO '{home}/warehouse/out.csv'
EXPORT DATABASE '{home}/warehouse/out'
IMPORT DATABASE '{home}/warehouse/out'
COPY FROM DATABASE warehouse TO memory
ATTACH '{home}/db.sqlite3' AS other
ATTACH '{home}/warehouse/out.duckdb'
DETACH warehouse
USE memory
INSTALL httpfs
LOAD httpfs
FORCE INSTALL json
SET enable_external_access = true
SET allowed_directories = ['/']
SET threads = 64
RESET memory_limit
SET VARIABLE x = 1
PRAGMA enable_profiling = 'json'
PRAGMA profiling_output = '{home}/warehouse/out.json'
PRAGMA version
PRAGMA table_info('quakes')
CALL enable_logging()
CALL pragma_version()
CHECKPOINT
VACUUM
ANALYZE
CREATE TABLE x (a INT)
CREATE TEMP TABLE x AS SELECT 1
CREATE TABLE memory.main.x AS SELECT 1
CREATE MACRO f() AS 1
CREATE SECRET s (TYPE s3)
DROP TABLE quakes
DROP VIEW quakes_quake
ALTER TABLE quakes ADD COLUMN x INT
COMMENT ON TABLE quakes IS 'mine'
INSERT INTO quakes VALUES ('x', 'y', now())
UPDATE quakes SET code = 'x'
DELETE FROM quakes
TRUNCATE quakes
MERGE INTO quakes USING quakes AS q ON true WHEN MATCHED THEN DELETE
WITH x AS (SELECT 1) INSERT INTO quakes SELECT 'x', 'y', now()
PREPARE p AS COPY quakes TO '{home}/warehouse/out.csv'
EXECUTE p
DEALLOCATE p
BEGIN TRANSACTION
COMMIT
"""


def test_a_statement_that_does_more_than_read_is_refused(published, connection):
    before = sorted(published.rglob("*"))
    for line in WRITES.strip().splitlines():
        sql = line.format(home=published)

        with pytest.raises(StatementRefused, match="is refused: here statements only read"):
            ask(connection, sql)

    assert sorted(published.rglob("*")) == before
    assert ask(connection, "SELECT count(*) FROM quakes") == [("1",)]


READS_OUTSIDE = """
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_text('{home}/secret_key')
SELECT * FROM read_text('{home}/warehouse/../secret_key')
SELECT * FROM read_text('{home}/archive/../secret_key')
SELECT * FROM read_blob('{home}/secret_key')
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM '/etc/passwd'
SELECT * FROM read_json('{home}/secret_key')
SELECT * FROM read_duckdb('{home}/other.duckdb', table_name = 't')
SELECT * FROM glob('{home}/*')
SELECT * FROM glob('/etc/*')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM parquet_metadata('/etc/passwd')
SELECT * FROM read_parquet('https://127.0.0.1:1/x.parquet')
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')
SELECT getenv('HOME')
SELECT * FROM enable_logging(storage = 'file', storage_path = '{home}/warehouse/log')
SELECT * FROM enable_profiling(save_location = '{home}/warehouse/profile')
SELECT * FROM duckdb_secrets()
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(1)
SELECT * FROM sqlite_scan('{home}/db.sqlite3', 't')
FROM variable_of_the_process
"""


def test_what_lies_outside_the_warehouse_and_the_archive_cannot_be_read(published, connection):
    variable_of_the_process = pa.table({"secret": ["s3cret"]})
    before = sorted(published.rglob("*"))
    for line in READS_OUTSIDE.strip().splitlines():
        sql = line.format(home=published)

        with pytest.raises(QueryFailed):
            ask(connection, sql)

    assert sorted(published.rglob("*")) == before
    assert variable_of_the_process.num_rows == 1


def test_a_link_does_not_lead_outside(published, connection):
    (published / "warehouse" / "link").symlink_to("/etc")

    with pytest.raises(QueryFailed):
        ask(connection, f"SELECT * FROM read_text('{published}/warehouse/link/passwd')")


def test_one_bad_statement_refuses_them_all(connection):
    with pytest.raises(StatementRefused, match="DROP TABLE quakes is refused"):
        readable(connection, "SELECT 1; DROP TABLE quakes; SELECT 2")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS n; -- and; a comment",
        "FROM quakes",
        "VALUES (1)",
        "WITH x AS (SELECT 1) FROM x",
        "TABLE quakes",
        "DESCRIBE quakes",
        "SHOW TABLES",
        "SUMMARIZE quakes",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN (SELECT 1)",
        "PIVOT quakes ON code USING count(*)",
        "PIVOT quakes ON code IN ('a') USING count(*);",
        "SELECT ';' AS \"a;b\" /* ; */ ; ",
    ],
)
def test_statements_that_read_are_run(connection, sql):
    assert ask(connection, sql)


def test_rollups_models_and_the_archive_are_there(connection):
    assert ask(connection, "SELECT code, occurred_at FROM quakes") == [
        ("a", "2024-05-01 10:00:00+00")
    ]
    assert ask(connection, "SELECT magnitude FROM quakes_quake") == [("4.5",)]
    assert ask(connection, "SELECT count(*) FROM archive") == [("0",)]
    assert ask(connection, "SELECT count(*) FROM payloads") == [("0",)]


def test_values_come_as_text_or_as_json(connection):
    sql = "SELECT 1 AS a, 'x\"' AS b, [1, NULL] AS c, NULL AS d, TIMESTAMPTZ 'infinity' AS e"

    assert ask(connection, sql) == [("1", 'x"', "[1, NULL]", None, "infinity")]
    assert ask(connection, sql, as_json=True) == [("1", '"x\\""', "[1,null]", None, '"infinity"')]


def test_a_statement_is_stopped_when_its_time_is_over(connection):
    slow = (
        "SELECT count(*) FROM range(1000000) a, range(1000000) b",
        "SELECT a.range FROM range(1000000) a, range(1000000) b",
        "EXPLAIN ANALYZE SELECT count(*) FROM range(1000000) a, range(1000000) b",
    )
    for sql in slow:
        started = time.monotonic()

        with pytest.raises(QueryTimeout, match=r"stopped after 0\.3 s"):
            ask(connection, sql, seconds=0.3)

        assert time.monotonic() - started < 10

    assert ask(connection, "SELECT 1") == [("1",)]


def test_only_so_many_rows_come(connection):
    assert ask(connection, "FROM range(1000000000000)", rows=2) == [("0",), ("1",)]


def test_an_answer_that_needs_too_much_memory_fails_alone(connection):
    with pytest.raises(QueryFailed, match="Out of Memory"):
        ask(connection, "SELECT list(range) FROM range(1000000000)", seconds=60)

    assert ask(connection, "SELECT 1") == [("1",)]


def test_mistakes_are_explained(connection):
    with pytest.raises(QueryFailed, match='Did you mean "quakes'):
        ask(connection, "SELECT * FROM quake")
    with pytest.raises(QueryFailed, match="syntax error"):
        ask(connection, "SELEC 1")
    with pytest.raises(QueryFailed, match="One statement"):
        ask(connection, "SELECT 1; SELECT 2")
    with pytest.raises(QueryFailed, match="Could not convert"):
        ask(connection, "SELECT code::INTEGER FROM quakes")


def test_the_time_zone_is_utc_whatever_the_process_thinks(published, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    with connect() as connection:
        assert ask(connection, "SELECT current_setting('TimeZone')") == [("UTC",)]


def test_before_the_first_build_the_tables_are_there_and_empty(home):
    with connect() as connection:
        assert ask(connection, "SELECT count(*) FROM sample_book") == [("0",)]
        assert ask(connection, "SELECT count(*) FROM archive") == [("0",)]
        with pytest.raises(StatementRefused):
            ask(connection, "INSERT INTO sample_book SELECT * FROM sample_book")


def test_a_damaged_build_is_an_error_that_says_what_to_do(published):
    next((published / "warehouse").glob("*.duckdb")).write_bytes(b"damaged")

    with pytest.raises(WarehouseError, match=r"manage\.py build_rollups"):
        connect()


def test_many_readers_at_once_in_one_process(published):
    failures = []

    def read():
        try:
            with connect() as connection:
                assert ask(connection, "SELECT code FROM quakes") == [("a",)]
        except (AssertionError, WarehouseError, duckdb.Error) as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
