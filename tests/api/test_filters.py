"""A filter gives the rows it describes, each once, and the count agrees with the list."""

import pytest


@pytest.fixture
def books(ask, library):
    def books(filters):
        found = ask(f"{{ books(filters: {filters}) {{ code }} booksCount(filters: {filters}) }}")
        assert found["booksCount"] == len(found["books"])
        return [book["code"] for book in found["books"]]

    return books


@pytest.mark.parametrize(
    ("filters", "codes"),
    [
        ("{}", ["b1", "b2", "b3", "b4"]),
        ("null", ["b1", "b2", "b3", "b4"]),
        ("{code: null}", ["b1", "b2", "b3", "b4"]),
        ("{code: {exact: null}}", ["b1", "b2", "b3", "b4"]),
        ('{code: {exact: "b2"}}', ["b2"]),
        ('{code: {inList: ["b2", "b4", "b9"]}}', ["b2", "b4"]),
        ("{code: {inList: []}}", []),
        ('{title: {iContains: "ANT"}}', ["b1", "b4"]),
        ("{price: {isNull: true}}", ["b2"]),
        ("{price: {isNull: false}}", ["b1", "b3", "b4"]),
        ('{price: {gte: "7", lt: 12.5}}', ["b3", "b4"]),
        ('{title: {iExact: "ants"}}', ["b1"]),
        ('{title: {contains: "nt"}}', ["b1", "b4"]),
        ('{title: {contains: "ANT"}}', []),
        ('{title: {contains: "%"}}', []),
        ('{title: {startsWith: "ant"}}', ["b4"]),
        ('{title: {iStartsWith: "ANT"}}', ["b1", "b4"]),
        ('{title: {endsWith: "s"}}', ["b1", "b2", "b3"]),
        ('{title: {endsWith: "S"}}', []),
        ('{title: {iEndsWith: "AIN"}}', ["b4"]),
        ('{title: {startsWith: ""}}', ["b1", "b2", "b3", "b4"]),
        ('{NOT: {title: {contains: "nt"}}}', ["b2", "b3"]),
        ("{NOT: {price: {gt: 8}}}", ["b2", "b3", "b4"]),
        ('{OR: [{code: {exact: "b1"}}, {title: {exact: "Cats"}}]}', ["b1", "b3"]),
        ('{price: {exact: 7}, OR: [{code: {exact: "b1"}}, {code: {exact: "b3"}}]}', ["b3"]),
        ('{AND: [{price: {gt: 1}}, {NOT: {code: {exact: "b3"}}}]}', ["b1", "b4"]),
        ("{OR: []}", []),
        ("{OR: [{}]}", ["b1", "b2", "b3", "b4"]),
        ("{AND: []}", ["b1", "b2", "b3", "b4"]),
        ("{NOT: []}", ["b1", "b2", "b3", "b4"]),
        ("{NOT: [{}]}", []),
        ('{author: {name: {exact: "Bob"}}}', ["b3", "b4"]),
        ('{author: {mentor: {code: {exact: "ada"}}}}', ["b3", "b4"]),
        ('{NOT: {author: {mentor: {code: {exact: "ada"}}}}}', ["b1", "b2"]),
        ("{author: {mentorId: {isNull: true}}}", ["b1", "b2"]),
        ("{loans: {}}", ["b1", "b3"]),
        ("{NOT: {loans: {}}}", ["b2", "b4"]),
        ("{loans: {loanCount: {gt: 10}}}", ["b1", "b3"]),
        ('{loans: {day: {exact: "2026-01-01"}, loanCount: {gt: 10}}}', []),
        ("{author: {books: {loans: {loanCount: {exact: 30}}}}}", ["b1", "b2", "b3", "b4"]),
        ('{author: {pupils: {name: {exact: "Cleo"}}}}', ["b1", "b2"]),
    ],
)
def test_a_filter_means_what_it_says(books, filters, codes):
    assert books(filters) == codes


def test_rows_with_a_composite_key_are_filtered_through_their_relations(ask, library):
    answer = ask(
        """{ loans(filters: {book: {author: {name: {exact: "Bob"}}}, NOT: {loanCount: {lt: 20}}}) {
            bookId day
        } nothing: loans(filters: {OR: []}) { day } }"""
    )

    assert answer == {
        "loans": [{"bookId": "b3", "day": "2026-01-02"}, {"bookId": "b3", "day": "2026-01-03"}],
        "nothing": [],
    }


def test_a_filter_comes_as_a_variable_too(ask, library):
    question = "query ($filters: BookFilter) { booksCount(filters: $filters) }"

    assert ask(question, filters={"title": {"exact": "Bees"}})["booksCount"] == 1
    assert ask(question, filters=None)["booksCount"] == 4
    assert ask(question)["booksCount"] == 4


def test_columns_of_json_and_bytes_can_be_asked_for_presence(ask, garden):
    answer = ask(
        """{ a: plantsCount(filters: {notes: {isNull: false}})
             b: plantsCount(filters: {leafScan: {isNull: true}}) }"""
    )

    assert answer == {"a": 1, "b": 2}


def test_a_list_of_too_many_values_is_refused(ask, library):
    question = "query ($codes: [String!]) { booksCount(filters: {code: {inList: $codes}}) }"

    assert "at most 1000" in ask(question, codes=["x"] * 1001, fails=True).errors[0]


def test_a_number_beyond_64_bits_is_in_no_list(ask, garden):
    numbers = ask("{ plants { number } }")["plants"]
    assert numbers
    listed = ", ".join(f'"{plant["number"]}"' for plant in numbers)

    found = ask(
        f'{{ plants(filters: {{number: {{inList: [{listed}, "{1 << 63}"]}}}}) {{ number }} }}'
    )

    assert found["plants"] == numbers


@pytest.mark.parametrize(
    ("test", "count"),
    [("exact", 0), ("gt", 0), ("gte", 0), ("lt", 3), ("lte", 3), ("NOT lt", 0), ("NOT exact", 3)],
)
def test_a_link_is_compared_with_a_number_beyond_64_bits(ask, garden, test, count):
    negated, _, test = test.rpartition(" ")
    condition = f'plantId: {{{test}: "{1 << 63}"}}'
    filters = f"{{NOT: {{{condition}}}}}" if negated else f"{{{condition}}}"

    assert ask(f"{{ labelsCount(filters: {filters}) }}")["labelsCount"] == count


def test_no_row_has_a_key_beyond_64_bits(ask, garden):
    answer = ask(
        f"""{{ plant(number: "{1 << 63}") {{ name }} shelf(plantId: "{1 << 63}") {{ level }}
               label(plantId: "{1 << 63}", language: "en") {{ text }} }}"""
    )

    assert answer == {"plant": None, "shelf": None, "label": None}
