"""Durable steps come in their order: a kill cannot show a missing fsync, a record of calls can."""

from .pages import Pages

DURABLE = ("open", "write", "fsync", "rename", "commit")


def steps_of(forks, home, operation, **arguments):
    """The steps of an operation, in order: kind and path below the home."""
    told = forks.finish("order:record", home, operation=operation, **arguments)
    return [tuple(step) for part in told for step in part["taken"]]


def assert_made_durable(steps, final, *, before):
    """One segment's steps: written, fsynced, renamed, its folder fsynced, then committed."""
    folder, _, name = final.rpartition("/")
    temporary = f"{folder}/.{name}.tmp"
    opened = steps.index(("open", temporary))
    last_write = max(i for i, step in enumerate(steps) if step == ("write", temporary))
    fsynced = steps.index(("fsync", temporary))
    renamed = steps.index(("rename", temporary))
    folder_fsynced = steps.index(("fsync", folder), renamed)
    commit = steps.index(("commit", ""), renamed)
    assert opened < last_write < fsynced < renamed < folder_fsynced < commit
    statement = next(i for i, (kind, text) in enumerate(steps) if (kind, text) == before)
    assert folder_fsynced < statement < commit


def segments_in(home):
    return [
        str(path.relative_to(home))
        for path in (home / "archive").rglob("*.parquet")
        if not path.name.startswith(".")
    ]


INDEXED = ("statement", 'INSERT INTO "raw_store_segment"')


def test_a_seal_writes_fsyncs_renames_fsyncs_the_folder_and_then_commits(forks, home):
    steps = steps_of(forks, home, "seal")

    (final,) = segments_in(home)
    assert_made_durable(steps, final, before=INDEXED)


def test_each_new_folder_is_fsynced_in_its_parent_before_the_segment_is_renamed(forks, home):
    steps = steps_of(forks, home, "seal")

    renamed = next(i for i, (kind, _) in enumerate(steps) if kind == "rename")
    for made in [path for kind, path in steps if kind == "mkdir" and path.startswith("archive")]:
        parent = made.rpartition("/")[0]
        at = steps.index(("mkdir", made))
        assert ("fsync", parent) in steps[at:renamed], made


def test_a_compaction_is_durable_before_the_swap_and_hides_nothing_before_its_commit(forks, home):
    forks.finish("desks:write", home, round_=1, segments=4)
    old = set(segments_in(home))

    steps = steps_of(forks, home, "compact")

    (final,) = set(segments_in(home)) - old
    assert_made_durable(steps, final, before=("statement", 'DELETE FROM "raw_store_segment"'))
    commit = steps.index(("commit", ""), steps.index(("fsync", final.rpartition("/")[0])))
    hidden = [steps.index(("rename", path)) for path in old]
    assert min(hidden) > commit


def test_a_watermark_is_written_in_the_transaction_of_its_segment(forks, home):
    with Pages() as pages:
        steps = steps_of(forks, home, "extract", origin=pages.url)

    marks = [i for i, (_, text) in enumerate(steps) if text == 'INSERT INTO "ingest_watermark"']
    assert marks
    for mark in marks:
        before = [i for i in range(mark) if steps[i] == ("commit", "")]
        since_commit = steps[max(before) : mark]
        assert INDEXED in since_commit
