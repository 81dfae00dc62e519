"""Orders and pages: the same rows in the same order, whoever asks."""

from tests.sample.models import Author


def codes(rows):
    return [row["code"] for row in rows]


def test_rows_come_in_the_order_of_their_key_unless_asked_otherwise(ask, library):
    answer = ask("{ books { code } authors(order: {name: DESC}) { code } }")

    assert codes(answer["books"]) == ["b1", "b2", "b3", "b4"]
    assert codes(answer["authors"]) == ["cleo", "bob", "ada"]


def test_rows_without_a_value_come_last_in_either_direction(ask, library):
    answer = ask(
        """{
            up: books(order: {price: ASC}) { code }
            down: books(order: {price: DESC}) { code }
            first: books(order: {price: DESC_NULLS_FIRST}) { code }
            related: authors(order: [{mentor: {name: ASC}}, {name: DESC}]) { code }
        }"""
    )

    assert codes(answer["up"]) == ["b3", "b4", "b1", "b2"]
    assert codes(answer["down"]) == ["b1", "b3", "b4", "b2"]
    assert codes(answer["first"]) == ["b2", "b1", "b3", "b4"]
    assert codes(answer["related"]) == ["cleo", "bob", "ada"]


def test_an_order_goes_through_relations_part_by_part(ask, library):
    answer = ask(
        "{ loans(order: [{book: {author: {name: DESC}}}, {loanCount: DESC}]) { bookId loanCount } }"
    )

    assert [(loan["bookId"], loan["loanCount"]) for loan in answer["loans"]] == [
        ("b3", 30), ("b3", 20), ("b3", 10), ("b1", 30), ("b1", 20), ("b1", 10),
    ]  # fmt: skip


def test_an_order_names_one_field_at_a_time(ask, library):
    question = "query ($order: [BookOrder!]) { books(order: $order) { code } }"

    def mistake(order):
        return ask(question, order=order, fails=True).errors[0]

    assert "exactly one key" in mistake({"code": "ASC", "title": "ASC"})
    assert "exactly one key" in mistake({})
    assert "exactly one key" in mistake({"author": {}})
    assert "must be non-null" in mistake({"code": None})
    assert ask("{ books(order: {code: ASC, title: ASC}) { code } }", fails=True).errors
    assert codes(ask(question, order=[])["books"]) == ["b1", "b2", "b3", "b4"]


def test_pages_neither_overlap_nor_leave_out(ask, library):
    question = """query ($offset: Int!) {
        books(order: {price: ASC}, pagination: {offset: $offset, limit: 1}) { code }
    }"""

    assert [codes(ask(question, offset=n)["books"]) for n in range(5)] == [
        ["b3"], ["b4"], ["b1"], ["b2"], [],
    ]  # fmt: skip


def test_a_list_is_never_without_bounds(ask, db):
    Author.objects.bulk_create(
        Author(code=f"{n:04}", name="x", mentor_id="0000", fetch_id=f"{n:032}") for n in range(1100)
    )

    answer = ask(
        """{ authors { code } author(code: "0000") { pupils { code } pupilsCount } authorsCount
            most: authors(pagination: {limit: 1000}) { code } }"""
    )

    assert len(answer["authors"]) == len(answer["author"]["pupils"]) == 100
    assert answer["author"]["pupilsCount"] == answer["authorsCount"] == 1100
    assert len(answer["most"]) == 1000


def test_a_page_out_of_bounds_is_refused(ask, library):
    for page, reason in [
        ("{limit: 1001}", "from 0 to 1000"),
        ("{limit: -1}", "from 0 to 1000"),
        ("{offset: -1}", "from 0"),
    ]:
        assert reason in ask(f"{{ books(pagination: {page}) {{ code }} }}", fails=True).errors[0]
        nested = f"{{ authors {{ books(pagination: {page}) {{ code }} }} }}"
        assert reason in ask(nested, fails=True).errors[0]
    assert ask("{ books(pagination: {limit: 0}) { code } }") == {"books": []}
