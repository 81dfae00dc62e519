"""Pages of many lists, cut from their rows as these are read."""

from hypothesis import given
from hypothesis import strategies as st

from api.compiled.paging import cut_pages


@given(
    rows=st.lists(st.integers(0, 4), max_size=40),
    offset=st.integers(0, 4),
    limit=st.integers(0, 6),
    readable=st.integers(1, 50),
    batch_size=st.integers(1, 45),
)
def test_each_list_has_its_page_in_the_order_of_the_rows(rows, offset, limit, readable, batch_size):
    numbered = [(name, number) for number, name in enumerate(rows)]
    unread = list(numbered)

    def fetch(count):
        taken, unread[:] = unread[:count], unread[count:]
        return taken

    found = cut_pages(
        fetch,
        key=0,
        list_count=len(set(rows)),
        offset=offset,
        limit=limit,
        readable=readable,
        batch_size=batch_size,
    )

    pages = {name: [row for row in numbered if row[0] == name] for name in rows}
    wanted = [row for page in pages.values() for row in page[offset : offset + limit]]
    assert found == sorted(wanted, key=lambda row: row[1])[:readable]


def test_reading_ends_when_every_page_is_full():
    asked = []

    def fetch(count):
        asked.append(count)
        return [("a", 1), ("b", 2)][:count]

    found = cut_pages(fetch, key=0, list_count=2, offset=0, limit=3, readable=99, batch_size=2)

    assert found == [("a", 1), ("b", 2)] * 3
    assert len(asked) < 6
