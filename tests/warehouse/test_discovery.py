"""Finding rollups: names, inputs, order, columns, and what is wrong with a file."""

from warehouse.discovery import discover

from .conftest import TABLES

DAILY = """\
-- Quakes per day.
--
-- Blasts are left out.
-- key: day
SELECT date_trunc('day', occurred_at)::DATE AS day, count(*)::INTEGER AS quake_count
FROM quakes_quake
GROUP BY ALL
"""


def test_a_rollup_is_described_by_its_file(rollups):
    path = rollups.write("quakes_daily", DAILY)

    (rollup,), problems = rollups.discover()

    assert problems == []
    assert rollup.name == "quakes_daily"
    assert rollup.source == "quakes"
    assert rollup.path == path
    assert rollup.description == "Quakes per day.\n\nBlasts are left out."
    assert rollup.key == ("day",)
    assert rollup.inputs == ("quakes_quake",)
    assert rollup.columns == (("day", "DATE"), ("quake_count", "INTEGER"))
    assert rollup.measures == {"quake_count"}


def test_a_rollup_comes_after_those_it_reads(rollups):
    rollups.write("a_yearly", "SELECT year(month) AS year, sum(n) AS n FROM m_monthly GROUP BY ALL")
    rollups.write("m_monthly", "SELECT date_trunc('month', day) AS month, n FROM z_daily")
    rollups.write(
        "z_daily", "SELECT occurred_at::DATE AS day, count(*) AS n FROM quakes_quake GROUP BY 1"
    )

    found, problems = rollups.discover()

    assert problems == []
    assert [rollup.name for rollup in found] == ["z_daily", "m_monthly", "a_yearly"]


def test_inputs_are_tables_wherever_they_stand_and_not_the_names_a_query_defines(rollups):
    rollups.write(
        "busy",
        """
        WITH strong AS (SELECT * FROM QUAKES_QUAKE WHERE magnitude > 5),
             quakes_station AS (SELECT code FROM quakes_station)
        SELECT strong.code AS code, (SELECT max(code) FROM strong) AS last
        FROM strong
        WHERE EXISTS (FROM quakes_station WHERE quakes_station.code = strong.station_id)
        """,
    )

    (rollup,), problems = rollups.discover()

    assert problems == []
    assert rollup.inputs == ("quakes_quake", "quakes_station")


def test_a_recursive_query_does_not_read_itself(rollups):
    rollups.write(
        "steps",
        """
        WITH RECURSIVE step AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM step WHERE n < 3)
        SELECT n FROM step
        """,
    )

    (rollup,), problems = rollups.discover()

    assert problems == []
    assert rollup.inputs == ()


def test_an_unknown_input_is_named_with_the_closest_tables(rollups):
    path = rollups.write("daily", "SELECT code FROM quakes_quak")

    problem = rollups.problem()

    assert str(path) in problem
    assert "quakes_quak," in problem
    assert "closest first: quakes_quake, quakes_station" in problem


def test_a_circle_is_named_and_spares_the_others(rollups):
    rollups.write("a", "SELECT n FROM b")
    rollups.write("b", "SELECT n FROM c")
    rollups.write("c", "SELECT n FROM a")
    rollups.write("good", "SELECT code FROM quakes_quake")

    found, problems = rollups.discover()

    assert [rollup.name for rollup in found] == ["good"]
    assert "reads itself, by way of" in str(problems[0])
    assert all(name in str(problems[0]) for name in ("a", "b", "c"))


def test_a_rollup_that_reads_a_broken_one_says_which_file_to_correct_first(rollups):
    broken = rollups.write("broken", "SELEC 1")
    rollups.write("reader", "SELECT n FROM broken")
    rollups.write("readers_reader", "SELECT n FROM reader")

    found, problems = rollups.discover()

    assert found == []
    assert len(problems) == 3
    assert f"correct {broken} first" in str(problems[1])


def test_a_file_holds_one_select(rollups):
    wrong = {
        "SELECT 1 AS a; SELECT 2 AS b": "2 statements",
        "": "0 statements",
        "-- only a comment": "0 statements",
        "CREATE TABLE x (a INT)": "kind CREATE",
        "COPY quakes_quake TO 'x.csv'": "kind COPY",
        "DESCRIBE quakes_quake": "DESCRIBE",
        "PIVOT quakes_quake ON code USING count(*)": "PIVOT … IN",
        "SELECT FROM WHERE": "DuckDB cannot read it",
    }
    for sql, expected in wrong.items():
        rollups.write("wrong", sql)

        assert expected in rollups.problem()


def test_a_rollup_depends_on_its_tables_alone(rollups):
    wrong = {
        "SELECT code FROM quakes_quake WHERE occurred_at > now()": "now()",
        "SELECT code, current_date AS day FROM quakes_quake": "current_date",
        "SELECT code, random() AS r FROM quakes_quake": "random()",
        "SELECT code FROM quakes_quake USING SAMPLE 10%": "a sample",
        "SELECT a FROM read_csv('/etc/passwd') t(a)": "disabled",
        "SELECT a FROM '/etc/passwd' t(a)": "/etc/passwd",
    }
    for sql, expected in wrong.items():
        rollups.write("wrong", sql)

        assert expected in rollups.problem()


def test_a_name_must_suit_a_table_and_the_api(rollups):
    for name in ("Daily", "daily__x", "1st", "x-y", "_x", "x_", "y" * 61):
        path = rollups.write(name, "SELECT code FROM quakes_quake")

        assert "cannot name a table" in rollups.problem()
        path.unlink()


def test_names_are_unique_over_sources_models_and_the_program(rollups):
    first = rollups.write("daily", "SELECT code FROM quakes_quake")
    (rollups.files / "other").mkdir()
    second = rollups.files / "other" / "dai_ly.sql"
    second.write_text("SELECT code FROM quakes_quake")

    _, problems = discover([("a", first), ("b", second)], TABLES)
    assert f"{first} already has the name daily" in str(problems[0])
    for name in ("quakes_quake", "django_migrations", "archive"):
        path = rollups.write(name, "SELECT 1 AS a")
        _, problems = discover([("a", path)], TABLES, {"django_migrations"})
        assert f"a table {name} exists already" in str(problems[0])


def test_every_column_has_a_name_that_fits(rollups):
    wrong = {
        "SELECT count(*) FROM quakes_quake": "count_star()",
        'SELECT magnitude AS "Code" FROM quakes_quake': "'Code'",
        'SELECT code AS "a__b" FROM quakes_quake': "'a__b'",
        'SELECT code AS "class" FROM quakes_quake': "'class'",
        "SELECT code AS save FROM quakes_quake": "save is taken",
        "SELECT code AS row_id FROM quakes_quake": "row_id is taken",
        "SELECT code, magnitude AS code FROM quakes_quake": "two columns are called code",
    }
    for sql, expected in wrong.items():
        rollups.write("wrong", sql)

        assert expected in rollups.problem()


def test_a_column_of_no_known_type_is_refused_with_advice(rollups):
    wrong = {
        "NULL": "NULL::INTEGER",
        "INTERVAL 1 DAY": "epoch(",
        "'x'::BLOB": "hex(",
        "'101'::BIT": "::VARCHAR",
    }
    for value, advice in wrong.items():
        rollups.write("wrong", f"SELECT {value} AS a FROM quakes_quake")

        assert advice in rollups.problem()


def test_a_key_names_columns_of_the_rollup(rollups):
    rollups.write("wrong", "-- key: dya\nSELECT occurred_at::DATE AS day FROM quakes_quake")

    assert "names the column dya, which it does not have. Columns: day" in rollups.problem()


def test_a_column_made_of_a_measure_is_one(rollups):
    rollups.write(
        "worth",
        """
        WITH counted AS (SELECT station_id, count(*) AS n FROM quakes_quake GROUP BY ALL)
        SELECT station_id, coalesce(counted.n, 0) AS quake_count,
               row_number() OVER (ORDER BY station_id) AS position
        FROM counted
        """,
    )

    (rollup,), _ = rollups.discover()

    assert {"quake_count", "position"} <= rollup.measures
    assert "station_id" not in rollup.measures
